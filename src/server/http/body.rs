//! Request bodies: read within bounds, repaired, and parsed into the types of the wire. A refusal names the field.
//!
//! The extractors of the framework would read a body of any length, and would report a wrong value without its path.
//! Here a body has a longest length and a longest time, characters that cannot be stored are replaced before the body
//! is parsed, and the error for a value of the wrong type names its path.

use std::fmt;
use std::marker::PhantomData;

use poem::{Request, RequestBody};
use poem_openapi::registry::{MetaMediaType, MetaRequest, MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::types::Type;
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use tokio::io::AsyncReadExt;

use crate::protocol::limits;
use crate::protocol::write::{EventPatch, NewEvent, NewSession, NewTask, Purge, SaveBookmark, SessionPatch, TaskPatch};
use crate::server::error::ApiError;
use crate::server::text;

/// The media type of lines of JSON.
pub(super) const NDJSON: &str = "application/x-ndjson";
/// How many bytes beyond the limit of a body are read and discarded.
const PASSED_OVER: u64 = 16 * 1024 * 1024;

/// A body of one of the wire's types.
pub(super) struct JsonBody<T>(pub(super) T);

/// The body of a hook, unparsed.
pub(super) struct HookBody(pub(super) Vec<u8>);

/// A body of lines of JSON, unparsed.
pub(super) struct LinesBody(pub(super) Vec<u8>);

/// A type of JSON bodies.
pub(super) trait BodyType: Sized + Send {
    /// The longest body in bytes.
    const LONGEST_BODY: usize;

    fn schema_ref() -> MetaSchemaRef;
    fn register(registry: &mut Registry);
    fn parse(text: &str) -> Result<Self, ApiError>;
}

macro_rules! body_types {
    ($($name:ty)*) => {$(
        impl BodyType for $name {
            const LONGEST_BODY: usize = limits::BODY_BYTES;

            fn schema_ref() -> MetaSchemaRef {
                <$name as Type>::schema_ref()
            }

            fn register(registry: &mut Registry) {
                <$name as Type>::register(registry);
            }

            fn parse(text: &str) -> Result<Self, ApiError> {
                parse::<JsonObject<Self>>(text).map(|object| object.0)
            }
        }
    )*};
}

body_types! { NewTask TaskPatch Purge NewSession SessionPatch EventPatch SaveBookmark }

/// One event, or several of them as `{"events": [...]}`.
pub(super) enum EventsBody {
    One(Box<NewEvent>),
    Batch(Vec<NewEvent>),
}

impl BodyType for EventsBody {
    const LONGEST_BODY: usize = limits::LONG_BODY_BYTES;

    fn schema_ref() -> MetaSchemaRef {
        let events = MetaSchema {
            items: Some(Box::new(NewEvent::schema_ref())),
            max_items: Some(limits::EVENTS_PER_BATCH),
            description: Some("The events. Either all of them are logged, or none is."),
            ..MetaSchema::new("array")
        };
        let batch = MetaSchema {
            required: vec!["events"],
            properties: vec![("events", MetaSchemaRef::Inline(Box::new(events)))],
            ..MetaSchema::new("object")
        };
        let one_of = vec![NewEvent::schema_ref(), MetaSchemaRef::Inline(Box::new(batch))];
        MetaSchemaRef::Inline(Box::new(MetaSchema { one_of, ..MetaSchema::ANY }))
    }

    fn register(registry: &mut Registry) {
        NewEvent::register(registry);
    }

    fn parse(text: &str) -> Result<Self, ApiError> {
        #[derive(Deserialize)]
        struct EventBatch {
            events: BoundedList<NewEvent>,
        }
        #[derive(Deserialize)]
        struct Either {
            events: Option<IgnoredAny>,
        }
        match parse::<JsonObject<Either>>(text)?.0.events {
            Some(_) => parse::<JsonObject<EventBatch>>(text).map(|batch| Self::Batch(batch.0.events.0)),
            None => parse::<JsonObject<NewEvent>>(text).map(|event| Self::One(Box::new(event.0))),
        }
    }
}

impl<'a, T: BodyType> ApiExtractor<'a> for JsonBody<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        Some(json_of(T::schema_ref()))
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        if let Some(said) = request.content_type().filter(|said| !is_json(said)) {
            return Err(ApiError::MediaType(said.to_owned()).into());
        }
        let bytes = read(body, T::LONGEST_BODY).await?;
        if let Err(error) = std::str::from_utf8(&bytes) {
            return Err(ApiError::NotJson(format!("not UTF-8 at byte {}", error.valid_up_to())).into());
        }
        let text = text::repair(&bytes).map_err(|error| ApiError::NotJson(error.detail))?;
        Ok(Self(T::parse(&text)?))
    }
}

impl<'a> ApiExtractor<'a> for HookBody {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    type ParamType = ();
    type ParamRawType = ();

