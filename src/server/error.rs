//! What a caller is told when a request fails: RFC 9457 problem details, whoever found the fault.
//!
//! What went wrong inside is logged, once, and never told.

use std::net::SocketAddr;
use std::time::Duration;

use poem::error::ResponseError;
use poem::http::{HeaderValue, StatusCode, header};
use poem::{IntoResponse, Response};
use poem_openapi::ApiResponse;
use poem_openapi::registry::{MetaMediaType, MetaResponse, MetaResponses, Registry};
use poem_openapi::types::Type;
use sea_orm::DbErr;
use serde::Serialize;

use super::agents::HookError;
use super::database::{DatabaseError, OpenError};
use super::ingest::{Invalid, WriteError};
use crate::protocol::{CURSOR_HEADER, Cursor};

/// The media type of a problem.
pub const PROBLEM: &str = "application/problem+json";

/// How long to wait where the database is away: it is looked for again about as often.
const RETRY_WHEN_AWAY: Duration = Duration::from_secs(5);
/// How long to wait where it is busy.
const RETRY_WHEN_BUSY: Duration = Duration::from_secs(1);

/// Why a request was not answered as it wanted.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The body is not JSON, or not UTF-8.
    #[error("the body is not JSON: {0}")]
    NotJson(String),
    /// The body broke off.
    #[error("the body did not arrive: {0}")]
    Body(String),
    /// The body did not arrive in time.
    #[error("the body did not arrive within {} seconds", .0.as_secs())]
    Timeout(Duration),
    /// A header does not parse.
    #[error("header {name}: {detail}")]
    Header {
        /// Which.
        name: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The request is not one that can be answered here, as in a stream that is asked for without an upgrade.
    #[error("{0}")]
    BadRequest(String),
    /// Who asks, or from where, is not allowed to.
    #[error("{0}")]
    Forbidden(String),
    /// What the path names is not there. Told with the cursor of what was read, where something was.
    #[error("there is no {what} {id}")]
    NotFound {
        /// What kind of thing.
        what: &'static str,
        /// Its id.
        id: String,
        /// What was read to find that out.
        cursor: Option<Cursor>,
    },
    /// No operation has this path.
    #[error("nothing is at {0}")]
    NoSuchPath(String),
    /// No operation of this path has this method.
    #[error("the methods here are {allow}")]
    MethodNotAllowed {
        /// Those it has.
        allow: String,
    },
    /// An id is taken by something else.
    #[error("{0}")]
    Conflict(String),
    /// The body is longer than it may be.
    #[error("the body is longer than {limit} bytes")]
    TooLarge {
        /// Its most bytes.
        limit: usize,
    },
    /// The body says it is something else than JSON.
    #[error("the body has to be application/json, not {0}")]
    MediaType(String),
    /// Fields or parameters cannot be taken as they are.
    #[error("{}", describe(.0))]
    Invalid(Vec<Invalid>),
    /// Not now.
    #[error("{detail}")]
    Unavailable {
        /// Why.
        detail: String,
        /// When to come back.
        retry_after: Duration,
    },
    /// A fault of ours.
    #[error("the server failed")]
    Internal,
}

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Everyone who reaches the address could read and write everything.
    #[error(
        "{0} can be reached by others, and nobody is asked who they are; --insecure-no-auth serves it all the same"
    )]
    Exposed(SocketAddr),
    /// The listener has no address.
    #[error("the listener has no address: {0}")]
    Listener(#[from] std::io::Error),
    /// The database cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A required background job ended before the server did.
    #[error("a part of the server broke: {0}")]
    Broken(String),
    /// The database was opened and then could not be read.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// The body of an answer that reports a failure.
#[derive(Debug, Serialize, poem_openapi::Object)]
pub struct Problem {
    /// What kind of failure: a path that stays the same.
    #[serde(rename = "type")]
    #[oai(rename = "type")]
    kind: String,
    /// The kind in words.
    title: String,
    /// The status of the answer.
    status: u16,
    /// What failed, naming the field or the id.
    detail: String,
    /// The fields or parameters that cannot be taken as they are; empty where it is about none.
    errors: Vec<FieldProblem>,
}

/// A field or parameter that cannot be taken as it is.
#[derive(Debug, Serialize, poem_openapi::Object)]
pub struct FieldProblem {
    /// Its name, or its path in the body, as in `events[3].title`.
    field: String,
    /// What is wrong with it.
    detail: String,
}

impl ApiError {
    /// One field or parameter that cannot be taken.
    pub fn invalid(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Invalid(vec![Invalid { field: field.into(), detail: detail.into() }])
    }

    /// A request that cannot be answered here.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::BadRequest(detail.into())
    }

    /// Who asks, or from where, is not allowed to.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::Forbidden(detail.into())
    }

    /// Not now, and soon perhaps.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self::Unavailable { detail: detail.into(), retry_after: RETRY_WHEN_BUSY }
    }

    /// A fault of ours. Logged here, because the caller is told nothing of it.
    pub fn internal(what: &str, error: &dyn std::error::Error) -> Self {
        tracing::error!(error = %error, "could not {what}: {error}");
        Self::Internal
    }

    /// The answer.
    pub fn response(self) -> Response {
        self.into_response()
    }

    fn kind(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::NotJson(_) => (StatusCode::BAD_REQUEST, "not-json", "Not JSON"),
            Self::Body(_) => (StatusCode::BAD_REQUEST, "body", "The body did not arrive"),
            Self::Timeout(_) => (StatusCode::REQUEST_TIMEOUT, "timeout", "The body did not arrive in time"),
            Self::Header { .. } => (StatusCode::BAD_REQUEST, "header", "A header does not parse"),
            Self::BadRequest(_) => (StatusCode::BAD_REQUEST, "bad-request", "Not a request that can be answered"),
            Self::Forbidden(_) => (StatusCode::FORBIDDEN, "forbidden", "Not allowed"),
            Self::NotFound { .. } => (StatusCode::NOT_FOUND, "not-found", "Not there"),
            Self::NoSuchPath(_) => (StatusCode::NOT_FOUND, "no-such-path", "No such path"),
            Self::MethodNotAllowed { .. } => (StatusCode::METHOD_NOT_ALLOWED, "method", "No such method here"),
            Self::Conflict(_) => (StatusCode::CONFLICT, "conflict", "The id is taken"),
            Self::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The body is too long"),
            Self::MediaType(_) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "media-type", "Not a JSON body"),
            Self::Invalid(_) => (StatusCode::UNPROCESSABLE_ENTITY, "invalid", "Something cannot be taken as it is"),
            Self::Unavailable { .. } => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Not now"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "The server failed"),
        }
    }
}

