//! The names of reads.

use std::fmt;

use crate::protocol::ReadModel;

/// The name of a read: its operation and its parameters. Two reads of equal scope and equal key have equal answers in
/// one snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReadKey {
    operation: &'static str,
    parameters: Vec<(&'static str, String)>,
    read_model: Option<ReadModel>,
    listed: Option<(ListedRows, u64)>,
}

/// The rows of a list that is read with `since`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ListedRows {
    Tasks,
    Bookmarks,
    /// The events of the task that is the read model.
    Events,
}

/// The most rows that an answer with changes has of a list with at most `limit` rows. The whole list costs as much as
/// some more rows.
pub fn most_changed_rows(limit: u64) -> usize {
    usize::try_from(limit / 2).unwrap_or(usize::MAX).max(1)
}

impl ReadKey {
    /// The key of an operation, without parameters. Each change of the answer makes a notice that makes `read_model`
    /// stale, so the answer can be kept in memory until such a notice.
    pub fn new(operation: &'static str, read_model: ReadModel) -> Self {
        Self { operation, parameters: Vec::new(), read_model: Some(read_model), listed: None }
    }

    /// The key of an operation whose answer is never kept: it is read from the database each time.
    pub fn not_kept(operation: &'static str) -> Self {
        Self { operation, parameters: Vec::new(), read_model: None, listed: None }
    }

    /// Adds a parameter. A parameter that was left out is left out here too.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: Option<impl fmt::Display>) -> Self {
        self.parameters.extend(value.map(|value| (name, value.to_string())));
        self
    }

    /// The answer lists at most `limit` of these rows. It lets the cache know without a query that a caller needs the
    /// whole answer. As in the query for the changed rows, a changed row counts also if a filter of the list leaves it
    /// out.
    #[must_use]
    pub fn listing(self, rows: ListedRows, limit: u64) -> Self {
        Self { listed: Some((rows, limit)), ..self }
    }

    /// The listed rows, and how many there are at most.
    pub(super) fn listed(&self) -> Option<(ListedRows, u64)> {
        self.listed
    }

    /// The key of the changes of this answer. One key is for all callers that hold the answer of now, and one for all
    /// that hold an earlier one: a caller that lacks nothing is not sent what another lacks.
    pub(super) fn of_changes(&self, is_current: bool) -> Self {
        self.clone().with("since", Some(if is_current { "now" } else { "before" }))
    }

    /// The operation.
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// The read model that the answer is a part of. None: the answer is not kept.
    pub fn read_model(&self) -> Option<&ReadModel> {
        self.read_model.as_ref()
    }

    /// The memory of the parameters, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.parameters.iter().map(|(_, value)| value.len() + size_of::<(&str, String)>()).sum()
    }
}

impl fmt::Display for ReadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.operation)?;
        self.parameters.iter().try_for_each(|(name, value)| write!(f, " {name}={value:?}"))
    }
}
