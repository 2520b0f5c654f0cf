//! The OpenAPI schema and the parsing of types that are text on the wire.

/// Implements poem-openapi's traits for a type that is `FromStr` and `Display`: a string of the given format.
macro_rules! openapi_text {
    ($name:ident, $format:literal) => {
        const _: () = {
            use std::borrow::Cow;

            use poem_openapi::registry::{MetaSchema, MetaSchemaRef};
            use poem_openapi::types::{ParseError, ParseFromJSON, ParseFromParameter, ParseResult, ToJSON, Type};

            impl Type for $name {
                const IS_REQUIRED: bool = true;
                type RawValueType = Self;
                type RawElementValueType = Self;

                fn name() -> Cow<'static, str> {
                    concat!("string_", $format).into()
                }

                fn schema_ref() -> MetaSchemaRef {
                    MetaSchemaRef::Inline(Box::new(MetaSchema::new_with_format("string", $format)))
                }

                fn as_raw_value(&self) -> Option<&Self> {
                    Some(self)
                }

                fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
                    Box::new(std::iter::once(self))
                }
            }

            impl ParseFromJSON for $name {
                fn parse_from_json(value: Option<serde_json::Value>) -> ParseResult<Self> {
                    match value.unwrap_or_default() {
                        serde_json::Value::String(text) => text.parse().map_err(ParseError::custom),
                        other => Err(ParseError::expected_type(other)),
                    }
                }
            }

            impl ParseFromParameter for $name {
                fn parse_from_parameter(text: &str) -> ParseResult<Self> {
                    text.parse().map_err(ParseError::custom)
                }
            }

            impl ToJSON for $name {
                fn to_json(&self) -> Option<serde_json::Value> {
                    Some(serde_json::Value::String(self.to_string()))
                }
            }
        };
    };
}

pub(crate) use openapi_text;
