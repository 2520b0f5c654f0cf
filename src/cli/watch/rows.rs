//! The rows of a page: text without widths and colours.

use requery::protocol::TaskId;

/// A row of a page.
#[derive(Clone, Debug)]
pub(super) enum ScreenRow {
    /// The heading of the rows below.
    Heading(String),
    /// A remark, which cannot be selected.
    Note(String),
    /// A row that can be selected.
    Entry(RowEntry),
}

/// A row that can be selected.
#[derive(Clone, Debug)]
pub(super) struct RowEntry {
    /// The id of the task, event or bookmark.
    pub(super) key: String,
    /// The task that the row opens.
    pub(super) target: Option<TaskId>,
    pub(super) sign: RowSign,
    pub(super) title: String,
    pub(super) cells: Vec<RowCell>,
    /// The line below the row: the question that the task waits with.
    pub(super) detail: Option<String>,
}

/// A cell beside the title.
#[derive(Clone, Debug)]
pub(super) struct RowCell {
    pub(super) text: String,
    /// The width of the cell.
    pub(super) width: usize,
    /// The width of the narrowest screen that shows the cell.
    pub(super) from: usize,
}

/// The state of a row as one character, so that it can be seen without colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RowSign {
    /// The agent asked a question, or asks for a permission.
    Asks,
    /// The agent asked for a permission, which may be given already.
    Asked,
    /// The agent waits for the next prompt.
    Waiting,
    /// The agent is silent, or its process is gone.
    Silent,
    Running,
    Completed,
    /// The task or the step failed.
    Errored,
    Plain,
}

impl RowSign {
    /// The character of the sign.
    pub(super) fn character(self) -> char {
        match self {
            RowSign::Asks | RowSign::Waiting => '!',
            RowSign::Asked | RowSign::Silent => '?',
            RowSign::Running => '*',
            RowSign::Completed => '+',
            RowSign::Errored => 'x',
            RowSign::Plain => ' ',
        }
    }
}

impl ScreenRow {
    /// The key of a row that can be selected.
    pub(super) fn key(&self) -> Option<&String> {
        self.entry().map(|entry| &entry.key)
    }

    /// The task that the row opens.
    pub(super) fn target(&self) -> Option<&TaskId> {
        self.entry().and_then(|entry| entry.target.as_ref())
    }

    fn entry(&self) -> Option<&RowEntry> {
        match self {
            ScreenRow::Entry(entry) => Some(entry),
            ScreenRow::Heading(_) | ScreenRow::Note(_) => None,
        }
    }
}
