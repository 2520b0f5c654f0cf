//! The change of a field that can be without a value.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The change of a field that can be without a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Change<T> {
    /// The field is missing, and the value stays as it is.
    #[default]
    Keep,
    /// The field is `null`, and the value is removed.
    Clear,
    /// The new value.
    Set(T),
}

impl<T> Change<T> {
    /// The new value, if there is one.
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Set(value) => Some(value),
            Self::Keep | Self::Clear => None,
        }
    }

    /// The value afterwards, or `None` if it stays as it is.
    pub fn into_next(self) -> Option<Option<T>> {
        match self {
            Self::Keep => None,
            Self::Clear => Some(None),
            Self::Set(value) => Some(Some(value)),
        }
    }
}

impl<T: Serialize> Serialize for Change<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value().serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Change<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Self::Clear, Self::Set))
    }
}

/// A field of a body that changes a row.
pub(super) trait Changed<'de>: Sized {
    /// Reads the value of a field that is there.
    fn read<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;
}

impl<'de, T: Deserialize<'de>> Changed<'de> for Change<T> {
    fn read<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::deserialize(deserializer)
    }
}

/// The row always has a value in this field, so `null` is refused.
impl<'de, T: Deserialize<'de>> Changed<'de> for Option<T> {
    fn read<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Some)
    }
}

#[cfg(feature = "server")]
mod openapi {
    use std::borrow::Cow;

    use poem_openapi::registry::{MetaSchema, MetaSchemaRef, Registry};
    use poem_openapi::types::{ParseError, ParseFromJSON, ParseResult, ToJSON, Type};
    use serde_json::Value;

    use super::Change;

    impl<T: Type> Type for Change<T> {
        const IS_REQUIRED: bool = false;
        type RawValueType = T::RawValueType;
        type RawElementValueType = T::RawElementValueType;

        fn name() -> Cow<'static, str> {
            format!("change_{}", T::name()).into()
        }

        fn schema_ref() -> MetaSchemaRef {
            T::schema_ref().merge(MetaSchema { nullable: true, ..MetaSchema::ANY })
        }

        fn register(registry: &mut Registry) {
            T::register(registry);
        }

        fn as_raw_value(&self) -> Option<&Self::RawValueType> {
            self.value().and_then(Type::as_raw_value)
        }

        fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self::RawElementValueType> + 'a> {
            self.value().map_or_else(|| Box::new(std::iter::empty()) as _, Type::raw_element_iter)
        }
    }

    impl<T: ParseFromJSON> ParseFromJSON for Change<T> {
        fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
            match value {
                None => Ok(Self::Keep),
                Some(Value::Null) => Ok(Self::Clear),
                some => T::parse_from_json(some).map(Self::Set).map_err(ParseError::propagate),
            }
        }
    }

    impl<T: ToJSON> ToJSON for Change<T> {
        fn to_json(&self) -> Option<Value> {
            match self {
                Self::Keep => None,
                Self::Clear => Some(Value::Null),
                Self::Set(value) => value.to_json(),
            }
        }
    }
}
