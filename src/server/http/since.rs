//! The answers of an operation that takes the query parameter `since`.

use std::borrow::Cow;
use std::marker::PhantomData;

use poem_openapi::registry::{MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::types::Type;

/// The schema of a whole answer or of its changes. No value has this type.
pub(super) struct OrSince<T, C>(PhantomData<fn() -> (T, C)>);

impl<T: Type, C: Type> Type for OrSince<T, C> {
    const IS_REQUIRED: bool = true;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        format!("{}Or{}", T::name(), C::name()).into()
    }

    fn schema_ref() -> MetaSchemaRef {
        let one_of = vec![T::schema_ref(), C::schema_ref()];
        MetaSchemaRef::Inline(Box::new(MetaSchema { one_of, ..MetaSchema::ANY }))
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
        C::register(registry);
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}
