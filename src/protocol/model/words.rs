//! Types that are one word of a closed set on the wire.

/// Declares enums with one word for each variant, together with the texts of the words.
macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$word_doc:meta])* $word:ident = $text:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
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

        /// The error names all words, because a derived error would name them as variants of a Rust type.
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Words;

                impl serde::de::Visitor<'_> for Words {
                    type Value = $name;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("one of ")?;
                        f.write_str(&$name::ALL.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "))
                    }

                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$name, E> {
                        $name::parse(text).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
                    }
                }

                deserializer.deserialize_str(Words)
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

/// The status of a server that says of none that it is uncertain.
pub(super) fn by_default_certain() -> bool {
    true
}
