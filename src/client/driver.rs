//! The driver: performs the engine's actions. No other file of the client passes the time to the engine.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;
use tracing::{debug, info, warn};

use super::fetch::{FetchAnswer, ServerEndpoint};
use super::frame_signal::{signal, why_name};
use super::store::Store;
use super::stream::{ServerStream, StreamEnd, StreamItem, StreamKind};
use crate::engine::{
    ConnectionId, Engine, EngineAction, EngineSettings, FetchVerdict, Loss, Outcome, Status, Ticket, Transport,
};
use crate::protocol::{FrameKind, Incoming, ReadModel, Watch, WatchFrame};

/// A refusal's text comes from the server and is shown to people, so it is cut to this many characters.
const MAX_REFUSAL_REASON: usize = 200;

/// What a client shows of its connection.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ShownStatus {
    pub(super) connection: Status,
    pub(super) project_known: bool,
}

type Fetching = BoxFuture<'static, (Ticket, ReadModel, FetchAnswer)>;

pub(super) struct Driver {
    endpoint: ServerEndpoint,
    engine: Engine<ReadModel>,
    store: Arc<Store>,
    status: watch::Sender<ShownStatus>,
    started: Instant,
    stream: Option<(ConnectionId, StreamKind, ServerStream)>,
    fetches: FuturesUnordered<Fetching>,
    project_known: bool,
}

impl Driver {
    pub(super) fn new(
        endpoint: ServerEndpoint,
        settings: EngineSettings,
        store: Arc<Store>,
        status: watch::Sender<ShownStatus>,
        started: Instant,
    ) -> Self {
        let engine = Engine::new(settings, Vec::new(), fastrand::u64(..));
        let fetches = FuturesUnordered::new();
        Self { endpoint, engine, store, status, started, stream: None, fetches, project_known: true }
    }

