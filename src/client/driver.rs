//! The driver: performs the engine's actions, and passes to the engine what comes from the network.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tracing::{debug, info, warn};

use super::config::ClientConfig;
use super::fetch::{FetchAnswer, ServerEndpoint};
use super::shared::{Shared, Touched};
use super::shared_times::LONGEST_TIMER;
use super::source::Source;
use super::store::HeldParts;
use super::stream::{STREAM_QUEUE, ServerStream, StreamEnd, StreamItem};
use crate::engine::{ConnectionId, EngineAction, Fetch, Loss, Ticket, Why};
use crate::protocol::Watched;

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
            let mut items = Vec::new();
            tokio::select! {
                () = ending.cancelled() => {}
                () = shared.wake.notified() => {}
                item = next(&mut self.stream) => items.push(item),
                Some(ended) = self.fetches.join_next_with_id() => self.handle_fetch_end(ended),
                () = tokio::time::sleep(wait) => {}
            }
            // The server flushes many frames at once. The engine sees all of them before the driver acts, so that one
            // fetch serves them all. A server that sends without a pause must not keep the driver from acting.
            while items.len() < STREAM_QUEUE
                && let Some(item) = self.stream.as_mut().and_then(|(_, stream)| stream.ready())
            {
                items.push(item);
            }
            self.handle_stream_items(items);
        }
        self.fetches.abort_all();
        if let Some((_, stream)) = self.stream.take() {
            stream.close().await;
        }
    }

    /// Performs all actions that are due. Returns the wait until the next one.
    fn act(&mut self) -> Duration {
        let (wait, begun) = self.act_locked();
        // The log is code of the application, and a name is code of the source: they run outside of the lock.
        for (model, why) in begun {
            debug!(%model, why = %self.shared.source.why_name(why), "fetching {model}");
        }
        wait
    }

    /// The same, with the fetches that began.
    fn act_locked(&mut self) -> (Duration, Vec<(S::Key, Why)>) {
        let shared = Arc::clone(&self.shared);
        let now = shared.times.clock.now();
        let mut begun = Vec::new();
        let mut guard = shared.lock();
        let state = &mut *guard;
        while let Some(action) = state.engine.poll(now) {
            match action {
                EngineAction::Disconnect(id) => {
                    self.stream.take_if(|(open, _)| *open == id);
                }
                EngineAction::Connect { id, since, transport } => {
                    state.last_cursor = None;
                    let source = shared.source.clone();
                    self.stream = Some((id, ServerStream::open(transport, source, self.endpoint.clone(), since)));
                }
                EngineAction::Narrow(id, entries) => {
                    let message = self.watch_message(&entries);
                    if !self.stream.as_ref().is_some_and(|(_, stream)| stream.send(message)) {
                        self.stream = None;
                        state.engine.handle_disconnected(id, Loss::Ended, now);
                        state.note_loss("the server does not read what the client sends".to_owned());
                    }
                }
                EngineAction::Fetch(fetch) => {
                    begun.push((fetch.model.clone(), fetch.why));
                    let held = state.store.held_parts(&fetch.model);
                    let key = fetch.model.clone();
                    self.fetch(fetch, held);
                    state.publish(&shared.source, Touched::one(&key), now);
                }
                EngineAction::Cancel(ticket) => {
                    if let Some(at) = self.flights.iter().position(|flight| flight.ticket == ticket) {
                        let flight = self.flights.swap_remove(at);
                        flight.abort.abort();
                        // A fetch that was given up is a failure.
                        state.publish(&shared.source, Touched::one(&flight.key), now);
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
        let was_late = shared.times.moment().is_driver_late();
        shared.times.note_driver(now);
        if was_late {
            state.store.tell_fresh_anew();
        }
        (next.map_or(LONGEST_TIMER, |next| next.saturating_sub(now).min(LONGEST_TIMER)), begun)
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

    fn handle_stream_items(&mut self, items: Vec<StreamItem<S>>) {
        let Some((id, _)) = self.stream.as_ref().filter(|_| !items.is_empty()) else { return };
        let id = *id;
        if let Some(StreamItem::Ended(StreamEnd { loss, text })) = items.last() {
            match loss {
                Loss::Refused(_) => warn!("the server refused the connection: {text}"),
                _ => info!("lost the stream: {text}"),
            }
            self.stream = None;
        }
        self.shared.take_stream_items(id, items);
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
        if let FetchAnswer::Failed { error, .. } = &answer {
            info!("{error}");
        }
        self.shared.take_answer(ticket, &key, answer);
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
