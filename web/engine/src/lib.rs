//! The engine with a method for each of its doors, for JavaScript: numbers, texts and lists of numbers cross the
//! boundary, and no object. An object for each call would cost more bytes of glue than the engine's answers are worth.
//!
//! - A time is a number of milliseconds; a negative number stands for "none".
//! - A read model is a number below 2^31. Its bits from 24 on are its group if they are odd. A group is its number with
//!   the highest bit. A place is a read model or a group.
//! - A cursor is a text; the empty text stands for "none".
//! - A result is a number, which most methods return. Its other parts wait in the [`WebEngine`] until the next call.

mod number;
mod results;
mod signals;

use std::num::{NonZeroU32, NonZeroUsize};

#[cfg(target_arch = "wasm32")]
use talc::wasm::WasmGrowAndClaim;
use wasm_bindgen::prelude::wasm_bindgen;

use number::{Number, as_cursor, as_ms, as_number, as_place, as_time, cursor_text, place_number};
use requery::engine::{
    ConnectionId, Engine, EngineAction, EngineSettings, FetchVerdict, Loss, Outcome, Ticket, Transport,
};

#[cfg(target_arch = "wasm32")]
#[global_allocator]
static ALLOCATOR: TalcCell<WasmGrowAndClaim> = TalcCell::new_wasm(WasmGrowAndClaim);
#[cfg(target_arch = "wasm32")]
type TalcCell<S> = talc::cell::TalcSyncCell<S, talc::wasm::WasmBinning>;

/// One engine, and the parts of its last result.
#[wasm_bindgen]
pub struct WebEngine {
    engine: Engine<Number>,
    text: String,
    list: Vec<u32>,
    numbers: [f64; 4],
}

#[wasm_bindgen]
impl WebEngine {
    /// `given` has 13 times, in the order below, and three numbers. The read models below `carried` are carried.
    #[wasm_bindgen(constructor)]
    pub fn new(given: &[f64], carried: u32, seed: f64) -> WebEngine {
        let mut settings = EngineSettings::default();
        let times = [
            &mut settings.quiet,
            &mut settings.max_wait,
            &mut settings.safety,
            &mut settings.poll_interval,
            &mut settings.backoff_first,
            &mut settings.backoff_most,
            &mut settings.fetch_timeout,
            &mut settings.remembered_for,
            &mut settings.patience,
            &mut settings.first_message_wait,
            &mut settings.websocket_retry,
            &mut settings.stable,
            &mut settings.longest_wait,
        ];
        for (field, ms) in times.into_iter().zip(given) {
            if let Some(time) = as_time(*ms) {
                *field = time;
            }
        }
        if let [.., parallel, remembered, attempts] = given {
            settings.parallel = NonZeroUsize::new(*parallel as usize).unwrap_or(settings.parallel);
            if *remembered >= 0.0 {
                settings.remembered = *remembered as usize;
            }
            settings.attempts = NonZeroU32::new(*attempts as u32);
        }
        let carried = (0..carried).map(Number).collect();
        let engine = Engine::new(settings, carried, seed as u64);
        WebEngine { engine, text: String::new(), list: Vec::new(), numbers: [0.0; 4] }
    }

    /// The text of the last result.
    pub fn take_text(&mut self) -> String {
        std::mem::take(&mut self.text)
    }

