//! Does what the engine says: the only place of the client that reads a clock.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;
use tracing::{debug, info, warn};

use super::fetch::{Answer, Target};
use super::store::Store;
use super::transport::{Closed, Event, Transport, Way};
use crate::engine::{ConnectionId, Engine, EngineAction, EngineSettings, FetchVerdict, Loss, Outcome, Status, Ticket};
use crate::protocol::ReadModel;

/// After so many failed upgrades in a row the stream comes as server-sent events.
const UPGRADES: u32 = 2;
/// The longest a reason from elsewhere is passed on.
const REASON: usize = 200;

type Fetching = BoxFuture<'static, (Ticket, ReadModel, Answer)>;

pub(super) struct Driver {
    target: Target,
    engine: Engine,
    store: Arc<Store>,
    status: watch::Sender<Status>,
    started: Instant,
    stream: Option<(ConnectionId, Way, Transport)>,
    fetches: FuturesUnordered<Fetching>,
    failed_upgrades: u32,
}

impl Driver {
    pub(super) fn new(
        target: Target,
        settings: EngineSettings,
        store: Arc<Store>,
        status: watch::Sender<Status>,
        started: Instant,
    ) -> Self {
        let engine = Engine::new(settings, fastrand::u64(..));
        let fetches = FuturesUnordered::new();
        Self { target, engine, store, status, started, stream: None, fetches, failed_upgrades: 0 }
    }

    pub(super) async fn run(mut self) {
        loop {
            self.act();
            self.publish();
            let timeout = self.engine.poll_timeout();
            let store = Arc::clone(&self.store);
            tokio::select! {
                () = store.wake.notified() => {}
                event = next(&mut self.stream) => self.handle_event(event),
                Some((ticket, model, answer)) = self.fetches.next() => self.handle_answer(ticket, &model, answer),
                () = sleep_until(self.started, timeout) => {}
            }
            // A flush brings many frames at once: hear them all before acting on them.
            while let Some(event) = self.stream.as_mut().and_then(|(_, _, transport)| transport.ready()) {
                self.handle_event(event);
            }
        }
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn act(&mut self) {
        let now = self.now();
        for (model, watched) in self.store.turns() {
            if watched {
                self.engine.watch(model, now);
            } else {
                self.engine.unwatch(&model, now);
            }
        }
        while let Some(action) = self.engine.poll(now) {
            match action {
                EngineAction::Disconnect(id) => self.stream = self.stream.take().filter(|(open, ..)| *open != id),
                EngineAction::Connect { id, since } => {
                    let way = if self.failed_upgrades < UPGRADES { Way::WebSocket } else { Way::Sse };
                    debug!("connecting to {} ({way:?})", self.target.address);
                    self.stream = Some((id, way, Transport::open(way, self.target.clone(), since)));
                }
                EngineAction::Send(id, frame) => {
                    let sent = self.stream.as_ref().is_some_and(|(_, _, transport)| transport.send(frame));
                    if !sent {
                        self.stream = None;
                        self.engine.handle_disconnected(id, Loss::Lost, now);
                    }
                }
                EngineAction::Fetch(fetch) => {
                    debug!(model = %fetch.model, why = %fetch.why, "fetching {}", fetch.model);
                    let (target, known) = (self.target.clone(), self.store.known(&fetch.model));
                    self.fetches.push(Box::pin(async move {
                        let answer = target.fetch(fetch.model.clone(), known, fetch.at_least).await;
                        (fetch.ticket, fetch.model, answer)
                    }));
                }
            }
        }
    }

    fn handle_event(&mut self, event: Event) {
        let now = self.now();
        let Some((id, way, _)) = self.stream.as_ref() else { return };
        let (id, way) = (*id, *way);
        match event {
            Event::Connected { duplex } => {
                // A stream that works says nothing against trying the better way the next time.
                self.failed_upgrades = if way == Way::WebSocket { 0 } else { UPGRADES - 1 };
                self.engine.handle_connected(id, duplex, now);
            }
            Event::Message(incoming) => self.engine.handle_frame(id, &incoming, now),
            Event::Closed(closed) => {
                self.stream = None;
                let loss = match closed {
                    Closed::Lost(why) => {
                        info!("lost the stream: {why}");
                        Loss::Lost
                    }
                    Closed::NotUpgraded(why) => {
                        info!("no WebSocket: {why}");
                        self.failed_upgrades += 1;
                        Loss::Lost
                    }
                    Closed::Refused(why) => {
                        warn!("the server refused us: {why}");
                        Loss::Refused(why.chars().take(REASON).collect())
                    }
                };
                self.engine.handle_disconnected(id, loss, now);
            }
        }
    }

    fn handle_answer(&mut self, ticket: Ticket, model: &ReadModel, answer: Answer) {
        let now = self.now();
        let outcome = match &answer {
            Answer::Fresh { cursor, .. } => Outcome::Fresh(cursor),
            Answer::NotModified { cursor } => Outcome::NotModified(cursor),
            Answer::Gone { cursor } => Outcome::Gone(cursor.as_ref()),
            Answer::Failed { retry_after, .. } => Outcome::Failed { retry_after: *retry_after },
        };
        let verdict = self.engine.handle_fetched(ticket, outcome, now);
        match answer {
            Answer::Fresh { body, etags, .. } if verdict == FetchVerdict::Keep => {
                self.store.note_error(model, None);
                self.store.replace(model, body, etags);
            }
            Answer::Fresh { .. } | Answer::NotModified { .. } | Answer::Gone { .. } => {
                self.store.note_error(model, None);
            }
            Answer::Failed { error, .. } => {
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
            Some((engine.held(model)?, true_at))
        });
        let status = engine.status();
        self.status.send_if_modified(|shown| {
            let changed = *shown != status;
            *shown = status;
            changed
        });
    }
}

async fn next(stream: &mut Option<(ConnectionId, Way, Transport)>) -> Event {
    match stream {
        Some((_, _, transport)) => {
            transport.next().await.unwrap_or_else(|| Event::Closed(Closed::lost("the stream ended")))
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
