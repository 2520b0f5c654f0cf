//! The conditions that hold at every moment of a case, not only at its end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use requery::client::signal;
use requery::engine::{ConnectionId, Engine, Fetch, HeldState, Signal, Ticket, What};
use requery::protocol::{Cursor, Incoming, ReadModel};

use super::server::{Server, models};

#[derive(Default)]
pub struct Invariants {
    pub hidden: bool,
    pub offline: bool,
    pub disabled: bool,
    /// The open connection, as far as the client can know.
    pub connection: Option<ConnectionId>,
    /// A message came on it.
    begun: bool,
    /// The cursor of its last message, if no message with the same cursor follows.
    heard: Option<Cursor>,
    /// The cursor of the last message that named a read model while it was watched.
    told: BTreeMap<ReadModel, Cursor>,
    in_flight: BTreeMap<ReadModel, (Ticket, u64)>,
    /// The read models that a person asked for. The pace does not hold for the next fetch.
    wished: BTreeSet<ReadModel>,
    paces: BTreeMap<ReadModel, Pace>,
}

/// The fetches of one read model without a second between them.
#[derive(Default)]
struct Pace {
    began: u64,
    last: u64,
    /// The fetches that no person asked for.
    counted: Vec<u64>,
}

impl Invariants {
    pub fn connect(&mut self, id: ConnectionId) {
        (self.connection, self.begun, self.heard) = (Some(id), false, None);
    }

    pub fn disconnect(&mut self, id: ConnectionId) {
        if self.connection == Some(id) {
            self.connection = None;
        }
    }

    pub fn message(&mut self, id: ConnectionId, incoming: &Incoming, watched: &BTreeSet<ReadModel>) {
        if self.connection == Some(id) {
            if let Signal { cursor: Some(cursor), what: What::Stale { places, .. }, .. } = signal(incoming) {
                for model in watched.iter().filter(|model| places.iter().any(|place| place.includes(model))) {
                    self.told.insert(model.clone(), cursor.clone());
                }
            }
            self.begun = true;
            self.heard = match incoming {
                Incoming::Frame(frame) => Some(frame.cursor.clone()).filter(|_| !frame.more),
                Incoming::Unknown(envelope) => envelope.cursor.clone(),
            };
        }
    }

    pub fn unwatch(&mut self, model: &ReadModel) {
        self.told.remove(model);
    }

    pub fn wish(&mut self, model: &ReadModel) {
        self.wished.insert(model.clone());
    }

    pub fn fetch(&mut self, fetch: &Fetch<ReadModel>, watched: bool, now: u64) {
        let model = &fetch.model;
        assert!(watched, "{model} is fetched at {now}, and no screen shows it");
        assert!(!self.hidden, "{model} is fetched at {now} while the page is hidden");
        assert!(!self.disabled, "{model} is fetched at {now} while the client is disabled");
        assert!(!self.offline || self.is_up(), "{model} is fetched at {now} without a network");
        if let Some((_, began)) = self.in_flight.insert(model.clone(), (fetch.ticket, now)) {
            panic!("a second fetch of {model} at {now}, the first one began at {began}");
        }
        assert!(self.in_flight.len() <= 6, "more than six fetches at {now}");
        let pace = self.paces.entry(model.clone()).or_default();
        if now - pace.last > 1_000 {
            *pace = Pace { began: now, ..Pace::default() };
        }
        pace.last = now;
        if !self.wished.remove(model) {
            pace.counted.push(now);
        }
        let since = |start: u64| pace.counted.iter().filter(|at| **at >= start && **at + 1_000 > now).count();
        assert!(since(0) <= 5, "{model} is fetched too often at {now}: {:?}", pace.counted);
        assert!(since(pace.began + 1_000) <= 4, "{model} is fetched too often at {now}: {:?}", pace.counted);
    }

    pub fn cancel(&mut self, ticket: Ticket) {
        self.in_flight.retain(|_, (flight, _)| *flight != ticket);
    }

    /// Compares what the client says of each held answer with the server.
    pub fn check_states(
        &self,
        engine: &Engine<ReadModel>,
        server: &Server,
        store: &BTreeMap<ReadModel, Option<u64>>,
        now: u64,
    ) {
        for model in models() {
            let Some(held) = engine.held(&model, Duration::from_millis(now)) else { continue };
            if held.state != HeldState::Fresh {
                continue;
            }
            if let (Some(cursor), Some(told)) = (held.cursor, self.told.get(&model)) {
                let older = cursor.epoch() == told.epoch() && !cursor.covers(told);
                assert!(!older, "{model} is called fresh at {now}, and {told} named it: {held:?}");
            }
            if !self.is_up() {
                let asked = held.asked_at.map_or(0, |at| at.as_millis() as u64);
                assert!(now < asked + 5_000, "{model} is called fresh without a stream at {now}: {held:?}");
                continue;
            }
            let (Some(cursor), Some(heard)) = (held.cursor, &self.heard) else { continue };
            assert_eq!(cursor.epoch(), heard.epoch(), "{model} is called fresh in another epoch at {now}: {held:?}");
            if cursor.epoch() == heard.epoch() && heard.epoch() == server.cursor(0).epoch() {
                // A fresh answer is as new as the last message.
                let changes = cursor.snapshot().xmax().max(heard.snapshot().xmax()) as usize;
                let expected = &server.contents(changes)[&model];
                assert_eq!(store.get(&model), Some(expected), "{model} is called fresh at {now}: {held:?}, {heard}");
            }
        }
    }

    fn is_up(&self) -> bool {
        self.connection.is_some() && self.begun
    }
}
