//! Answers: JSON that serde writes straight to bytes, and the headers each answer has.
//!
//! The document takes the schema of the same type; a test holds the two together.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::marker::PhantomData;

use poem::http::{HeaderName, StatusCode, header};
use poem::{IntoResponse, Response};
use poem_openapi::ApiResponse;
use poem_openapi::registry::{MetaHeader, MetaMediaType, MetaResponse, MetaResponses, MetaSchemaRef, Registry};
use poem_openapi::types::Type;
use serde::Serialize;

use crate::protocol::{CURSOR_HEADER, Cursor};
use crate::server::error::ApiError;
use crate::server::ingest::Saved;

const JSON: &str = "application/json";

/// The answer to a read: what was asked for, or that the caller has it already.
pub(super) struct Read<T> {
    body: Option<Vec<u8>>,
    tag: String,
    cursor: Cursor,
    of: PhantomData<fn() -> T>,
}

/// The answer to a write that can make a row: the row.
pub(super) struct Kept<T> {
    saved: Saved,
    body: Vec<u8>,
    cursor: Cursor,
    of: PhantomData<fn() -> T>,
}

/// The answer to a write that changes what is there: what it became.
pub(super) struct Changed<T> {
    body: Vec<u8>,
    cursor: Cursor,
    of: PhantomData<fn() -> T>,
}

/// The answer to a write that leaves nothing to show.
pub(super) struct Done {
    pub(super) cursor: Cursor,
}

impl<T: Serialize> Read<T> {
    /// `held` is what the caller says it has: the value of `If-None-Match`.
    pub(super) fn new(value: &T, cursor: Cursor, held: Option<&str>) -> Result<Self, ApiError> {
        let body = bytes(value)?;
        let mut hasher = DefaultHasher::new();
        body.hash(&mut hasher);
        let tag = format!("W/\"{:016x}\"", hasher.finish());
        let has_it = held.is_some_and(|held| names(held, &tag));
        Ok(Self { body: (!has_it).then_some(body), tag, cursor, of: PhantomData })
    }
}

impl<T: Serialize> Kept<T> {
    pub(super) fn new(saved: Saved, value: &T, cursor: Cursor) -> Result<Self, ApiError> {
        Ok(Self { saved, body: bytes(value)?, cursor, of: PhantomData })
    }
}

impl<T: Serialize> Changed<T> {
    pub(super) fn new(value: &T, cursor: Cursor) -> Result<Self, ApiError> {
        Ok(Self { body: bytes(value)?, cursor, of: PhantomData })
    }
}

fn bytes<T: Serialize>(value: &T) -> Result<Vec<u8>, ApiError> {
    serde_json::to_vec(value).map_err(|error| ApiError::internal("write an answer", &error))
}

/// Whether a list of entity tags has this one. The comparison is the weak one: `W/` says nothing.
fn names(list: &str, tag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    list.trim() == "*" || list.split(',').any(|one| opaque(one) == opaque(tag))
}

fn response(status: StatusCode, cursor: &Cursor) -> poem::ResponseBuilder {
    Response::builder().status(status).header(HeaderName::from_static(CURSOR_HEADER), cursor.to_string())
}

impl<T> IntoResponse for Read<T> {
    fn into_response(self) -> Response {
        let status = if self.body.is_some() { StatusCode::OK } else { StatusCode::NOT_MODIFIED };
        // A browser may keep it, but has to ask each time: whether it is stale only we know.
        let answer = response(status, &self.cursor)
            .header(header::ETAG, self.tag)
            .header(header::CACHE_CONTROL, "private, no-cache");
        match self.body {
            Some(body) => answer.content_type(JSON).body(body),
            None => answer.finish(),
        }
    }
}

impl<T> IntoResponse for Kept<T> {
    fn into_response(self) -> Response {
        let status = match self.saved {
            Saved::New => StatusCode::CREATED,
            Saved::There => StatusCode::OK,
        };
        response(status, &self.cursor).content_type(JSON).body(self.body)
    }
}

impl<T> IntoResponse for Changed<T> {
    fn into_response(self) -> Response {
        response(StatusCode::OK, &self.cursor).content_type(JSON).body(self.body)
    }
}

impl IntoResponse for Done {
    fn into_response(self) -> Response {
        response(StatusCode::NO_CONTENT, &self.cursor).finish()
    }
}

impl<T: Type> ApiResponse for Read<T> {
    fn meta() -> MetaResponses {
        let tag = || header_of("ETag", "Names this content; send it in `If-None-Match`.", String::schema_ref());
        let mut found = described::<T>(200, "What was asked for.");
        found.headers.push(tag());
        let mut held = empty(304, "The caller has it already.");
        held.headers.push(tag());
        MetaResponses { responses: vec![found, held] }
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: Type> ApiResponse for Kept<T> {
    fn meta() -> MetaResponses {
        let there = described::<T>(200, "It was there; this is how it is now.");
        MetaResponses { responses: vec![described::<T>(201, "It is new."), there] }
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: Type> ApiResponse for Changed<T> {
    fn meta() -> MetaResponses {
        MetaResponses { responses: vec![described::<T>(200, "How it is now.")] }
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl ApiResponse for Done {
    fn meta() -> MetaResponses {
        MetaResponses { responses: vec![empty(204, "It is done.")] }
    }

    fn register(_: &mut Registry) {}
}

fn described<T: Type>(status: u16, description: &'static str) -> MetaResponse {
    let content = vec![MetaMediaType { content_type: JSON, schema: T::schema_ref() }];
    MetaResponse { content, ..empty(status, description) }
}

fn empty(status: u16, description: &'static str) -> MetaResponse {
    let cursor = header_of("Requery-Cursor", "The changes this answer contains.", Cursor::schema_ref());
    MetaResponse { description, status: Some(status), status_range: None, content: vec![], headers: vec![cursor] }
}

fn header_of(name: &str, description: &str, schema: MetaSchemaRef) -> MetaHeader {
    MetaHeader {
        name: name.to_owned(),
        description: Some(description.to_owned()),
        required: true,
        deprecated: false,
        schema,
    }
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn tags_compare_weakly() {
        for list in ["W/\"a\"", "\"a\"", "\"b\", W/\"a\"", "*", " W/\"a\" "] {
            assert!(names(list, "W/\"a\""), "{list}");
        }
        for list in ["", "a", "\"b\"", "W/\"ab\""] {
            assert!(!names(list, "W/\"a\""), "{list}");
        }
    }
}
