//! The engine with an export for each of its doors, for JavaScript: only numbers cross the boundary, and texts lie in
//! the linear memory.
//!
//! - A time is a number of milliseconds; a negative number stands for "none".
//! - A read model is a number below 2^31. Its bits from 24 on are its group if they are odd. A group is its number with
//!   the highest bit.
//! - A cursor is text in [`Door::text`]; a list of read models is in [`Door::list`]. Results leave in
//!   [`Door::results`] and in the same two fields.

mod number;
mod results;
mod signals;

use std::num::{NonZeroU32, NonZeroUsize};

#[cfg(target_arch = "wasm32")]
use talc::wasm::WasmGrowAndClaim;

use number::{Number, as_cursor, as_ms, as_number, as_time, put_cursor};
use requery::engine::{
    ConnectionId, Engine, EngineAction, EngineSettings, FetchVerdict, Loss, Outcome, Ticket, Transport,
};
use requery::protocol::Watched;

#[cfg(target_arch = "wasm32")]
#[global_allocator]
static ALLOCATOR: TalcCell<WasmGrowAndClaim> = TalcCell::new_wasm(WasmGrowAndClaim);
#[cfg(target_arch = "wasm32")]
type TalcCell<S> = talc::cell::TalcSyncCell<S, talc::wasm::WasmBinning>;

/// One engine, and the memory through which its arguments and results pass.
pub struct Door {
    engine: Engine<Number>,
    text: Vec<u8>,
    list: Vec<Watched<Number>>,
    results: [f64; 8],
}

/// The caller got the pointer from [`engine_new`] and did not free it; the page has one thread.
fn door<'a>(door: *mut Door) -> &'a mut Door {
    unsafe { &mut *door }
}

/// Room for the settings. It stays for the life of the page.
#[unsafe(no_mangle)]
pub extern "C" fn engine_scratch() -> *mut [f64; 16] {
    Box::into_raw(Box::new([0.0; 16]))
}

/// `settings` points to 13 times, in the order below, and to three numbers. The read models below `carried` are carried.
///
/// # Safety
///
/// The pointer is one of [`engine_scratch`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn engine_new(settings: *const [f64; 16], carried: u32, seed: f64) -> *mut Door {
    let given = unsafe { &*settings };
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
    settings.parallel = NonZeroUsize::new(given[13] as usize).unwrap_or(settings.parallel);
    if given[14] >= 0.0 {
        settings.remembered = given[14] as usize;
    }
    settings.attempts = NonZeroU32::new(given[15] as u32);
    let carried = (0..carried).map(Number).collect();
    let engine = Engine::new(settings, carried, seed as u64);
    Box::into_raw(Box::new(Door { engine, text: Vec::new(), list: Vec::new(), results: [0.0; 8] }))
}

/// # Safety
///
/// The pointer is one of [`engine_new`], and this is its last use.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn engine_free(door: *mut Door) {
    drop(unsafe { Box::from_raw(door) });
}

/// Room for a text of `bytes` bytes; the caller writes the text there before the call that takes the text.
#[unsafe(no_mangle)]
pub extern "C" fn text_reserve(door: *mut Door, bytes: usize) -> *mut u8 {
    let text = &mut self::door(door).text;
    text.clear();
    text.resize(bytes, 0);
    text.as_mut_ptr()
}

/// The text of the last result.
#[unsafe(no_mangle)]
pub extern "C" fn text_pointer(door: *mut Door) -> *const u8 {
    self::door(door).text.as_ptr()
}

#[unsafe(no_mangle)]
pub extern "C" fn text_length(door: *mut Door) -> usize {
    self::door(door).text.len()
}

/// The numbers of the last result.
#[unsafe(no_mangle)]
pub extern "C" fn results_pointer(door: *mut Door) -> *const f64 {
    self::door(door).results.as_ptr()
}

#[unsafe(no_mangle)]
pub extern "C" fn list_clear(door: *mut Door) {
    self::door(door).list.clear();
}

#[unsafe(no_mangle)]
pub extern "C" fn list_push(door: *mut Door, place: u32) {
    self::door(door).list.push(number::as_place(place));
}

#[unsafe(no_mangle)]
pub extern "C" fn list_length(door: *mut Door) -> usize {
    self::door(door).list.len()
}

#[unsafe(no_mangle)]
pub extern "C" fn list_at(door: *mut Door, at: usize) -> u32 {
    self::door(door).list.get(at).map_or(u32::MAX, number::place_number)
}

/// The text is the cursor.
#[unsafe(no_mangle)]
pub extern "C" fn engine_resume_at(door: *mut Door) {
    let door = self::door(door);
    if let Some(cursor) = as_cursor(&door.text) {
        door.engine.resume_at(&cursor);
    }
}

