//! The answer to a failed request: RFC 9457 problem details, for failures of our code and of the framework alike.
//!
//! The details of an internal fault are logged once, and never sent to the caller.

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
use super::database::{DatabaseError, OpenError, is_taken};
use super::ingest::{Invalid, WriteError};
use crate::protocol::limits;
use crate::protocol::{CURSOR_HEADER, Cursor};

mod problem_kind;
pub use problem_kind::ProblemKind;

/// The media type of a problem.
pub const PROBLEM: &str = "application/problem+json";

/// The reason why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The body is not JSON, or not UTF-8.
    #[error("the body is not JSON: {0}")]
    NotJson(String),
    /// The body broke off.
    #[error("the body broke off: {0}")]
    Body(String),
    /// The body did not arrive in time.
    #[error("the body did not arrive within {} seconds", .0.as_secs())]
    Timeout(Duration),
    /// A header is malformed.
    #[error("header {name}: {detail}")]
    Header {
        /// The name of the header.
        name: String,
        /// The reason.
        detail: String,
    },
    /// The parameter of this name is no token of the list.
    #[error("{0}: is not a token of this list; send the one that a page of the same list gave, with the same filters")]
    PageToken(&'static str),
    /// The request is not valid for its path, such as a request for a WebSocket without an upgrade.
    #[error("{0}")]
    BadRequest(String),
    /// The `Host` or the `Origin` of the request is not allowed.
    #[error("{0}")]
    Forbidden(String),
    /// The row that the request names does not exist.
    #[error("there is no {what} {id}")]
    NotFound {
        /// The kind of the row.
        what: &'static str,
        /// The id of the row.
        id: String,
        /// The cursor of the snapshot that does not contain the row, if a read found that out.
        cursor: Option<Cursor>,
    },
    /// No operation has this path.
    #[error("no operation has the path {0}")]
    NoSuchPath(String),
    /// No operation of this path has this method.
    #[error("this path allows the methods {allow}")]
    MethodNotAllowed {
        /// The methods that it has.
        allow: String,
    },
    /// A new row cannot have the id.
    #[error("{0}")]
    Conflict(String),
    /// The body is too long.
    #[error("the body is longer than {limit} bytes")]
    TooLarge {
        /// The longest allowed body, in bytes.
        limit: usize,
    },
    /// The body has another content type than JSON.
    #[error("the content type must be application/json, not {0}")]
    MediaType(String),
    /// Fields or parameters are invalid.
    #[error("{}", describe(.0))]
    Invalid(Vec<Invalid>),
    /// The server cannot answer now.
    #[error("{detail}")]
    Unavailable {
        /// The reason.
        detail: String,
        /// The wait after which the caller should try again.
        retry_after: Duration,
    },
    /// A fault of the server.
    #[error("the server failed")]
    Internal,
}

/// The reason why a server does not start, or ends by itself.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Any program on another machine could read and write all rows, because requests are not authenticated.
    #[error(
        "{0} can be reached from other machines, and requests are not authenticated; --insecure-no-auth serves anyway"
    )]
    Exposed(SocketAddr),
    /// The listener has no address.
    #[error("the listener has no address: {0}")]
    Listener(#[from] std::io::Error),
    /// The database cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A required background job ended before the server did.
    #[error("a background job of the server broke: {0}")]
    Broken(String),
    /// The database was opened and then could not be read.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// The body of an answer that reports a failure.
#[derive(Debug, Serialize, poem_openapi::Object)]
pub struct Problem {
    /// The kind of the failure: a path that stays the same in later versions.
    #[serde(rename = "type")]
    #[oai(rename = "type")]
    kind: String,
    /// The kind of the failure, in words.
    title: String,
    /// The HTTP status of the answer.
    status: u16,
    /// The cause of this failure, with the name of the field or the id.
    detail: String,
    /// The invalid fields or parameters; empty unless the status is 422.
    errors: Vec<FieldProblem>,
}

/// An invalid field or parameter.
#[derive(Debug, Serialize, poem_openapi::Object)]
pub struct FieldProblem {
    /// The name, or the path in the body, as in `events[3].title`.
    field: String,
    /// The reason why the value is invalid.
    detail: String,
}

impl ApiError {
    /// One invalid field or parameter.
    pub fn invalid(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Invalid(vec![Invalid { field: field.into(), detail: detail.into() }])
    }

    /// A request that is not valid for its path.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::BadRequest(detail.into())
    }

    /// A `Host` or an `Origin` that is not allowed.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::Forbidden(detail.into())
    }

    /// The server cannot answer now, but probably in a second.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self::Unavailable { detail: detail.into(), retry_after: limits::RETRY_WHILE_BUSY }
    }

    /// A fault of the server. Logged here, because the answer has no details.
    pub fn internal(operation: &str, error: &dyn std::error::Error) -> Self {
        tracing::error!(error = %error, "could not {operation}: {error}");
        Self::Internal
    }

    /// The answer that reports this failure.
    pub fn response(self) -> Response {
        self.into_response()
    }

    /// A malformed header.
    pub fn header(name: &str, detail: impl Into<String>) -> Self {
        Self::Header { name: name.to_owned(), detail: detail.into() }
    }

    fn kind(&self) -> &'static ProblemKind {
        match self {
            Self::NotJson(_) => ProblemKind::NOT_JSON,
            Self::Body(_) => ProblemKind::BODY,
            Self::Timeout(_) => ProblemKind::TIMEOUT,
            Self::Header { .. } => ProblemKind::HEADER,
            Self::PageToken(_) => ProblemKind::PAGE_TOKEN,
            Self::BadRequest(_) => ProblemKind::BAD_REQUEST,
            Self::Forbidden(_) => ProblemKind::FORBIDDEN,
            Self::NotFound { .. } => ProblemKind::NOT_FOUND,
            Self::NoSuchPath(_) => ProblemKind::NO_SUCH_PATH,
            Self::MethodNotAllowed { .. } => ProblemKind::METHOD,
            Self::Conflict(_) => ProblemKind::CONFLICT,
            Self::TooLarge { .. } => ProblemKind::TOO_LARGE,
            Self::MediaType(_) => ProblemKind::MEDIA_TYPE,
            Self::Invalid(_) => ProblemKind::INVALID,
            Self::Unavailable { .. } => ProblemKind::UNAVAILABLE,
            Self::Internal => ProblemKind::INTERNAL,
        }
    }
}

