//! The shape that all pages share.

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
            /// Where the rows after these begin: the `before` of the next request. Opaque.
            pub next: Option<String>,
            /// Where the rows before these end: the `after` of the next request. Opaque.
            pub previous: Option<String>,
        }
    )*};
}

pub(super) use pages;