    /// The places of the last result.
    pub fn take_list(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.list)
    }

    /// A number of the last result.
    pub fn number(&self, at: usize) -> f64 {
        self.numbers.get(at).copied().unwrap_or(-1.0)
    }

    /// The first stream continues at `cursor`, the resume cursor of an earlier run.
    pub fn resume_at(&mut self, cursor: &str) {
        if let Some(cursor) = as_cursor(cursor) {
            self.engine.resume_at(&cursor);
        }
    }

    /// The driver holds a body of an earlier run, read at `cursor`.
    pub fn restore(&mut self, model: u32, cursor: &str, asked_at: f64, now: f64) {
        if let Some(cursor) = as_cursor(cursor) {
            self.engine.restore(Number(model), &cursor, as_ms(asked_at), as_ms(now));
        }
    }

    /// The cursor that the application's own writes demand.
    pub fn floor(&self) -> String {
        cursor_text(self.engine.floor())
    }

    /// The cursor at which the next stream continues.
    pub fn resume_cursor(&self) -> String {
        cursor_text(self.engine.resume_cursor())
    }

    /// A screen shows `model` from now on.
    pub fn watch(&mut self, model: u32, now: f64) {
        self.engine.watch(Number(model), as_ms(now));
    }

    /// No screen shows `model` any more.
    pub fn unwatch(&mut self, model: u32, now: f64) {
        self.engine.unwatch(&Number(model), as_ms(now));
    }

    /// The driver no longer holds the body of `model`.
    pub fn forget(&mut self, model: u32) {
        self.engine.forget(&Number(model));
    }

    /// A person wishes a fetch of `model`.
    pub fn refresh(&mut self, model: u32, now: f64) {
        self.engine.refresh(&Number(model), as_ms(now));
    }

    /// The application wrote a change of `model`. Returns whether the text is a cursor.
    pub fn wrote(&mut self, model: u32, cursor: &str, now: f64) -> bool {
        let Some(cursor) = as_cursor(cursor) else { return false };
        self.engine.wrote(&Number(model), &cursor, as_ms(now));
        true
    }

    /// A screen needs the changes of `model` up to `cursor`, which the application left out. Returns whether the text is a
    /// cursor.
    pub fn left_out(&mut self, model: u32, cursor: &str, now: f64) -> bool {
        let Some(cursor) = as_cursor(cursor) else { return false };
        self.engine.left_out(&Number(model), &cursor, as_ms(now));
        true
    }

    /// The connection `id` is open. A duplex connection takes messages.
    pub fn connected(&mut self, id: u32, duplex: bool, now: f64) {
        self.engine.handle_connected(ConnectionId::from_number(id), duplex, as_ms(now));
    }

    /// The connection `id` ended. `loss` is 0 ended, 1 not reached, 2 busy (with the wait, if any), 3 refused (with the reason).
    pub fn disconnected(&mut self, id: u32, loss: u32, retry_after: f64, reason: String, now: f64) {
        let loss = match loss {
            0 => Loss::Ended,
            1 => Loss::NotReached,
            2 => Loss::Busy { retry_after: as_time(retry_after) },
            _ => Loss::Refused(reason),
        };
        self.engine.handle_disconnected(ConnectionId::from_number(id), loss, as_ms(now));
    }

    /// A message came. `kind` and `number` are as in `signals.rs`. Returns the read models whose carried bodies are to be shown.
    #[allow(clippy::too_many_arguments, reason = "an object in their place would cost glue for each field")]
    pub fn signal(
        &mut self,
        id: u32,
        kind: u32,
        cursor: &str,
        more: bool,
        spread_ms: f64,
        number: u32,
        places: &[u32],
        now: f64,
    ) -> Vec<u32> {
        let places = places.iter().map(|place| as_place(*place)).collect();
        let signal = signals::signal(kind, cursor, more, spread_ms, number, places);
        let carried = self.engine.handle_signal(ConnectionId::from_number(id), &signal, as_ms(now));
        carried.into_iter().map(|model| model.0).collect()
    }

    /// A fetch ended. `outcome` is 0 fresh, 1 not modified, 2 gone, 3 failed. Returns whether to show the answer.
    pub fn fetched(&mut self, ticket: f64, outcome: u32, cursor: &str, retry_after: f64, now: f64) -> bool {
        let cursor = as_cursor(cursor);
        let outcome = match (outcome, &cursor) {
            (0, Some(cursor)) => Outcome::Fresh(cursor),
            (1, Some(cursor)) => Outcome::NotModified(cursor),
            (2, Some(cursor)) => Outcome::Gone(cursor),
            _ => Outcome::Failed { retry_after: as_time(retry_after) },
        };
        self.engine.handle_fetched(Ticket::from_number(ticket as u64), outcome, as_ms(now)) == FetchVerdict::Keep
    }

    /// The page is hidden.
    pub fn hidden(&mut self) {
        self.engine.handle_hidden();
    }

    /// The page is visible again.
    pub fn visible(&mut self, now: f64) {
        self.engine.handle_visible(as_ms(now));
    }

    /// The system has no network.
    pub fn offline(&mut self) {
        self.engine.handle_offline();
    }

    /// The system has a network again.
    pub fn online(&mut self, now: f64) {
        self.engine.handle_online(as_ms(now));
    }

    /// A person wishes a new connection.
    pub fn reconnect(&mut self, now: f64) {
        self.engine.reconnect(as_ms(now));
    }

    /// Ends the connection and all fetches until `enable`.
    pub fn disable(&mut self) {
        self.engine.disable();
    }

    /// Ends the effect of `disable`.
    pub fn enable(&mut self, now: f64) {
        self.engine.enable(as_ms(now));
    }

    /// The next action: 0 none, 1 disconnect, 2 connect, 3 narrow, 4 fetch, 5 cancel.
    pub fn poll(&mut self, now: f64) -> u32 {
        let numbers = &mut self.numbers;
        match self.engine.poll(as_ms(now)) {
            None => 0,
            Some(EngineAction::Disconnect(id)) => {
                numbers[0] = id.number().into();
                1
            }
            Some(EngineAction::Connect { id, since, transport }) => {
                numbers[0] = id.number().into();
                numbers[1] = if transport == Transport::WebSocket { 0.0 } else { 1.0 };
                self.text = cursor_text(since.as_ref());
                2
            }
            Some(EngineAction::Narrow(id, list)) => {
                numbers[0] = id.number().into();
                self.list = list.iter().map(place_number).collect();
                3
            }
            Some(EngineAction::Fetch(fetch)) => {
                numbers[0] = fetch.ticket.number() as f64;
                numbers[1] = fetch.model.0.into();
                numbers[2] = results::why(fetch.why);
                self.text = cursor_text(fetch.at_least.as_ref());
                4
            }
            Some(EngineAction::Cancel(ticket)) => {
                numbers[0] = ticket.number() as f64;
                5
            }
        }
    }

    /// The time of the next poll, unless an input comes before.
    pub fn poll_timeout(&self) -> f64 {
        as_number(self.engine.poll_timeout())
    }

    /// The first time after `now` at which the state of a held answer changes by itself.
    pub fn next_expiry(&self, now: f64) -> f64 {
        as_number(self.engine.next_expiry(as_ms(now)))
    }

    /// How long ago the held answer was last known to be true.
    pub fn age(&self, model: u32, now: f64) -> f64 {
        as_number(self.engine.age(&Number(model), as_ms(now)))
    }

    /// The state of the connection, with numbers and a text.
    pub fn status(&mut self) -> u32 {
        let status = self.engine.status();
        results::status(status, &mut self.numbers, &mut self.text)
    }

    /// The state of what is held, with numbers and the cursor; -1 for a read model that was never watched.
    pub fn held(&mut self, model: u32, now: f64) -> i32 {
        let Some(held) = self.engine.held(&Number(model), as_ms(now)) else { return -1 };
        self.text = cursor_text(held.cursor);
        results::held(&held, &mut self.numbers)
    }

    /// Why the read model is stale, and what it waits for: the state, or -1 for a read model that was never watched.
    pub fn explain(&mut self, model: u32, now: f64) -> i32 {
        let Some(explanation) = self.engine.explain(&Number(model), as_ms(now)) else { return -1 };
        self.text = cursor_text(explanation.need.as_ref());
        results::explanation(&explanation, &mut self.numbers)
    }
}