    pub(super) async fn run(mut self) {
        loop {
            self.act();
            self.publish();
            let timeout = self.engine.poll_timeout();
            let store = Arc::clone(&self.store);
            tokio::select! {
                () = store.wake.notified() => {}
                item = next(&mut self.stream) => self.handle_stream_item(item),
                Some((ticket, model, answer)) = self.fetches.next() => self.handle_answer(ticket, &model, answer),
                () = sleep_until(self.started, timeout) => {}
            }
            // The server flushes many frames at once. The engine sees all of them before the driver acts, so that one
            // fetch serves them all.
            while let Some(item) = self.stream.as_mut().and_then(|(_, _, stream)| stream.ready()) {
                self.handle_stream_item(item);
            }
        }
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn act(&mut self) {
        let now = self.now();
        for (model, watched) in self.store.take_watch_changes() {
            if watched {
                self.engine.watch(model, now);
            } else {
                self.engine.unwatch(&model, now);
            }
        }
        while let Some(action) = self.engine.poll(now) {
            match action {
                EngineAction::Disconnect(id) => self.stream = self.stream.take().filter(|(open, ..)| *open != id),
                EngineAction::Connect { id, since, transport } => {
                    let kind = match transport {
                        Transport::WebSocket => StreamKind::WebSocket,
                        Transport::ServerSentEvents => StreamKind::Sse,
                    };
                    debug!("connecting to {} ({kind:?})", self.endpoint.address);
                    self.stream = Some((id, kind, ServerStream::open(kind, self.endpoint.clone(), since)));
                }
                EngineAction::Narrow(id, read_models) => {
                    let frame = WatchFrame::Watch(Watch { read_models });
                    let sent = self.stream.as_ref().is_some_and(|(_, _, stream)| stream.send(frame));
                    if !sent {
                        self.stream = None;
                        self.engine.handle_disconnected(id, Loss::Ended, now);
                    }
                }
                EngineAction::Cancel(_) => {}
                EngineAction::Fetch(fetch) => {
                    debug!(model = %fetch.model, why = why_name(fetch.why), "fetching {}", fetch.model);
                    let (endpoint, held) = (self.endpoint.clone(), self.store.held_body(&fetch.model));
                    self.fetches.push(Box::pin(async move {
                        let answer = endpoint.fetch(fetch.model.clone(), held, fetch.at_least).await;
                        (fetch.ticket, fetch.model, answer)
                    }));
                }
            }
        }
    }

    fn handle_stream_item(&mut self, item: StreamItem) {
        let now = self.now();
        let Some((id, ..)) = self.stream.as_ref() else { return };
        let id = *id;
        match item {
            StreamItem::Connected { duplex } => self.engine.handle_connected(id, duplex, now),
            StreamItem::Frame(incoming) => {
                if let Incoming::Frame(frame) = &incoming {
                    match &frame.kind {
                        FrameKind::Snapshot(snapshot) => self.project_known = snapshot.known,
                        FrameKind::Resumed(resumed) => self.project_known = resumed.known,
                        FrameKind::Notice(_) | FrameKind::Stale(_) => self.project_known = true,
                        _ => {}
                    }
                }
                self.engine.handle_signal(id, &signal(&incoming), now);
            }
            StreamItem::Ended(end) => {
                self.stream = None;
                let loss = match end {
                    StreamEnd::Lost(reason) => {
                        info!("lost the stream: {reason}");
                        Loss::Ended
                    }
                    StreamEnd::NotUpgraded(reason) => {
                        info!("no WebSocket: {reason}");
                        Loss::Ended
                    }
                    StreamEnd::Refused(reason) => {
                        warn!("the server refused the connection: {reason}");
                        Loss::Refused(reason.chars().take(MAX_REFUSAL_REASON).collect())
                    }
                };
                self.engine.handle_disconnected(id, loss, now);
            }
        }
    }

    fn handle_answer(&mut self, ticket: Ticket, model: &ReadModel, answer: FetchAnswer) {
        let now = self.now();
        let outcome = match &answer {
            FetchAnswer::Fresh { cursor, .. } => Outcome::Fresh(cursor),
            FetchAnswer::NotModified { cursor } => Outcome::NotModified(cursor),
            FetchAnswer::NotFound { cursor: Some(cursor) } => Outcome::Gone(cursor),
            FetchAnswer::NotFound { cursor: None } => Outcome::Failed { retry_after: None },
            FetchAnswer::Failed { retry_after, .. } => Outcome::Failed { retry_after: *retry_after },
        };
        let verdict = self.engine.handle_fetched(ticket, outcome, now);
        match answer {
            FetchAnswer::Fresh { body, etags, .. } if verdict == FetchVerdict::Keep => {
                self.store.note_error(model, None);
                self.store.replace(model, body, etags);
            }
            FetchAnswer::Fresh { .. } | FetchAnswer::NotModified { .. } | FetchAnswer::NotFound { .. } => {
                self.store.note_error(model, None);
            }
            FetchAnswer::Failed { error, .. } => {
                info!("{error}");
                self.store.note_error(model, Some(error));
            }
        }
    }

    fn publish(&mut self) {
        let now = self.now();
        let engine = &self.engine;
        self.store.publish(|model| {
            let age = engine.age(model, now);
            let true_at = age.and_then(|age| Instant::now().checked_sub(age));
            Some((engine.held(model, now)?, true_at))
        });
        let status = ShownStatus { connection: engine.status(), project_known: self.project_known };
        self.status.send_if_modified(|shown| {
            let changed = *shown != status;
            *shown = status;
            changed
        });
    }
}

async fn next(stream: &mut Option<(ConnectionId, StreamKind, ServerStream)>) -> StreamItem {
    match stream {
        Some((_, _, stream)) => {
            stream.next().await.unwrap_or_else(|| StreamItem::Ended(StreamEnd::lost("the stream ended")))
        }
        None => std::future::pending().await,
    }
}

async fn sleep_until(started: Instant, at: Option<Duration>) {
    match at {
        Some(at) => tokio::time::sleep_until((started + at).into()).await,
        None => std::future::pending().await,
    }
}
