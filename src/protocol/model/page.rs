//! The common shape of all pages.

/// Declares a page of rows for each kind of row.
macro_rules! pages {
    ($($(#[$doc:meta])* $name:ident($item:ty))*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[cfg_attr(feature = "server", derive(poem_openapi::Object))]
        #[non_exhaustive]
        pub struct $name {
            /// The rows.
            pub items: Vec<$item>,
            /// The `before` of the request for the rows that follow; `null` at the end of the list. Opaque.
            pub next: Option<String>,
            /// The `after` of the request for the rows that precede; `null` at the start of the list. Opaque.
            pub previous: Option<String>,
        }
    )*};
}

pub(super) use pages;