/// The text is the cursor of the body.
#[unsafe(no_mangle)]
pub extern "C" fn engine_restore(door: *mut Door, model: u32, asked_at: f64, now: f64) {
    let door = self::door(door);
    if let Some(cursor) = as_cursor(&door.text) {
        door.engine.restore(Number(model), &cursor, as_ms(asked_at), as_ms(now));
    }
}

/// Leaves the cursor at which the next stream continues in the text.
#[unsafe(no_mangle)]
pub extern "C" fn engine_resume_cursor(door: *mut Door) {
    let Door { engine, text, .. } = self::door(door);
    text.clear();
    put_cursor(engine.resume_cursor(), text);
}

#[unsafe(no_mangle)]
pub extern "C" fn engine_watch(door: *mut Door, model: u32, now: f64) {
    self::door(door).engine.watch(Number(model), as_ms(now));
}

#[unsafe(no_mangle)]
pub extern "C" fn engine_unwatch(door: *mut Door, model: u32, now: f64) {
    self::door(door).engine.unwatch(&Number(model), as_ms(now));
}

#[unsafe(no_mangle)]
pub extern "C" fn engine_forget(door: *mut Door, model: u32) {
    self::door(door).engine.forget(&Number(model));
}

#[unsafe(no_mangle)]
pub extern "C" fn engine_refresh(door: *mut Door, model: u32, now: f64) {
    self::door(door).engine.refresh(&Number(model), as_ms(now));
}

/// The text is the cursor of the write. Returns whether it is one.
#[unsafe(no_mangle)]
pub extern "C" fn engine_wrote(door: *mut Door, model: u32, now: f64) -> bool {
    let door = self::door(door);
    let Some(cursor) = as_cursor(&door.text) else { return false };
    door.engine.wrote(&Number(model), &cursor, as_ms(now));
    true
}

/// The text is the cursor of the changes that were left out. Returns whether it is one.
#[unsafe(no_mangle)]
pub extern "C" fn engine_left_out(door: *mut Door, model: u32, now: f64) -> bool {
    let door = self::door(door);
    let Some(cursor) = as_cursor(&door.text) else { return false };
    door.engine.left_out(&Number(model), &cursor, as_ms(now));
    true
}

#[unsafe(no_mangle)]
pub extern "C" fn engine_connected(door: *mut Door, id: u32, duplex: bool, now: f64) {
    self::door(door).engine.handle_connected(ConnectionId::from_number(id), duplex, as_ms(now));
}

/// `loss` is 0 ended, 1 not reached, 2 busy (with the wait, if any), 3 refused (the text says why).
#[unsafe(no_mangle)]
pub extern "C" fn engine_disconnected(door: *mut Door, id: u32, loss: u32, retry_after: f64, now: f64) {
    let door = self::door(door);
    let loss = match loss {
        0 => Loss::Ended,
        1 => Loss::NotReached,
        2 => Loss::Busy { retry_after: as_time(retry_after) },
        _ => {
            let text = std::mem::take(&mut door.text);
            // The caller encoded the text.
            Loss::Refused(unsafe { String::from_utf8_unchecked(text) })
        }
    };
    door.engine.handle_disconnected(ConnectionId::from_number(id), loss, as_ms(now));
}

/// `kind` as in [`signals`]; the text is the cursor, if any; the list has the places. Afterwards the list has the read models
/// whose carried bodies are to be shown.
#[unsafe(no_mangle)]
pub extern "C" fn engine_signal(
    door: *mut Door,
    id: u32,
    kind: u32,
    more: bool,
    spread_ms: f64,
    number: u32,
    now: f64,
) {
    let door = self::door(door);
    let places = std::mem::take(&mut door.list);
    let signal = signals::signal(kind, &door.text, more, spread_ms, number, places);
    let carried = door.engine.handle_signal(ConnectionId::from_number(id), &signal, as_ms(now));
    door.list.extend(carried.into_iter().map(Watched::One));
}

/// `outcome` is 0 fresh, 1 not modified, 2 gone, 3 failed; the text is the cursor. Returns whether to show the answer.
#[unsafe(no_mangle)]
pub extern "C" fn engine_fetched(door: *mut Door, ticket: f64, outcome: u32, retry_after: f64, now: f64) -> bool {
    let door = self::door(door);
    let cursor = as_cursor(&door.text);
    let outcome = match (outcome, &cursor) {
        (0, Some(cursor)) => Outcome::Fresh(cursor),
        (1, Some(cursor)) => Outcome::NotModified(cursor),
        (2, Some(cursor)) => Outcome::Gone(cursor),
        _ => Outcome::Failed { retry_after: as_time(retry_after) },
    };
    door.engine.handle_fetched(Ticket::from_number(ticket as u64), outcome, as_ms(now)) == FetchVerdict::Keep
}

