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
use serde::de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use tokio::io::AsyncReadExt;

use crate::protocol::limits;
use crate::protocol::write::{
    EventPatch, FieldByField, NewEvent, NewSession, NewTask, Purge, RegisterAgent, SaveBookmark, SessionPatch,
    TaskPatch,
};
use crate::server::error::ApiError;
use crate::server::ingest::{CheckedBody, Invalid};
use crate::server::text;

/// The media type of lines of JSON. Of all that generators of clients know, only this one is sent as it is by each of
/// them: they send a text of another type as a JSON text, or leave its operation out.
pub(super) const LINES: &str = "application/octet-stream";
/// How many bytes beyond the limit of a body are read and discarded.
const PASSED_OVER: u64 = 16 * 1024 * 1024;

/// From this size on a body is parsed on a thread for blocking work. A shorter one takes a few milliseconds at most.
const PARSED_APART: usize = 256 * 1024;

/// A body of one of the wire's types.
pub(super) struct JsonBody<T>(pub(super) T);

/// The body of a hook, unparsed.
pub(super) struct HookBody(pub(super) Vec<u8>);

/// A body of lines of JSON, unparsed.
pub(super) struct LinesBody(pub(super) Vec<u8>);

/// A type of JSON bodies.
pub(super) trait BodyType: Sized + Send + 'static {
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
                match serde_json::from_str::<JsonObject<Self>>(text) {
                    Ok(object) => Ok(object.0),
                    Err(_) => Err(refusal(text, |wrong| wrong_fields::<Self>(text, "", wrong))),
                }
            }
        }
    )*};
}

body_types! { NewTask TaskPatch Purge NewSession SessionPatch EventPatch SaveBookmark RegisterAgent }

/// One event, or several of them as `{"events": [...]}`.
#[derive(Clone)]
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
        struct EventBatch<T> {
            events: T,
        }
        #[derive(Deserialize)]
        struct Either {
            events: Option<IgnoredAny>,
        }
        let either = serde_json::from_str::<JsonObject<Either>>(text);
        if !either.is_ok_and(|either| either.0.events.is_some()) {
            return match serde_json::from_str::<JsonObject<NewEvent>>(text) {
                Ok(event) => Ok(Self::One(Box::new(event.0))),
                Err(_) => Err(refusal(text, |wrong| wrong_fields::<NewEvent>(text, "", wrong))),
            };
        }
        match serde_json::from_str::<JsonObject<EventBatch<BoundedList<JsonObject<NewEvent>>>>>(text) {
            Ok(batch) => Ok(Self::Batch(batch.0.events.0.into_iter().map(|event| event.0).collect())),
            Err(_) => Err(refusal(text, |wrong| {
                let batch = serde_json::from_str::<JsonObject<EventBatch<&RawValue>>>(text).map(|batch| batch.0.events);
                match batch.and_then(|events| serde_json::from_str::<BoundedList<&RawValue>>(events.get())) {
                    Ok(events) => events.0.iter().enumerate().for_each(|(at, event)| {
                        wrong_fields::<NewEvent>(event.get(), &format!("events[{at}]"), wrong);
                    }),
                    Err(error) => wrong.push(invalid("events", &error)),
                }
            })),
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
        let parsed = parse_apart(bytes, |bytes| {
            if let Err(error) = std::str::from_utf8(bytes) {
                return Err(ApiError::NotJson(format!("not UTF-8 at byte {}", error.valid_up_to())));
            }
            let text = text::repair(bytes).map_err(|error| ApiError::NotJson(error.detail))?;
            T::parse(&text)
        });
        Ok(Self(parsed.await?))
    }
}

/// Parses a body. A long one is parsed on a thread for blocking work: a full body would hold a thread of the runtime,
/// and all requests on it, for tenths of a second.
pub(super) async fn parse_apart<T: Send + 'static>(
    bytes: Vec<u8>,
    parse: impl FnOnce(&[u8]) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    if bytes.len() < PARSED_APART {
        return parse(&bytes);
    }
    let parsed = tokio::task::spawn_blocking(move || parse(&bytes)).await;
    parsed.map_err(|error| ApiError::internal("parse a body", &error))?
}

