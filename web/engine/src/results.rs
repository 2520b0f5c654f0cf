//! The states and reasons of the engine as numbers. A later version may add one, which gets the number 255.

use requery::engine::{CloseReason, Explanation, Held, HeldState, LossReason, SignalKind, Status, WaitsFor, Why};

use crate::number::{as_number, ms};

const LATER: f64 = 255.0;
/// Kinds of notices begin here.
const NOTICES: f64 = 1000.0;

pub fn why(why: Why) -> f64 {
    match why {
        Why::Watched => 0.0,
        Why::Safety => 1.0,
        Why::Polled => 2.0,
        Why::Asked => 3.0,
        Why::Signal(kind) => match kind {
            SignalKind::Snapshot => 10.0,
            SignalKind::Resumed => 11.0,
            SignalKind::Stale => 12.0,
            SignalKind::Watching => 13.0,
            SignalKind::Heartbeat => 14.0,
            SignalKind::Resync => 15.0,
            SignalKind::Closing => 16.0,
            SignalKind::Unknown => 17.0,
            SignalKind::Notice(kind) => NOTICES + f64::from(kind),
            _ => LATER,
        },
        _ => LATER,
    }
}

pub fn status(status: Status, results: &mut [f64; 4], text: &mut String) -> u32 {
    match status {
        Status::Connecting => 0,
        Status::Live => 1,
        Status::CatchingUp => 2,
        Status::Reconnecting { next_try, since, reason } => {
            results[0] = as_number(next_try);
            results[1] = ms(since);
            results[2] = loss(reason);
            3
        }
        Status::Polling => 4,
        Status::Offline => 5,
        Status::Closed { reason } => {
            results[0] = match reason {
                CloseReason::Refused(reason) => {
                    *text = reason;
                    0.0
                }
                CloseReason::Attempts => 1.0,
                _ => LATER,
            };
            6
        }
        Status::Disabled => 7,
    }
}

fn loss(reason: LossReason) -> f64 {
    match reason {
        LossReason::Ended => 0.0,
        LossReason::NotReached => 1.0,
        LossReason::Busy => 2.0,
        LossReason::Silent => 3.0,
        LossReason::NoFirstMessage => 4.0,
        LossReason::NotConfirmed => 5.0,
        LossReason::Closing => 6.0,
        LossReason::NetworkReturned => 7.0,
        LossReason::Asked => 8.0,
        _ => LATER,
    }
}

pub fn held(held: &Held<'_>, results: &mut [f64; 4]) -> i32 {
    let flags = [held.watched, held.stale, held.in_flight, held.absent];
    results[0] = flags.into_iter().rev().fold(0.0, |bits, flag| bits * 2.0 + f64::from(u8::from(flag)));
    results[1] = held.failures.into();
    results[2] = held.why.map_or(-1.0, why);
    results[3] = as_number(held.asked_at);
    state(held.state)
}

pub fn explanation(explanation: &Explanation, results: &mut [f64; 4]) -> i32 {
    let (reason, since) = explanation.stale.map_or((-1.0, -1.0), |(reason, since)| (why(reason), ms(since)));
    let (waits_for, until) = match explanation.waits_for {
        WaitsFor::Watch => (0.0, None),
        WaitsFor::Enable => (1.0, None),
        WaitsFor::Network => (2.0, None),
        WaitsFor::Visible => (3.0, None),
        WaitsFor::Answer => (4.0, None),
        WaitsFor::Turn => (5.0, None),
        WaitsFor::FirstMessage(until) => (6.0, Some(until)),
        WaitsFor::Quiet(until) => (7.0, Some(until)),
        WaitsFor::Spread(until) => (8.0, Some(until)),
        WaitsFor::Pace(until) => (9.0, Some(until)),
        WaitsFor::Retry(until) => (10.0, Some(until)),
        WaitsFor::Change(until) => (11.0, until),
        _ => (LATER, None),
    };
    [results[0], results[1], results[2], results[3]] = [reason, since, waits_for, as_number(until)];
    state(explanation.state)
}

fn state(state: HeldState) -> i32 {
    match state {
        HeldState::Loading => 0,
        HeldState::Fresh => 1,
        HeldState::Stale => 2,
        HeldState::Unconfirmed => 3,
        HeldState::Gone => 4,
    }
}