#[unsafe(no_mangle)]
pub extern "C" fn engine_hidden(door: *mut Door) {
    self::door(door).engine.handle_hidden();
}

#[unsafe(no_mangle)]
pub extern "C" fn engine_visible(door: *mut Door, now: f64) {
    self::door(door).engine.handle_visible(as_ms(now));
}

#[unsafe(no_mangle)]
pub extern "C" fn engine_offline(door: *mut Door) {
    self::door(door).engine.handle_offline();
}

#[unsafe(no_mangle)]
pub extern "C" fn engine_online(door: *mut Door, now: f64) {
    self::door(door).engine.handle_online(as_ms(now));
}

#[unsafe(no_mangle)]
pub extern "C" fn engine_reconnect(door: *mut Door, now: f64) {
    self::door(door).engine.reconnect(as_ms(now));
}

#[unsafe(no_mangle)]
pub extern "C" fn engine_disable(door: *mut Door) {
    self::door(door).engine.disable();
}

#[unsafe(no_mangle)]
pub extern "C" fn engine_enable(door: *mut Door, now: f64) {
    self::door(door).engine.enable(as_ms(now));
}

/// The next action: 0 none, 1 disconnect, 2 connect, 3 narrow, 4 fetch, 5 cancel. Its numbers are the results.
#[unsafe(no_mangle)]
pub extern "C" fn engine_poll(door: *mut Door, now: f64) -> u32 {
    let door = self::door(door);
    door.text.clear();
    let results = &mut door.results;
    match door.engine.poll(as_ms(now)) {
        None => 0,
        Some(EngineAction::Disconnect(id)) => {
            results[0] = id.number().into();
            1
        }
        Some(EngineAction::Connect { id, since, transport }) => {
            results[0] = id.number().into();
            results[1] = if transport == Transport::WebSocket { 0.0 } else { 1.0 };
            put_cursor(since.as_ref(), &mut door.text);
            2
        }
        Some(EngineAction::Narrow(id, list)) => {
            results[0] = id.number().into();
            door.list = list;
            3
        }
        Some(EngineAction::Fetch(fetch)) => {
            results[0] = fetch.ticket.number() as f64;
            results[1] = fetch.model.0.into();
            results[2] = results::why(fetch.why);
            put_cursor(fetch.at_least.as_ref(), &mut door.text);
            4
        }
        Some(EngineAction::Cancel(ticket)) => {
            results[0] = ticket.number() as f64;
            5
        }
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn engine_poll_timeout(door: *mut Door) -> f64 {
    as_number(self::door(door).engine.poll_timeout())
}

#[unsafe(no_mangle)]
pub extern "C" fn engine_next_expiry(door: *mut Door, now: f64) -> f64 {
    as_number(self::door(door).engine.next_expiry(as_ms(now)))
}

#[unsafe(no_mangle)]
pub extern "C" fn engine_age(door: *mut Door, model: u32, now: f64) -> f64 {
    as_number(self::door(door).engine.age(&Number(model), as_ms(now)))
}

/// Leaves the cursor that the application's own writes demand in the text.
#[unsafe(no_mangle)]
pub extern "C" fn engine_floor(door: *mut Door) {
    let Door { engine, text, .. } = self::door(door);
    text.clear();
    put_cursor(engine.floor(), text);
}

/// The state of the connection, with its numbers in the results and its text.
#[unsafe(no_mangle)]
pub extern "C" fn engine_status(door: *mut Door) -> u32 {
    let door = self::door(door);
    let status = door.engine.status();
    results::status(&status, &mut door.results, &mut door.text)
}

/// The state of what is held: -1 for a read model that was never watched. Its numbers are the results.
#[unsafe(no_mangle)]
pub extern "C" fn engine_held(door: *mut Door, model: u32, now: f64) -> i32 {
    let Door { engine, text, results, .. } = self::door(door);
    text.clear();
    let Some(held) = engine.held(&Number(model), as_ms(now)) else { return -1 };
    put_cursor(held.cursor, text);
    results::held(&held, results)
}

/// Why the read model is stale, and what it waits for: the state, or -1 for a read model that was never watched.
#[unsafe(no_mangle)]
pub extern "C" fn engine_explain(door: *mut Door, model: u32, now: f64) -> i32 {
    let Door { engine, text, results, .. } = self::door(door);
    text.clear();
    let Some(explanation) = engine.explain(&Number(model), as_ms(now)) else { return -1 };
    put_cursor(explanation.need.as_ref(), text);
    results::explanation(&explanation, results)
}