impl<'a> ApiExtractor<'a> for HookBody {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    type ParamType = ();
    type ParamRawType = ();

    fn request_meta() -> Option<MetaRequest> {
        let text = |schema: MetaSchema| MetaSchemaRef::Inline(Box::new(schema));
        let id = MetaSchema {
            description: Some("The session of the agent: 1 to 256 bytes."),
            min_length: Some(1),
            max_length: Some(limits::HOOK_ID_BYTES),
            ..MetaSchema::new("string")
        };
        let name = MetaSchema { description: Some("The name of the hook."), ..MetaSchema::new("string") };
        Some(json_of(MetaSchemaRef::Inline(Box::new(MetaSchema {
            required: vec!["session_id", "hook_event_name"],
            properties: vec![("session_id", text(id)), ("hook_event_name", text(name))],
            // A client that knows only the two fields would drop the others.
            additional_properties: Some(Box::new(text(MetaSchema::ANY))),
            ..MetaSchema::new("object")
        }))))
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
        let schema = MetaSchemaRef::Inline(Box::new(MetaSchema::new_with_format("string", "binary")));
        let content = vec![MetaMediaType { content_type: LINES, schema }];
        Some(MetaRequest { description: None, content, required: true })
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

/// The error for a body that is not of its type. Text that is not JSON comes first, then all wrong fields.
fn refusal(text: &str, find: impl FnOnce(&mut Vec<Invalid>)) -> ApiError {
    if let Err(error) = serde_json::from_str::<IgnoredAny>(text) {
        return ApiError::NotJson(error.to_string());
    }
    let mut wrong = Vec::new();
    find(&mut wrong);
    ApiError::Invalid(wrong)
}

/// Adds the wrong fields of the object `text`, which stands at `within` in the body.
fn wrong_fields<T: FieldByField + CheckedBody>(text: &str, within: &str, wrong: &mut Vec<Invalid>) {
    if let Err(error) = serde_json::from_str::<JsonObject<IgnoredAny>>(text) {
        wrong.push(invalid(if within.is_empty() { "body" } else { within }, &error));
        return;
    }
    let path = |field: &str| match (within, field) {
        ("", field) => field.to_owned(),
        (within, "body") => within.to_owned(),
        (within, field) => format!("{within}.{field}"),
    };
    let (before, mut is_read) = (wrong.len(), true);
    let body = T::read_fields(text, &mut |field, error| {
        is_read &= field != "body";
        wrong.push(invalid(&path(field), &error));
    });
    if !is_read {
        return;
    }
    for Invalid { field, detail } in body.wrong_fields() {
        // A field that could not be read is empty in `body`, and may be wrong there once more.
        let field = path(&field);
        if !wrong[before..].iter().any(|one| one.field == field) {
            wrong.push(Invalid { field, detail });
        }
    }
}

fn invalid(field: &str, error: &serde_json::Error) -> Invalid {
    Invalid { field: field.to_owned(), detail: plain(&error.to_string()) }
}

/// The message of the parser in words of JSON: without the position, because the field names the place, and without
/// words of Rust.
fn plain(message: &str) -> String {
    let message = message.rsplit_once(" at line ").map_or(message, |(message, _)| message);
    let kinds = [
        ("sequence", "a list"),
        ("map", "an object"),
        ("string ", "the text "),
        ("integer ", "the number "),
        ("floating point ", "the number "),
        ("boolean ", ""),
    ];
    let found = message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: "));
    match found.and_then(|rest| rest.rsplit_once(", expected ")) {
        Some((found, expected)) => {
            let found = kinds.iter().find_map(|(rust, json)| Some(format!("{json}{}", found.strip_prefix(rust)?)));
            let expected = if expected == "a map" { "an object" } else { expected };
            match found {
                Some(found) => format!("must be {expected}, not {found}"),
                None => format!("must be {expected}, not null"),
            }
        }
        None => match message.strip_prefix("duplicate field ") {
            Some(field) => format!("has the field {field} twice"),
            None => message.to_owned(),
        },
    }
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

/// A list of at most [`limits::EVENTS_PER_BATCH`] values. The bound holds while the list is parsed, because an object
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
                    match list.next_element::<T>()? {
                        Some(one) => taken.push(one),
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
