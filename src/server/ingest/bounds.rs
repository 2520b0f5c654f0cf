//! How long a text may be, and what may be in it.
//!
//! The database has the same bounds for those who write it directly; here they name the field, and all fields that are
//! wrong at once.

use crate::protocol::limits;
use crate::protocol::model::Timestamp;

use super::{Invalid, WriteError};

/// The fields found wrong so far.
pub(super) struct Bounds {
    within: String,
    found: Vec<Invalid>,
}

impl Bounds {
    pub(super) fn new() -> Self {
        Self { within: String::new(), found: Vec::new() }
    }

    /// Says where in the body the fields are that are looked at next, as in `events[3].`.
    pub(super) fn enter(&mut self, within: String) {
        self.within = within;
    }

    pub(super) fn refuse(&mut self, field: &str, detail: impl Into<String>) {
        self.found.push(Invalid { field: format!("{}{field}", self.within), detail: detail.into() });
    }

    /// A text that is needed, and its most characters.
    pub(super) fn needed(&mut self, field: &str, text: &str, most: usize) {
        if text.is_empty() {
            self.refuse(field, format!("is needed: 1 to {most} characters"));
        }
        self.characters(field, Some(text), most);
    }

    pub(super) fn characters(&mut self, field: &str, text: Option<&str>, most: usize) {
        // No text has more characters than bytes: most need not be counted.
        if let Some(text) = text.filter(|text| text.len() > most) {
            let count = text.chars().count();
            if count > most {
                self.refuse(field, format!("has {count} characters, at most {most} are taken"));
            }
        }
    }

    pub(super) fn bytes(&mut self, field: &str, text: Option<&str>) {
        if let Some(text) = text.filter(|text| text.len() > limits::TEXT_BYTES) {
            self.refuse(field, format!("has {} bytes, at most {} are taken", text.len(), limits::TEXT_BYTES));
        }
    }

    pub(super) fn project(&mut self, project: Option<&str>) {
        self.characters("project", project, limits::PROJECT_CHARACTERS);
        if project.is_some_and(|project| project.chars().any(char::is_control)) {
            self.refuse("project", "has a control character");
        }
    }

    /// Milliseconds since 1970.
    pub(super) fn time(&mut self, field: &str, time: Option<&Timestamp>) -> Option<i64> {
        match time?.as_str().parse::<Timestamp>() {
            Ok(time) => Some(time.as_ms()),
            Err(_) => {
                self.refuse(field, "is not a time (expected RFC 3339, as in 2026-01-31T09:30:00.000Z)");
                None
            }
        }
    }

    pub(super) fn finish(self) -> Result<(), WriteError> {
        if self.found.is_empty() { Ok(()) } else { Err(WriteError::Invalid(self.found)) }
    }
}
