//! Answers: JSON that serde writes straight to bytes, and the headers of each answer.
//!
//! The document has the schema of the same Rust type. A test compares the schema with the JSON.

use std::marker::PhantomData;

use bytes::Bytes;
use poem::http::{HeaderName, StatusCode, header};
use poem::{IntoResponse, Response};
use poem_openapi::ApiResponse;
use poem_openapi::registry::{MetaHeader, MetaMediaType, MetaResponse, MetaResponses, MetaSchemaRef, Registry};
use poem_openapi::types::Type;
use serde::Serialize;

use crate::protocol::{CURSOR_HEADER, Cursor};
use crate::server::database::{Answer, Committed};
use crate::server::error::ApiError;
use crate::server::ingest::Saved;

const JSON: &str = "application/json";

/// The answer to a read: the body, or 304 if the caller has this body already.
pub(super) struct ReadAnswer<T> {
    answer: Answer,
    body: ReadBody,
    of: PhantomData<fn() -> T>,
}

/// The body of the answer to a read.
enum ReadBody {
    /// The caller has it.
    NotModified,
    Plain(Bytes),
    Gzip(Bytes),
}

/// The answer to a write that can create a row: the row, with 201 if it is new.
pub(super) struct SavedRow<T> {
    saved: Saved,
    body: Vec<u8>,
    cursor: Cursor,
    of: PhantomData<fn() -> T>,
}

/// The answer to a write that changes a row: the row as it is now.
pub(super) struct ChangedRow<T> {
    body: Bytes,
    cursor: Cursor,
    of: PhantomData<fn() -> T>,
}

/// An answer without a body: 204 with the cursor.
pub(super) struct NoContent {
    cursor: Cursor,
}

impl<T> ReadAnswer<T> {
    /// `held` is the value of `If-None-Match`: the answers that the caller has. `gzip`: the caller takes this coding.
    /// None: the row that the read names does not exist.
    pub(super) async fn new(answer: Answer, held: Option<&str>, gzip: bool) -> Option<Self> {
        let caller_has_it = answer.json().is_some() && held.is_some_and(|held| names(held, answer.etag()));
        answer.count(caller_has_it);
        let json = answer.json()?.clone();
        let body = if caller_has_it {
            ReadBody::NotModified
        } else {
            let gzip = if gzip { answer.gzip().await } else { None };
            gzip.map_or(ReadBody::Plain(json), ReadBody::Gzip)
        };
        Some(Self { answer, body, of: PhantomData })
    }
}

impl<T: Serialize> SavedRow<T> {
    pub(super) fn new(committed: Committed<(Saved, T)>) -> Result<Self, ApiError> {
        let ((saved, row), cursor) = committed.into_parts();
        Ok(Self { saved, body: bytes(&row)?, cursor, of: PhantomData })
    }
}

impl<T: Serialize> ChangedRow<T> {
    pub(super) fn new(committed: Committed<T>) -> Result<Self, ApiError> {
        let (row, cursor) = committed.into_parts();
        Ok(Self { body: bytes(&row)?.into(), cursor, of: PhantomData })
    }
}

impl<T> ChangedRow<T> {
    /// The answer to a request that only read, because it asked for no change.
    pub(super) fn at(answer: &Answer) -> Self {
        answer.count(false);
        let body = answer.json().cloned().unwrap_or_default();
        Self { body, cursor: answer.cursor().clone(), of: PhantomData }
    }
}

impl NoContent {
    pub(super) fn new(committed: Committed<()>) -> Self {
        Self::at(committed.into_parts().1)
    }

    pub(super) fn at(cursor: Cursor) -> Self {
        Self { cursor }
    }
}

fn bytes<T: Serialize>(value: &T) -> Result<Vec<u8>, ApiError> {
    serde_json::to_vec(value).map_err(|error| ApiError::internal("write an answer", &error))
}

/// Whether a list of entity tags has this tag. The comparison is the weak one, which ignores `W/`.
pub(super) fn names(list: &str, tag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    list.trim() == "*" || list.split(',').any(|one| opaque(one) == opaque(tag))
}

fn response(status: StatusCode, cursor: &Cursor) -> poem::ResponseBuilder {
    Response::builder().status(status).header(HeaderName::from_static(CURSOR_HEADER), cursor.to_string())
}

impl<T> IntoResponse for ReadAnswer<T> {
    fn into_response(self) -> Response {
        let status = match self.body {
            ReadBody::NotModified => StatusCode::NOT_MODIFIED,
            ReadBody::Plain(_) | ReadBody::Gzip(_) => StatusCode::OK,
        };
        // A browser may keep the answer but must revalidate it each time: only the server knows whether it is stale.
        let response = response(status, self.answer.cursor())
            .header(header::ETAG, self.answer.etag())
            .header(header::CACHE_CONTROL, "private, no-cache")
            .header(header::VARY, "accept-encoding");
        match self.body {
            ReadBody::NotModified => response.finish(),
            ReadBody::Plain(json) => response.content_type(JSON).body(json),
            ReadBody::Gzip(json) => response.content_type(JSON).header(header::CONTENT_ENCODING, "gzip").body(json),
        }
    }
}

impl<T> IntoResponse for SavedRow<T> {
    fn into_response(self) -> Response {
        let status = match self.saved {
            Saved::New => StatusCode::CREATED,
            Saved::There => StatusCode::OK,
        };
        response(status, &self.cursor).content_type(JSON).body(self.body)
    }
}

impl<T> IntoResponse for ChangedRow<T> {
    fn into_response(self) -> Response {
        response(StatusCode::OK, &self.cursor).content_type(JSON).body(self.body)
    }
}

impl IntoResponse for NoContent {
    fn into_response(self) -> Response {
        response(StatusCode::NO_CONTENT, &self.cursor).finish()
    }
}

impl<T: Type> ApiResponse for ReadAnswer<T> {
    fn meta() -> MetaResponses {
        let tag = || header_of("ETag", "Names this content; send it in `If-None-Match`.", String::schema_ref());
        let mut found = described::<T>(200, "The requested content.");
        found.headers.push(tag());
        let mut held = empty(304, "The caller already has this content.");
        held.headers.push(tag());
        MetaResponses { responses: vec![found, held] }
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: Type> ApiResponse for SavedRow<T> {
    fn meta() -> MetaResponses {
        let there = described::<T>(200, "The row existed already, and is returned as it is now.");
        MetaResponses { responses: vec![described::<T>(201, "The row is new."), there] }
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: Type> ApiResponse for ChangedRow<T> {
    fn meta() -> MetaResponses {
        MetaResponses { responses: vec![described::<T>(200, "The result of the write.")] }
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl ApiResponse for NoContent {
    fn meta() -> MetaResponses {
        MetaResponses { responses: vec![empty(204, "Done. The answer has no body.")] }
    }

    fn register(_: &mut Registry) {}
}

fn described<T: Type>(status: u16, description: &'static str) -> MetaResponse {
    let content = vec![MetaMediaType { content_type: JSON, schema: T::schema_ref() }];
    MetaResponse { content, ..empty(status, description) }
}

fn empty(status: u16, description: &'static str) -> MetaResponse {
    let cursor = header_of(
        "Requery-Cursor",
        "For a read: the changes that the answer contains. For a write: a cursor that covers the write.",
        Cursor::schema_ref(),
    );
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
