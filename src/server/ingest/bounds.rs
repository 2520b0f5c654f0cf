//! The checks of lengths and contents of fields.
//!
//! The database checks the same bounds, for programs that write to it directly. The checks here name the field, and
//! report all wrong fields at once.

use crate::protocol::limits;
use crate::protocol::model::Timestamp;

use super::{Invalid, WriteError};

/// A body whose fields can be checked without the database.
pub trait CheckedBody {
    /// The fields that are wrong by themselves, whatever the database holds.
    fn wrong_fields(&self) -> Vec<Invalid>;
}

/// Refuses a body with a wrong field.
pub(super) fn check(body: &impl CheckedBody) -> Result<(), WriteError> {
    let wrong = body.wrong_fields();
    if wrong.is_empty() { Ok(()) } else { Err(WriteError::Invalid(wrong)) }
}

/// The fields found wrong so far.
pub(super) struct Bounds {
    within: String,
    found: Vec<Invalid>,
}

impl Bounds {
    pub(super) fn new() -> Self {
        Self { within: String::new(), found: Vec::new() }
    }

    /// Sets the path of the object whose fields are checked next, as in `events[3].`.
    pub(super) fn enter(&mut self, within: String) {
        self.within = within;
    }

    pub(super) fn refuse(&mut self, field: &str, detail: impl Into<String>) {
        self.found.push(Invalid { field: format!("{}{field}", self.within), detail: detail.into() });
    }

    /// Checks a required text, which has at most `most` characters.
    pub(super) fn required(&mut self, field: &str, text: &str, most: usize) {
        if text.is_empty() {
            self.refuse(field, format!("is required: 1 to {most} characters"));
        }
        self.characters(field, Some(text), most);
    }

    pub(super) fn characters(&mut self, field: &str, text: Option<&str>, most: usize) {
        // A text has no more characters than bytes, so only a long text is counted.
        if let Some(text) = text.filter(|text| text.len() > most) {
            let count = text.chars().count();
            if count > most {
                self.refuse(field, format!("has {count} characters, at most {most} are allowed"));
            }
        }
    }

    pub(super) fn bytes(&mut self, field: &str, text: Option<&str>) {
        if let Some(text) = text.filter(|text| text.len() > limits::TEXT_BYTES) {
            self.refuse(field, format!("has {} bytes, at most {} are allowed", text.len(), limits::TEXT_BYTES));
        }
    }

    pub(super) fn project(&mut self, project: Option<&str>) {
        self.characters("project", project, limits::PROJECT_CHARACTERS);
        if project.is_some_and(|project| project.chars().any(char::is_control)) {
            self.refuse("project", "has a control character");
        }
    }

    /// Checks a time.
    pub(super) fn time(&mut self, field: &str, time: Option<&Timestamp>) {
        match time.map(|time| time.as_str().parse::<Timestamp>()) {
            Some(Ok(time)) if !(0..=limits::TIME_MS).contains(&time.as_ms()) => {
                self.refuse(field, "is not in the years 1970 to 9999");
            }
            Some(Err(_)) => self.refuse(field, "is not a time (expected RFC 3339, as in 2026-01-31T09:30:00.000Z)"),
            Some(Ok(_)) | None => {}
        }
    }

    pub(super) fn into_found(self) -> Vec<Invalid> {
        self.found
    }

    pub(super) fn finish(self) -> Result<(), WriteError> {
        if self.found.is_empty() { Ok(()) } else { Err(WriteError::Invalid(self.found)) }
    }
}