    fn request_meta() -> Option<MetaRequest> {
        Some(json_of(MetaSchemaRef::Inline(Box::new(MetaSchema::new("object")))))
    }

    async fn from_request(_: &'a Request, body: &mut RequestBody, _: ExtractParamOptions<()>) -> poem::Result<Self> {
        Ok(Self(read(body, limits::LONG_BODY_BYTES).await?))
    }
}

impl<'a> ApiExtractor<'a> for LinesBody {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    type ParamType = ();
    type ParamRawType = ();

    fn request_meta() -> Option<MetaRequest> {
        let text = || MetaSchemaRef::Inline(Box::new(MetaSchema::new("string")));
        let of = |content_type| MetaMediaType { content_type, schema: text() };
        Some(MetaRequest { description: None, content: vec![of(NDJSON), of("text/plain")], required: true })
    }

    async fn from_request(_: &'a Request, body: &mut RequestBody, _: ExtractParamOptions<()>) -> poem::Result<Self> {
        Ok(Self(read(body, limits::LONG_BODY_BYTES).await?))
    }
}

fn json_of(schema: MetaSchemaRef) -> MetaRequest {
    MetaRequest {
        description: None,
        content: vec![MetaMediaType { content_type: "application/json", schema }],
        required: true,
    }
}

/// Whether this is `application/json` or `application/*+json`, with or without parameters.
fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

async fn read(body: &mut RequestBody, limit: usize) -> Result<Vec<u8>, ApiError> {
    let body = body.take().map_err(|error| ApiError::internal("read a body", &error))?;
    let mut reader = body.into_async_read();
    let mut bytes = Vec::new();
    let mut within = (&mut reader).take(limit as u64 + 1);
    match tokio::time::timeout(limits::BODY_TIME, within.read_to_end(&mut bytes)).await {
        Ok(Ok(_)) if bytes.len() <= limit => Ok(bytes),
        Ok(Ok(_)) => {
            // A client that is cut off while it sends never reads the answer, so the rest is read first: only up to two
            // bounds, because a client may send without end.
            let (mut rest, mut nowhere) = (reader.take(PASSED_OVER), tokio::io::sink());
            let rest = tokio::io::copy(&mut rest, &mut nowhere);
            let _ = tokio::time::timeout(limits::BODY_TIME, rest).await;
            Err(ApiError::TooLarge { limit })
        }
        Ok(Err(error)) => Err(ApiError::Body(error.to_string())),
        Err(_) => Err(ApiError::Timeout(limits::BODY_TIME)),
    }
}

/// Parses a body. The error for text that is not JSON has the position, the error for a wrong value has the path.
fn parse<T: DeserializeOwned>(text: &str) -> Result<T, ApiError> {
    let not_json = |error: serde_json::Error| ApiError::NotJson(error.to_string());
    let mut parser = serde_json::Deserializer::from_str(text);
    match serde_path_to_error::deserialize(&mut parser) {
        Ok(value) => parser.end().map(|()| value).map_err(not_json),
        Err(error) => {
            // The parser stops at the first wrong value. The rest may still not be JSON, and that error comes first.
            serde_json::from_str::<IgnoredAny>(text).map_err(not_json)?;
            let field = error.path().to_string();
            let field = if field == "." { "body".to_owned() } else { field };
            Err(ApiError::invalid(field, reason(error.inner())))
        }
    }
}

/// The message of the parser without ` at line 1 column 20`, because the path names the place.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split_once(" at line ").map_or(text.as_str(), |(reason, _)| reason).to_owned()
}

/// A JSON object. A derived `Deserialize` alone would also accept an array of the values of the fields.
struct JsonObject<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for JsonObject<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectOf<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectOf<T> {
            type Value = JsonObject<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<JsonObject<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(JsonObject)
            }
        }

        deserializer.deserialize_map(ObjectOf(PhantomData))
    }
}

/// A list of at most [`limits::EVENTS_PER_BATCH`] objects. The bound holds while the list is parsed, because an object
/// of a few bytes becomes a value of hundreds of bytes.
struct BoundedList<T>(Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for BoundedList<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListOf<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for ListOf<T> {
            type Value = BoundedList<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a list of at most {} objects", limits::EVENTS_PER_BATCH)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<BoundedList<T>, A::Error> {
                let mut taken = Vec::new();
                while taken.len() < limits::EVENTS_PER_BATCH {
                    match list.next_element::<JsonObject<T>>()? {
                        Some(one) => taken.push(one.0),
                        None => return Ok(BoundedList(taken)),
                    }
                }
                match list.next_element::<IgnoredAny>()? {
                    Some(_) => Err(A::Error::custom(format!("has more than {} objects", limits::EVENTS_PER_BATCH))),
                    None => Ok(BoundedList(taken)),
                }
            }
        }

        deserializer.deserialize_seq(ListOf(PhantomData))
    }
}
