//! What came from the network goes to the engine and to the store, and becomes visible once for each batch.

use std::sync::Arc;
use std::time::Duration;

use super::fetch::FetchAnswer;
use super::shared::{ClientState, Shared, Touched};
use super::source::{CarriedBody, Message, Source};
use super::store::{NewBody, PartTag};
use super::stream::{StreamEnd, StreamItem};
use crate::engine::{ConnectionId, FetchVerdict, HeldState, Outcome, Status, Ticket, What};
use crate::protocol::{Key, Watched};

/// A body that came with a message: its read model, the body, and its JSON.
type Carried<S> = (<S as Source>::Key, NewBody<S>, Vec<bytes::Bytes>);

/// The views that a batch can have changed.
struct TouchedKeys<K> {
    keys: Vec<K>,
    all: bool,
}

impl<S: Source> Shared<S> {
    /// Takes items of one stream, in their order.
    pub(super) fn take_stream_items(&self, id: ConnectionId, items: Vec<StreamItem<S>>) {
        let compare = |carried: CarriedBody<S>| {
            let body = self.compared(&carried.key, carried.body);
            (carried.key, body, carried.parts)
        };
        let compare = |mut item: StreamItem<S>| {
            let carried = match &mut item {
                StreamItem::Message(message) => std::mem::take(&mut message.carried),
                StreamItem::Connected { .. } | StreamItem::Ended(_) => Vec::new(),
            };
            (item, carried.into_iter().map(compare).collect())
        };
        let items: Vec<(StreamItem<S>, Vec<Carried<S>>)> = items.into_iter().map(compare).collect();
        let now = self.times.clock.now();
        let mut touched = TouchedKeys { keys: Vec::new(), all: false };
        let mut locked = self.lock();
        let state = &mut *locked;
        let mut is_message = false;
        for (item, carried) in items {
            match item {
                StreamItem::Connected { duplex } => state.engine.handle_connected(id, duplex, now),
                StreamItem::Message(message) => {
                    is_message = true;
                    touched.add(state, &message);
                    state.take_message(&self.source, id, message, carried, now);
                }
                StreamItem::Ended(StreamEnd { loss, text }) => {
                    state.engine.handle_disconnected(id, loss, now);
                    state.note_loss(text);
                    touched.all = true;
                }
            }
        }
        touched.keys.sort_unstable();
        touched.keys.dedup();
        let views = if touched.all { Touched::All } else { Touched::Keys(&touched.keys) };
        state.publish(&self.source, views, now);
        // The views that a message made stale say so before the others become younger.
        if is_message && matches!(state.engine.status(), Status::Live | Status::CatchingUp) {
            self.times.note_message(now);
        }
    }

    /// Takes the end of a fetch of `key`.
    pub(super) fn take_answer(&self, ticket: Ticket, key: &S::Key, answer: FetchAnswer<S>) {
        let read_at;
        let mut confirmed = Vec::new();
        let (outcome, new) = match answer {
            FetchAnswer::Fresh { cursor, body, parts, tags } => {
                read_at = cursor;
                (Outcome::Fresh(&read_at), Some((self.compared(key, body), parts, tags)))
            }
            FetchAnswer::NotModified { held, .. } if !self.lock().store.holds(key, &held.parts) => {
                // A message brought another body during the request, so the answer says nothing of the held one.
                let error = format!("could not load {key}: the answer confirms an earlier body");
                return self.take_failure(ticket, key, error.into(), None);
            }
            FetchAnswer::NotModified { cursor, cursors, .. } => {
                read_at = cursor;
                confirmed = cursors;
                (Outcome::NotModified(&read_at), None)
            }
            FetchAnswer::Gone { cursor } => {
                read_at = cursor;
                (Outcome::Gone(&read_at), None)
            }
            FetchAnswer::Failed { error, retry_after } => return self.take_failure(ticket, key, error, retry_after),
        };
        let now = self.times.clock.now();
        let mut locked = self.lock();
        let state = &mut *locked;
        let verdict = state.engine.handle_fetched(ticket, outcome, now);
        state.store.note_error(key, None);
        if verdict == FetchVerdict::Keep {
            state.store.note_answer(key, &read_at);
            match new {
                Some((body, parts, tags)) => state.store.replace(key, body, parts, tags),
                None => state.store.confirm(key, confirmed),
            }
        }
        state.publish(&self.source, Touched::one(key), now);
    }

