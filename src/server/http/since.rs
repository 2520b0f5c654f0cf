//! The query parameter `since`, and the answers of an operation that takes it.

use std::borrow::Cow;
use std::marker::PhantomData;

use poem::{Request, RequestBody};
use poem_openapi::param::Query;
use poem_openapi::registry::{MetaParamIn, MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::types::Type;
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

use crate::protocol::Cursor;

/// The cursor of the answer that the caller holds. A malformed one is none: the caller gets the whole answer.
pub(super) struct SinceParameter(pub(super) Option<Cursor>);

/// The schema of a whole answer or of its changes. No value has this type.
pub(super) struct OrSince<T, C>(PhantomData<fn() -> (T, C)>);

impl<'a> ApiExtractor<'a> for SinceParameter {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];
    type ParamType = ();
    type ParamRawType = ();

    fn param_in() -> Option<MetaParamIn> {
        Some(MetaParamIn::Query)
    }

    fn param_schema_ref() -> Option<MetaSchemaRef> {
        Some(String::schema_ref())
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let named = ExtractParamOptions { name: options.name, ..ExtractParamOptions::default() };
        let since: Query<Option<String>> = Query::from_request(request, body, named).await?;
        Ok(Self(since.0.and_then(|text| text.parse().ok())))
    }
}

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
