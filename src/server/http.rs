//! REST: each operation extracts, calls one verb or one read model in one transaction, and converts.
//!
//! The document that describes the operations is made from them and checked in; see [`document`]. Nothing here touches
//! a table, and nothing here decides anything: that is done by `ingest` and `read`.

use std::time::{SystemTime, UNIX_EPOCH};

use poem::middleware::CatchPanic;
use poem::web::Html;
use poem::{Endpoint, EndpointExt, IntoEndpoint, IntoResponse, Request, Response, Route};
use poem_openapi::Tags;

use super::database::Database;
use super::error::ApiError;
use super::read::{Place, Window};

mod overview;

mod task;

mod timeline;

mod bookmark;

mod hook;

mod health;

mod answer;

mod body;

pub mod document;

/// The groups of operations in the document.
#[derive(Tags)]
enum Group {
    /// What screens show, and ask for again when a notice makes it stale.
    Read,
    /// What agents report. Each answer is sent after the commit and carries a cursor that contains it.
    Write,
    /// What the hooks of coding agents send, as they send it.
    Hooks,
    /// Whether the server works.
    Health,
}

/// REST and its documents: `/api/v1`, `/healthz`, `/readyz`, `/docs` and `/openapi.json`.
///
/// Every failure is answered with problem details, a panic included. Streams are served elsewhere.
pub fn api(database: &Database) -> impl Endpoint<Output = Response> + use<> {
    let service = document::service(database);
    let openapi = document::openapi();
    let docs = document::swagger_ui(&openapi);
    let routes = document::Methods::of(&openapi);
    let json = |text: String| poem::endpoint::make_sync(move |_| text.clone().with_content_type("application/json"));
    Route::new()
        .at("/docs", poem::get(poem::endpoint::make_sync(move |_| Html(docs.clone()))))
        .at("/openapi.json", poem::get(json(openapi)))
        .at("/asyncapi.json", poem::get(json(document::asyncapi())))
        .nest("/", service.into_endpoint())
        .with(CatchPanic::new().with_handler(|_| ApiError::Internal))
        .around(move |endpoint, request: Request| {
            let path = request.uri().path().to_owned();
            let allow = routes.allow(&path);
            async move {
                match endpoint.call(request).await {
                    Ok(response) => Ok(response),
                    Err(error) => Ok(response_to(&error, &path, allow)),
                }
            }
        })
}

/// A failure as problem details.
fn response_to(error: &poem::Error, path: &str, allow: Option<String>) -> Response {
    match error.downcast_ref::<ApiError>() {
        Some(known) => poem::error::ResponseError::as_response(known),
        None => ApiError::from_framework(error, path, allow).into_response(),
    }
}

/// The one place where REST reads a clock.
fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

/// How many rows a page has where nobody says.
fn default_limit() -> u32 {
    50
}

/// Which part of a list is asked for.
fn window<P: Place>(before: Option<String>, after: Option<String>) -> Result<Window<P>, ApiError> {
    let place = |field, token: &str| {
        P::parse(token).ok_or_else(|| ApiError::invalid(field, "is not a place in this list: send what a page gave"))
    };
    match (before, after) {
        (None, None) => Ok(Window::Newest),
        (Some(token), None) => place("before", &token).map(Window::Before),
        (None, Some(token)) => place("after", &token).map(Window::After),
        (Some(_), Some(_)) => Err(ApiError::invalid("after", "cannot be given together with before")),
    }
}

/// A row that was written a moment ago, in the same transaction, is not there. Only a trigger of somebody else's can do
/// that.
fn missing(what: &'static str, id: &impl ToString) -> ApiError {
    ApiError::NotFound { what, id: id.to_string(), cursor: None }
}