impl ResponseError for ApiError {
    fn status(&self) -> StatusCode {
        self.kind().0
    }

    fn as_response(&self) -> Response {
        let (status, kind, title) = self.kind();
        let fields = if let Self::Invalid(fields) = self { fields.as_slice() } else { &[] };
        let errors = fields.iter().map(|one| FieldProblem { field: one.field.clone(), detail: one.detail.clone() });
        let problem = Problem {
            kind: format!("/problems/{kind}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: self.to_string(),
            errors: errors.collect(),
        };
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let mut response = Response::builder().status(status).content_type(PROBLEM).body(body);
        let mut add = |name, value: String| {
            if let Ok(value) = HeaderValue::try_from(value) {
                response.headers_mut().insert(name, value);
            }
        };
        if let Self::NotFound { cursor: Some(cursor), .. } = self {
            add(header::HeaderName::from_static(CURSOR_HEADER), cursor.to_string());
        }
        if let Self::MethodNotAllowed { allow } = self {
            add(header::ALLOW, allow.clone());
        }
        if let Self::Unavailable { retry_after, .. } = self {
            add(header::RETRY_AFTER, retry_after.as_secs().to_string());
        }
        response
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.as_response()
    }
}

/// Any operation can fail. Which other failures one can have follows from what it takes: see `http::document`.
impl ApiResponse for ApiError {
    fn meta() -> MetaResponses {
        let failed = MetaResponse {
            description: "The server failed.",
            status: Some(500),
            status_range: None,
            content: vec![MetaMediaType { content_type: PROBLEM, schema: Problem::schema_ref() }],
            headers: Vec::new(),
        };
        MetaResponses { responses: vec![failed] }
    }

    fn register(registry: &mut Registry) {
        Problem::register(registry);
    }
}

impl From<DatabaseError> for ApiError {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::Away(_) | DatabaseError::Damaged(_) => {
                Self::Unavailable { detail: error.to_string(), retry_after: RETRY_WHEN_AWAY }
            }
            // What is wrong with it is logged where it is made again.
            DatabaseError::Index(_) => Self::Unavailable {
                detail: "the search index is damaged; it is made again as soon as it can be, everything else works"
                    .to_owned(),
                retry_after: RETRY_WHEN_BUSY,
            },
            DatabaseError::Busy => Self::Unavailable { detail: error.to_string(), retry_after: RETRY_WHEN_BUSY },
            DatabaseError::Db(error) => Self::internal("use the database", &error),
        }
    }
}

impl From<DbErr> for ApiError {
    fn from(error: DbErr) -> Self {
        DatabaseError::from(error).into()
    }
}

impl From<WriteError> for ApiError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::NotFound { what, id } => Self::NotFound { what, id, cursor: None },
            WriteError::Conflict { .. } => Self::Conflict(error.to_string()),
            WriteError::Invalid(fields) => Self::Invalid(fields),
            WriteError::Db(error) => error.into(),
        }
    }
}

impl From<HookError> for ApiError {
    fn from(error: HookError) -> Self {
        match error {
            HookError::Invalid { field, detail } => Self::invalid(field, detail),
            HookError::NotJson { detail } => Self::NotJson(detail),
        }
    }
}

fn describe(fields: &[Invalid]) -> String {
    fields.iter().map(|one| format!("{}: {}", one.field, one.detail)).collect::<Vec<_>>().join("; ")
}