    fn take_failure(&self, ticket: Ticket, key: &S::Key, error: Arc<str>, retry_after: Option<Duration>) {
        let now = self.times.clock.now();
        let mut locked = self.lock();
        let state = &mut *locked;
        let (FetchVerdict::Keep | FetchVerdict::Drop) =
            state.engine.handle_fetched(ticket, Outcome::Failed { retry_after }, now);
        state.store.note_error(key, Some(error));
        state.publish(&self.source, Touched::one(key), now);
    }
}

impl<S: Source> ClientState<S> {
    fn take_message(
        &mut self,
        source: &S,
        id: ConnectionId,
        mut message: Message<S>,
        carried: Vec<Carried<S>>,
        now: Duration,
    ) {
        self.project.handle_message(&message);
        if let (Some(detail), What::Stale { places, .. }) = (&message.detail, &mut message.signal.what) {
            let cursor = message.signal.cursor.as_ref();
            places.retain(|place| match place {
                Watched::One(key) => match self.engine.held(key, now) {
                    // Only a body that is known to be whole may be left alone: another one has to be fetched anyway,
                    // and the server may be able to confirm it now.
                    Some(held) if held.state == HeldState::Fresh => {
                        self.store.concerns(source, key, detail, cursor, held.cursor)
                    }
                    _ => true,
                },
                Watched::Group(_) => true,
            });
        }
        let shown = self.engine.handle_signal(id, &message.signal, now);
        let Some(cursor) = message.signal.cursor else { return };
        for (key, body, parts) in carried {
            if shown.contains(&key) {
                self.store.note_error(&key, None);
                self.store.note_answer(&key, &cursor);
                let tag = PartTag { etag: None, cursor: Some(cursor.clone()) };
                let tags = vec![tag; parts.len()];
                self.store.replace(&key, body, parts, tags);
            }
        }
        self.last_cursor = Some(cursor);
    }
}

