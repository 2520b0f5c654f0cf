//! The routes of the server, behind the gate that checks the host and the origin of each request.

use std::sync::Arc;
use std::time::Duration;

use poem::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use poem::web::Query;
use poem::{Endpoint, EndpointExt, FromRequest, Request, Response};
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::paths::REPEATED;
use super::{api, problems};
use crate::protocol::limits;
use crate::protocol::{AT_HEADER, AT_LEAST_HEADER, CURSOR_HEADER, DELIVERY_HEADER, HOST_HEADER, PROCESS_HEADER};
use crate::server::access::gate::Gate;
use crate::server::config::ServerConfig;
use crate::server::database::Database;
use crate::server::error::ApiError;
use crate::server::feed::{self, Feed};
use crate::server::hub::Hub;
use crate::server::metrics::{StreamTransport, StreamTransportName};
use crate::server::net::{sse, ws};
use crate::server::search::SearchIndex;

/// The parts of the server that every stream shares.
#[derive(Clone)]
pub struct Streams {
    /// The source of the frames.
    source: feed::FeedSource,
    /// One permit for each open stream.
    permits: Arc<Semaphore>,
    /// The open WebSockets.
    tasks: TaskTracker,
    /// Cancelled when the server ends. No stream opens afterwards.
    draining: CancellationToken,
}

impl Streams {
    /// The streams of one server. `draining` ends them.
    pub fn new(database: Database, hub: Hub, config: &ServerConfig, draining: CancellationToken) -> Self {
        let source = feed::FeedSource {
            database,
            hub,
            first_frames: Arc::default(),
            heartbeat: config.heartbeat,
            retry: limits::RETRY_AFTER_CLOSING,
        };
        let permits = Arc::new(Semaphore::new(config.max_streams));
        Self { source, permits, tasks: TaskTracker::new(), draining }
    }

    /// Waits until every WebSocket has sent its last frame, but not for longer than `timeout`.
    pub async fn wait_for_last_frames(&self, timeout: Duration) {
        self.tasks.close();
        let _ = tokio::time::timeout(timeout, self.tasks.wait()).await;
    }
}

/// The place of an open stream, and its count in the metrics.
struct OpenStream {
    streams: Gauge,
    _permit: OwnedSemaphorePermit,
}

impl OpenStream {
    fn new(streams: &Streams, transport: StreamTransportName, permit: OwnedSemaphorePermit) -> Self {
        let metrics = streams.source.database.metrics();
        let streams = metrics.streams.get_or_create(&StreamTransport { transport }).clone();
        streams.inc();
        Self { streams, _permit: permit }
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.streams.dec();
    }
}

/// The parameters of a stream.
#[derive(Default)]
struct StreamQuery {
    project: Option<String>,
    since: Option<String>,
}

impl StreamQuery {
    async fn of(request: &Request) -> Result<Self, ApiError> {
        let pairs = Query::<Vec<(String, String)>>::from_request_without_body(request).await;
        let Query(pairs) = pairs.map_err(|error| ApiError::bad_request(format!("query: {error}")))?;
        let mut query = Self::default();
        for (name, value) in pairs {
            let place = match name.as_str() {
                "project" => &mut query.project,
                "since" => &mut query.since,
                _ => continue,
            };
            if place.replace(value).is_some() {
                return Err(ApiError::invalid(name, REPEATED));
            }
        }
        Ok(query)
    }
}

