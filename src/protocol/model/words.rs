//! Types that are one word of a closed set on the wire.

/// Declares enums with one word for each variant, together with the texts of the words.
macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$word_doc:meta])* $word:ident = $text:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "server", derive(poem_openapi::Enum))]
        pub enum $name {
            $($(#[$word_doc])* #[serde(rename = $text)] #[cfg_attr(feature = "server", oai(rename = $text))] $word,)*
        }

        impl $name {
            /// Every word of the set.
            pub const ALL: &'static [$name] = &[$($name::$word),*];

            /// The text on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$word => $text,)* }
            }

            /// The word with this text.
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some($name::$word),)* _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    )*};
}

pub(super) use words;