impl<K: Key> TouchedKeys<K> {
    /// Adds the views that a message changes, apart from their ages.
    fn add<S: Source<Key = K>>(&mut self, state: &ClientState<S>, message: &Message<S>) {
        // The first message of a stream, and a new epoch, concern every read model.
        let continues = match (&state.last_cursor, &message.signal.cursor) {
            (Some(last), Some(cursor)) => last.epoch() == cursor.epoch(),
            (Some(_), None) => true,
            (None, _) => false,
        };
        match &message.signal.what {
            What::Heartbeat if continues => {}
            What::Stale { places, .. } if continues => {
                for place in places {
                    match place {
                        Watched::One(key) => self.keys.push(key.clone()),
                        Watched::Group(_) => self.all = true,
                    }
                }
            }
            _ => self.all = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::agent_source::AgentSource;
    use super::super::fetch::FetchAnswer;
    use super::super::shared::{Shared, Touched};
    use super::super::source::Source;
    use super::super::store::HeldParts;
    use super::super::stream::StreamItem;
    use crate::engine::{ConnectionId, Engine, EngineAction, EngineSettings};
    use crate::protocol::{Cursor, ReadModel};

    const WATCHED: u64 = 5_000;

    fn task(number: u64) -> String {
        format!("0190b0a0-0000-7000-8000-{number:012}")
    }

    /// A client of one stream that watches many tasks, without network.
    fn watching() -> (Shared<AgentSource>, ConnectionId) {
        let shared = Shared::new(AgentSource, Engine::new(EngineSettings::default(), Vec::new(), 1));
        for number in 0..WATCHED {
            let key = ReadModel::Task(task(number).parse().expect("a task id"));
            shared.call(Touched::one(&key), |state, now| {
                state.store.watch(&key, Default::default());
                state.engine.watch(key.clone(), now);
            });
        }
        let action = shared.lock().engine.poll(Duration::ZERO);
        let Some(EngineAction::Connect { id, .. }) = action else { panic!("{action:?}") };
        shared.take_stream_items(
            id,
            vec![StreamItem::Connected { duplex: false }, message("resync", r#""reason":"x""#, 1)],
        );
        (shared, id)
    }

    fn message(kind: &str, payload: &str, number: u64) -> StreamItem<AgentSource> {
        let text = format!(r#"{{"type":"{kind}","payload":{{{payload}}},"cursor":"e:{number}:{number}:"}}"#);
        StreamItem::Message(AgentSource.message(text.as_bytes()))
    }

    fn logged(number: u64) -> StreamItem<AgentSource> {
        let (task, event) = (task(number % 3), task(number));
        message("event.logged", &format!(r#""task_id":"{task}","event_id":"{event}","project":"p""#), number)
    }

    fn visits(shared: &Shared<AgentSource>, work: impl FnOnce()) -> usize {
        shared.lock().store.visits = 0;
        work();
        shared.lock().store.visits
    }

    #[test]
    fn a_burst_visits_the_views_that_it_concerns() {
        let (shared, id) = watching();
        let heartbeat = || message("heartbeat", r#""server_time":"2026-01-31T09:30:00.000Z""#, 9);
        let quiet = visits(&shared, || shared.take_stream_items(id, (0..64).map(|_| heartbeat()).collect()));
        assert_eq!(quiet, 0, "heartbeats change no view");
        let burst = visits(&shared, || shared.take_stream_items(id, (10..74).map(logged).collect()));
        assert_eq!(burst, 3, "64 notices of 3 tasks");
        let unknown = || shared.take_stream_items(id, vec![message("task.renamed", "", 80), message("later", "", 81)]);
        let everything = visits(&shared, unknown);
        assert_eq!(everything, 5_000, "a doubt about all of them is published once");
        let epoch = r#"{"type":"heartbeat","payload":{"server_time":"2026-01-31T09:30:00.000Z"},"cursor":"f:1:1:"}"#;
        let epoch = visits(&shared, || {
            shared.take_stream_items(id, vec![StreamItem::Message(AgentSource.message(epoch.as_bytes()))]);
        });
        assert_eq!(epoch, 5_000, "a new epoch concerns every view");
    }

    /// A message can bring another body while a fetch is under way. The fetch was made for the body before.
    #[test]
    fn an_answer_that_confirms_another_body_is_a_failure() {
        let shared = Shared::new(AgentSource, Engine::new(EngineSettings::default(), Vec::new(), 1));
        let key = ReadModel::Bookmarks;
        shared.call(Touched::one(&key), |state, now| {
            state.store.watch(&key, Default::default());
            state.engine.watch(key.clone(), now);
        });
        let now = shared.times.clock.now();
        let ticket = loop {
            match shared.lock().engine.poll(now) {
                Some(EngineAction::Fetch(fetch)) => break fetch.ticket,
                Some(_) => {}
                None => panic!("no fetch of {key}"),
            }
        };
        let held = HeldParts { parts: vec!["an earlier body".into()].into(), tags: Vec::new() };
        let cursor = Cursor::counter("e", 5);
        shared.take_answer(ticket, &key, FetchAnswer::NotModified { cursor, held, cursors: Vec::new() });
        let held = shared.lock().engine.held(&key, now).map(|held| (held.failures, held.stale));
        assert_eq!(held, Some((1, true)));
    }
}
