//! The driver: performs the engine's actions, and passes to the engine what comes from the network.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tracing::{debug, info, warn};

use super::config::ClientConfig;
use super::fetch::{FetchAnswer, ServerEndpoint};
use super::shared::{ClientState, Shared, Touched};
use super::source::{Message, Source};
use super::store::HeldParts;
use super::stream::{ServerStream, StreamEnd, StreamItem};
use crate::engine::{ConnectionId, EngineAction, Fetch, FetchVerdict, Loss, Outcome, Ticket, What};
use crate::protocol::Watched;

/// The longest wait of one timer. The timers of the operating system may stand still while the machine sleeps, so the
/// driver looks at the clock at least this often.
const LONGEST_TIMER: Duration = Duration::from_secs(10);

pub(super) struct Driver<S: Source> {
    shared: Arc<Shared<S>>,
    endpoint: ServerEndpoint,
    /// The most bytes of bodies without a watch.
    remembered_bytes: usize,
    stream: Option<(ConnectionId, ServerStream<S>)>,
    fetches: JoinSet<FetchAnswer<S>>,
    /// The fetches under way. A cancelled one is absent here, so its end is ignored.
    flights: Vec<Flight<S>>,
    /// The time at which the state of a view changes without an input.
    expiry: Option<Duration>,
    /// Ends the client when the driver ends, in whatever way.
    _end: EndGuard<S>,
}

struct Flight<S: Source> {
    task: Id,
    ticket: Ticket,
    key: S::Key,
    abort: AbortHandle,
}

/// Wakes every waiting call when the driver is dropped: after its end, a panic, or the end of the runtime.
struct EndGuard<S: Source>(Arc<Shared<S>>);

impl<S: Source> Drop for EndGuard<S> {
    fn drop(&mut self) {
        self.0.end();
        self.0.ended.cancel();
    }
}

impl<S: Source> Driver<S> {
    pub(super) fn new(shared: Arc<Shared<S>>, endpoint: ServerEndpoint, config: &ClientConfig) -> Self {
        Self {
            _end: EndGuard(Arc::clone(&shared)),
            shared,
            endpoint,
            remembered_bytes: config.remembered_bytes,
            stream: None,
            fetches: JoinSet::new(),
            flights: Vec::new(),
            expiry: None,
        }
    }

    pub(super) async fn run(mut self) {
        let ending = self.shared.ending.clone();
        while !ending.is_cancelled() {
            let wait = self.act();
            let shared = Arc::clone(&self.shared);
            tokio::select! {
                () = ending.cancelled() => {}
                () = shared.wake.notified() => {}
                item = next(&mut self.stream) => self.handle_stream_item(item),
                Some(ended) = self.fetches.join_next_with_id() => self.handle_fetch_end(ended),
                () = tokio::time::sleep(wait) => {}
            }
            // The server flushes many frames at once. The engine sees all of them before the driver acts, so that one
            // fetch serves them all.
            while let Some(item) = self.stream.as_mut().and_then(|(_, stream)| stream.ready()) {
                self.handle_stream_item(item);
            }
        }
        self.fetches.abort_all();
        if let Some((_, stream)) = self.stream.take() {
            stream.close().await;
        }
    }

    /// Performs all actions that are due. Returns the wait until the next one.
    fn act(&mut self) -> Duration {
        let shared = Arc::clone(&self.shared);
        let now = shared.clock.now();
        let mut guard = shared.lock();
        let state = &mut *guard;
        while let Some(action) = state.engine.poll(now) {
            match action {
                EngineAction::Disconnect(id) => {
                    self.stream.take_if(|(open, _)| *open == id);
                }
                EngineAction::Connect { id, since, transport } => {
                    debug!("connecting to {} ({transport:?})", self.endpoint.address);
                    let source = shared.source.clone();
                    self.stream = Some((id, ServerStream::open(transport, source, self.endpoint.clone(), since)));
                }
                EngineAction::Narrow(id, entries) => {
                    let message = self.watch_message(&entries);
                    if !self.stream.as_ref().is_some_and(|(_, stream)| stream.send(message)) {
                        self.stream = None;
                        state.engine.handle_disconnected(id, Loss::Ended, now);
                    }
                }
                EngineAction::Fetch(fetch) => {
                    debug!(model = %fetch.model, why = %shared.source.why_name(fetch.why), "fetching {}", fetch.model);
                    let held = state.store.held_parts(&fetch.model);
                    let key = fetch.model.clone();
                    self.fetch(fetch, held);
                    state.publish(&shared.source, Touched::One(&key), now);
                }
                EngineAction::Cancel(ticket) => {
                    if let Some(at) = self.flights.iter().position(|flight| flight.ticket == ticket) {
                        self.flights.swap_remove(at).abort.abort();
                    }
                }
            }
        }
        if self.expiry.is_some_and(|expiry| expiry <= now) {
            state.publish(&shared.source, Touched::All, now);
        }
        state.publish_status_change(&shared.source, now);
        let engine = &state.engine;
        let forgotten = state.store.trim(self.remembered_bytes, |key| engine.held(key, now).is_some());
        for key in &forgotten {
            state.engine.forget(key);
        }
        self.expiry = state.engine.next_expiry(now);
        let next = [state.engine.poll_timeout(), self.expiry].into_iter().flatten().min();
        next.map_or(LONGEST_TIMER, |next| next.saturating_sub(now).min(LONGEST_TIMER))
    }

