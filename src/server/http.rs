//! REST: each operation extracts its parameters, calls one verb or one read model in one transaction, and converts the
//! result.
//!
//! The document that describes the operations is generated from them and checked in; see [`document`]. No module here
//! touches a table or decides about a row: the verbs of `ingest` and the queries of `read` do.

use std::any::Any;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use poem::error::{MethodNotAllowedError, NotFoundError, ResponseError};
use poem::http::{Method, Uri, header};
use poem::middleware::CatchPanic;
use poem::web::Html;
use poem::{Endpoint, EndpointExt, IntoEndpoint, IntoResponse, Request, Response, Route};
use poem_openapi::Tags;
use poem_openapi::error::{ParseParamError, ParsePathError};

use super::database::Database;
use super::error::{ApiError, ProblemKind};
use super::hub::Hub;
use super::ingest::Invalid;
use super::search::SearchIndex;

mod overview;

mod task;

mod timeline;

mod bookmark;

mod agent;

mod search;

mod hook;

mod transcript;

mod health;

mod stream;

mod negotiation;

mod answer;

mod reading;

mod since;

mod writing;

mod body;

mod paths;
use paths::Paths;

mod pages;

pub mod document;

pub(super) mod routes;

/// The groups of operations in the document.
#[derive(Tags)]
enum Group {
    /// The answers that screens show. A client requests an answer again when a notice makes it stale.
    Read,
    /// The reports of agents. Each answer is sent after the commit and carries a cursor that covers the write.
    Write,
    /// The hooks of coding agents, in the format of each agent.
    Hooks,
    /// The transcripts that coding agents write of their sessions.
    Transcripts,
    /// The health of the server.
    Health,
}

/// The content type of the metrics: the text format of Prometheus that `# EOF` ends.
const METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// REST, its documents, its metrics and the dashboard: `/api/v1`, `/healthz`, `/readyz`, `/metrics`, `/docs`,
/// `/problems`, `/openapi.json` and `/asyncapi.json`.
///
/// A failed operation returns an error, and [`problems`] makes the answer of it.
pub fn api(database: Database, hub: Hub, index: SearchIndex) -> Route {
    let service = Arc::new(document::service(&database, hub, index).into_endpoint());
    let metrics = database.metrics();
    let openapi = document::openapi();
    let docs = document::swagger_ui(&openapi);
    let json = |text: String| poem::endpoint::make_sync(move |_| text.clone().with_content_type("application/json"));
    Route::new()
        .at("/", page())
        .at("/*page", page())
        .at("/problems/:name", poem::get(poem::endpoint::make_sync(explain)))
        .at("/docs", poem::get(poem::endpoint::make_sync(move |_| docs_page(docs.clone()))))
        .at("/openapi.json", poem::get(json(openapi)))
        .at("/asyncapi.json", poem::get(json(document::asyncapi())))
        .at("/metrics", poem::get(poem::endpoint::make_sync(move |_| metrics.text().with_content_type(METRICS))))
        .at("/healthz", service.clone())
        .at("/readyz", service.clone())
        .nest_no_strip("/api", service)
}

/// Answers every failure of `endpoint` with problem details, a panic included.
pub fn problems<E: Endpoint + 'static>(endpoint: E) -> impl Endpoint<Output = Response> + 'static {
    let paths = Arc::new(Paths::of(&document::openapi()));
    endpoint.with(CatchPanic::new().with_handler(panicked)).around(move |endpoint, request: Request| {
        let paths = paths.clone();
        async move {
            let (method, uri) = (request.method().clone(), request.uri().clone());
            if paths.repeats_a_parameter(&method, &uri) {
                return Ok(ApiError::Invalid(paths.wrong_parameters(&method, &uri)).response());
            }
            let answer = endpoint.call(request).await;
            Ok(answer.unwrap_or_else(|error| response_to(&error, &method, &uri, &paths)))
        }
    })
}

fn panicked(_: Box<dyn Any + Send>) -> ApiError {
    // The panic hook has already printed the panic.
    tracing::error!("a request panicked");
    ApiError::Internal
}

/// The dashboard. It has every path that no other route has.
fn page() -> impl Endpoint<Output = Response> {
    poem::endpoint::make_sync(|request| pages::page(&request))
}

/// The page that tries the operations. Its scripts, styles and pictures are in the page itself. It requests only this
/// server, and no other page can show it in a frame.
fn docs_page(docs: String) -> impl IntoResponse {
    const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; \
        font-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    Html(docs)
        .with_header(header::CONTENT_SECURITY_POLICY, POLICY)
        .with_header(header::X_FRAME_OPTIONS, "DENY")
        .with_header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
        .with_header(header::REFERRER_POLICY, "no-referrer")
}

/// The page of a kind of problems.
fn explain(request: Request) -> poem::Result<Response> {
    let kind = request.raw_path_param("name").and_then(ProblemKind::named).ok_or(NotFoundError)?;
    Ok(kind.page().with_content_type("text/plain; charset=utf-8").into_response())
}

/// A failure as problem details. Failures of the framework are translated into an [`ApiError`].
fn response_to(error: &poem::Error, method: &Method, uri: &Uri, paths: &Paths) -> Response {
    let path = uri.path();
    let refused = |fields: &[Invalid]| {
        // The framework, and the operation, stop at the first wrong parameter.
        let mut all = paths.wrong_parameters(method, uri);
        all.extend(
            fields.iter().filter(|one| all.iter().all(|other| other.field != one.field)).cloned().collect::<Vec<_>>(),
        );
        ApiError::Invalid(all)
    };
    let fallback = |field: &str| refused(&[Invalid { field: field.to_owned(), detail: "is not valid".to_owned() }]);
    let translated = if let Some(ours) = error.downcast_ref::<ApiError>() {
        match ours {
            ApiError::Invalid(fields) => refused(fields),
            ours => return ours.as_response(),
        }
    } else if let Some(ParsePathError { name, .. }) = error.downcast_ref() {
        let place = name.trim_start_matches("param").parse().unwrap_or(0);
        fallback(paths.parameter(path, place).unwrap_or(name))
    } else if let Some(ParseParamError { name, .. }) = error.downcast_ref() {
        fallback(name)
    } else if error.is::<MethodNotAllowedError>() {
        // A path outside the document, such as the document itself or the page that shows it, can only be read.
        ApiError::MethodNotAllowed { allow: paths.allow(path).unwrap_or("GET, HEAD").to_owned() }
    } else if error.is::<NotFoundError>() {
        ApiError::NoSuchPath(path.to_owned())
    } else {
        tracing::error!(error = %error, "could not answer a request for {path}: {error}");
        ApiError::Internal
    };
    translated.as_response()
}

/// The one place where REST reads a clock.
fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}