/// All routes of the server, behind the gate.
pub fn app(gate: Gate, streams: Streams, index: SearchIndex) -> impl Endpoint<Output = Response> + 'static {
    let api = api(streams.source.database.clone(), index);
    let (by_websocket, by_events) = (streams.clone(), streams);
    let by_websocket = poem::endpoint::make(move |request| websocket(by_websocket.clone(), request));
    // Without an answer of its own, `HEAD` would be upgraded like `GET`.
    let no_websocket = poem::endpoint::make_sync(|_| refused(&ws::NotAnUpgrade::OTHER_METHOD));
    let routes = api
        .at("/ws", poem::get(by_websocket).head(no_websocket))
        .at("/api/v1/stream", poem::get(poem::endpoint::make(move |request| events(by_events.clone(), request))));
    problems(routes).around(move |routes, request| {
        let admitted = gate.check(request.original_uri(), request.headers());
        async move {
            Ok(match admitted {
                Err(refusal) => ApiError::forbidden(refusal.to_string()).response(),
                // A supervisor restarts a server that does not answer here. No lookup, query or queue is in the way.
                Ok(None) if is_health_check(&request) => Response::default(),
                Ok(None) => routes.get_response(request).await,
                Ok(Some(origin)) if request.method() == Method::OPTIONS => preflight(&origin),
                Ok(Some(origin)) => {
                    let mut response = routes.get_response(request).await;
                    allow(response.headers_mut(), &origin);
                    response
                }
            })
        }
    })
}

fn is_health_check(request: &Request) -> bool {
    request.uri().path() == "/healthz" && matches!(*request.method(), Method::GET | Method::HEAD)
}

async fn websocket(streams: Streams, request: Request) -> poem::Result<Response> {
    let upgrade = match ws::Upgrade::of(&request) {
        Ok(upgrade) => upgrade,
        Err(error) => return Ok(refused(&error)),
    };
    let (feed, place) = match open(&streams, &request, StreamTransportName::WebSocket).await {
        Ok(open) => open,
        Err(ApiError::Internal) => return Ok(upgrade.accept(&streams.tasks, ws::fail)),
        Err(error) => return Ok(error.response()),
    };
    let heartbeat = streams.source.heartbeat;
    Ok(upgrade.accept(&streams.tasks, move |socket| async move {
        ws::run(socket, feed, heartbeat).await;
        drop(place);
    }))
}

fn refused(error: &ws::NotAnUpgrade) -> Response {
    let mut response = ApiError::bad_request(error.to_string()).response();
    // A client that speaks another version reads here which version the server speaks.
    response.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    response
}

async fn events(streams: Streams, request: Request) -> poem::Result<Response> {
    match open(&streams, &request, StreamTransportName::Events).await {
        Ok((feed, place)) => Ok(sse::response(feed, place)),
        Err(error) => Ok(error.response()),
    }
}

async fn open(
    streams: &Streams,
    request: &Request,
    transport: StreamTransportName,
) -> Result<(Feed, OpenStream), ApiError> {
    if streams.draining.is_cancelled() {
        return Err(ApiError::unavailable("the server is shutting down"));
    }
    let query = StreamQuery::of(request).await?;
    let permit = streams.permits.clone().try_acquire_owned();
    let permit = permit.map_err(|_| ApiError::unavailable("the limit of open streams is reached"))?;
    // A browser that reconnects sends `Last-Event-ID` by itself. It is newer than the `since` of the unchanged URL.
    let last = request.headers().get("last-event-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
    let wanted = feed::FeedRequest { scope: query.project.into(), since: last.or(query.since) };
    let feed = Feed::open(streams.source.clone(), wanted).await?;
    // The feed may have subscribed only after `closing` was sent, so it would never receive that frame.
    if streams.draining.is_cancelled() {
        return Err(ApiError::unavailable("the server is shutting down"));
    }
    Ok((feed, OpenStream::new(streams, transport, permit)))
}

fn preflight(origin: &HeaderValue) -> Response {
    let mut response = Response::builder()
        .status(StatusCode::NO_CONTENT)
        .header(header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, PUT, PATCH, DELETE")
        .header(
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            format!(
                "content-type, if-none-match, last-event-id, {AT_LEAST_HEADER}, {DELIVERY_HEADER}, {AT_HEADER}, \
                 {PROCESS_HEADER}, {HOST_HEADER}"
            ),
        )
        .header(header::ACCESS_CONTROL_MAX_AGE, "600")
        .finish();
    allow(response.headers_mut(), origin);
    response
}

fn allow(headers: &mut HeaderMap, origin: &HeaderValue) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    for name in [CURSOR_HEADER, "etag", "retry-after"] {
        headers.append(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(name));
    }
}