    fn watch_message(&self, entries: &[Watched<S::Key>]) -> String {
        let names: Vec<String> = entries.iter().map(|entry| self.shared.source.name(entry)).collect();
        serde_json::json!({"type": "watch", "payload": {"read_models": names}}).to_string()
    }

    fn fetch(&mut self, fetch: Fetch<S::Key>, held: HeldParts) {
        let (endpoint, source) = (self.endpoint.clone(), self.shared.source.clone());
        let key = fetch.model.clone();
        let abort = self.fetches.spawn(endpoint.fetch(source, fetch.model, held, fetch.at_least));
        self.flights.push(Flight { task: abort.id(), ticket: fetch.ticket, key, abort });
    }

    fn handle_stream_item(&mut self, item: StreamItem<S>) {
        let Some((id, _)) = self.stream.as_ref() else { return };
        let (id, now) = (*id, self.shared.clock.now());
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        match item {
            StreamItem::Connected { duplex } => state.engine.handle_connected(id, duplex, now),
            StreamItem::Message(message) => handle_message(&shared, &mut state, id, message, now),
            StreamItem::Ended(StreamEnd { loss, text }) => {
                self.stream = None;
                match &loss {
                    Loss::Refused(_) => warn!("the server refused the connection: {text}"),
                    _ => info!("lost the stream: {text}"),
                }
                state.loss = Some(text.into());
                state.engine.handle_disconnected(id, loss, now);
            }
        }
        state.publish(&shared.source, Touched::All, now);
    }

    fn handle_fetch_end(&mut self, ended: Result<(Id, FetchAnswer<S>), JoinError>) {
        let task = match &ended {
            Ok((task, _)) => *task,
            Err(error) => error.id(),
        };
        let Some(at) = self.flights.iter().position(|flight| flight.task == task) else { return };
        let Flight { ticket, key, .. } = self.flights.swap_remove(at);
        let answer = ended.map(|(_, answer)| answer).unwrap_or_else(|error| FetchAnswer::Failed {
            error: format!("could not load {key}: {error}").into(),
            retry_after: None,
        });
        let now = self.shared.clock.now();
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        let outcome = match &answer {
            FetchAnswer::Fresh { cursor, .. } => Outcome::Fresh(cursor),
            FetchAnswer::NotModified { cursor } => Outcome::NotModified(cursor),
            FetchAnswer::Gone { cursor } => Outcome::Gone(cursor),
            FetchAnswer::Failed { retry_after, .. } => Outcome::Failed { retry_after: *retry_after },
        };
        let verdict = state.engine.handle_fetched(ticket, outcome, now);
        match answer {
            FetchAnswer::Fresh { body, parts, etags, .. } => {
                state.store.note_error(&key, None);
                if verdict == FetchVerdict::Keep {
                    state.store.replace(&key, body, parts, etags);
                }
            }
            FetchAnswer::NotModified { .. } | FetchAnswer::Gone { .. } => state.store.note_error(&key, None),
            FetchAnswer::Failed { error, .. } => {
                info!("{error}");
                state.store.note_error(&key, Some(error));
            }
        }
        state.publish(&shared.source, Touched::One(&key), now);
    }
}

fn handle_message<S: Source>(
    shared: &Shared<S>,
    state: &mut ClientState<S>,
    id: ConnectionId,
    mut message: Message<S>,
    now: Duration,
) {
    state.project.handle_message(&message);
    let cursor = message.signal.cursor.as_ref();
    if let (Some(detail), What::Stale { places, .. }) = (&message.detail, &mut message.signal.what) {
        places.retain(|place| match place {
            Watched::One(key) => state.store.concerns(&shared.source, key, detail, cursor),
            Watched::Group(_) => true,
        });
    }
    let shown = state.engine.handle_signal(id, &message.signal, now);
    for carried in message.carried {
        if shown.contains(&carried.key) {
            state.store.note_error(&carried.key, None);
            let etags = vec![None; carried.parts.len()];
            state.store.replace(&carried.key, carried.body, carried.parts, etags);
        }
    }
}

async fn next<S: Source>(stream: &mut Option<(ConnectionId, ServerStream<S>)>) -> StreamItem<S> {
    match stream {
        Some((_, stream)) => {
            stream.next().await.unwrap_or_else(|| StreamItem::Ended(StreamEnd::ended("the stream ended")))
        }
        None => std::future::pending().await,
    }
}
