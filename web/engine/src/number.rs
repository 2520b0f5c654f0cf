//! Numbers and texts for the types of the engine.

use std::time::Duration;

use requery::protocol::{Cursor, Key, Watched};

/// A read model. The upper bits order the read models; where they are odd, they are also the group of the read model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Number(pub u32);

const GROUP_SHIFT: u32 = 24;
const IS_GROUP: u32 = 1 << 31;

impl Key for Number {
    type Group = u32;

    fn is_in(&self, group: &u32) -> bool {
        self.0 >> GROUP_SHIFT == *group
    }

    fn group(&self) -> Option<u32> {
        Some(self.0 >> GROUP_SHIFT).filter(|group| group % 2 == 1)
    }
}

pub fn as_place(number: u32) -> Watched<Number> {
    if number & IS_GROUP == 0 { Watched::One(Number(number)) } else { Watched::Group(number ^ IS_GROUP) }
}

pub fn place_number(place: &Watched<Number>) -> u32 {
    match place {
        Watched::One(Number(number)) => *number,
        Watched::Group(group) => group | IS_GROUP,
    }
}

pub fn as_ms(ms: f64) -> Duration {
    Duration::from_millis(ms as u64)
}

pub fn as_time(ms: f64) -> Option<Duration> {
    (ms >= 0.0).then(|| as_ms(ms))
}

pub fn as_number(time: Option<Duration>) -> f64 {
    time.map_or(-1.0, ms)
}

pub fn ms(time: Duration) -> f64 {
    time.as_secs() as f64 * 1000.0 + f64::from(time.subsec_millis())
}

pub fn as_cursor(text: &str) -> Option<Cursor> {
    text.parse().ok()
}

/// The text of a cursor, without the machinery of `format!`.
pub fn cursor_text(cursor: Option<&Cursor>) -> String {
    let mut text = String::new();
    let Some(cursor) = cursor else { return text };
    let snapshot = cursor.snapshot();
    text.push_str(cursor.epoch());
    for number in [snapshot.xmin(), snapshot.xmax()] {
        text.push(':');
        push_digits(number, &mut text);
    }
    let mut before = ':';
    for id in snapshot.xip() {
        text.push(std::mem::replace(&mut before, ','));
        push_digits(*id, &mut text);
    }
    if before == ':' {
        text.push(':');
    }
    text
}

fn push_digits(number: u64, text: &mut String) {
    if number >= 10 {
        push_digits(number / 10, text);
    }
    text.push(char::from(b'0' + (number % 10) as u8));
}