impl ResponseError for ApiError {
    fn status(&self) -> StatusCode {
        self.kind().status
    }

    fn as_response(&self) -> Response {
        let ProblemKind { name, status, title, .. } = self.kind();
        let fields = if let Self::Invalid(fields) = self { fields.as_slice() } else { &[] };
        let errors = fields.iter().map(|one| FieldProblem { field: one.field.clone(), detail: one.detail.clone() });
        let problem = Problem {
            kind: format!("/problems/{name}"),
            title: (*title).to_owned(),
            status: status.as_u16(),
            detail: self.to_string(),
            errors: errors.collect(),
        };
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let mut response = Response::builder().status(*status).content_type(PROBLEM).body(body);
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

/// Any operation can fail with 500. The document module adds the other failures of each operation.
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
            DatabaseError::Closed(_) => {
                Self::Unavailable { detail: error.to_string(), retry_after: limits::RETRY_WHILE_AWAY }
            }
            // The reasons name paths and quote the driver, so they are for the log alone.
            DatabaseError::Away(reason) | DatabaseError::Storage(reason) => {
                tracing::debug!("a request found the database away: {reason}");
                Self::Unavailable {
                    detail: "the database is away; the log of the server has the reason".to_owned(),
                    retry_after: limits::RETRY_WHILE_AWAY,
                }
            }
            DatabaseError::Damaged(reason) => {
                tracing::warn!("a request found the database damaged: {reason}");
                Self::Unavailable {
                    detail: "the database is damaged; the log of the server has the reason".to_owned(),
                    retry_after: limits::RETRY_WHILE_AWAY,
                }
            }
            // The job that rebuilds the index logs the damage.
            DatabaseError::Index(_) => Self::Unavailable {
                detail: "the search index is damaged and will be rebuilt soon; all other operations work".to_owned(),
                retry_after: limits::RETRY_WHILE_BUSY,
            },
            DatabaseError::Busy => Self::unavailable("the database is busy"),
            DatabaseError::Db(error) if is_taken(&error) => {
                Self::Conflict("another writer stored a row with this id at the same time".to_owned())
            }
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
            HookError::Invalid(fields) => Self::Invalid(fields),
            HookError::NotJson { detail } => Self::NotJson(detail),
        }
    }
}

fn describe(fields: &[Invalid]) -> String {
    fields.iter().map(|one| format!("{}: {}", one.field, one.detail)).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use sea_orm::{DbErr, RuntimeErr};

    use super::{ApiError, DatabaseError};

    /// A caller learns neither where the database is nor which driver reads it.
    #[test]
    fn no_database_error_tells_a_path_or_the_text_of_the_driver() {
        let text = || "/var/lib/requery.db: error returned from database: (code: 14) SQLite sqlx".to_owned();
        let failed = DbErr::Query(RuntimeErr::Internal(text()));
        let errors = [
            DatabaseError::Away(text()),
            DatabaseError::Storage(text()),
            DatabaseError::Busy,
            DatabaseError::Index(text()),
            DatabaseError::Damaged(text()),
            DatabaseError::Db(failed),
        ];
        for error in errors {
            let told = ApiError::from(error).to_string();
            assert!(told.starts_with("the "), "{told}");
            for word in ["/", "code", "SQL", "sql"] {
                assert!(!told.contains(word), "{told}");
            }
        }
    }
}
