//! The content of a page: read models become rows of text. All text of the server passes [`escape_control_characters`].
//!
//! Widths, colours and the selection are absent: [`draw`](super::draw) knows the size of the terminal.

use requery::client::{HeldState, OverviewBody};
use requery::protocol::TaskId;
use requery::protocol::model::{
    BookmarkPage, ChildTask, Event, EventState, NeedsYou, StaleReason, Task, TaskDetail, TaskPage, TaskStatus,
    Timestamp,
};

use super::rows::{RowCell, RowEntry, RowSign, ScreenRow};
use super::shown::{ShownMoment, ShownView};
use super::state::{ScreenPage, ScreenState};
use super::words;
use crate::cli::counted::{counted, number};
use crate::cli::terminal_text::escape_control_characters;

/// The content of the visible page.
#[derive(Clone, Debug)]
pub(super) struct ScreenContent {
    /// The lines above the rows.
    pub(super) head: Vec<HeadLine>,
    /// The rows that the filter lets through.
    pub(super) rows: Vec<ScreenRow>,
}

/// A line above the rows.
#[derive(Clone, Debug)]
pub(super) enum HeadLine {
    /// The name of a read model, its state, and the rest of the line.
    View { name: String, state: HeldState, rest: String },
    /// A plain line.
    Text(String),
}

/// The content of the visible page at one moment.
pub(super) fn content(state: &ScreenState, moment: &ShownMoment) -> ScreenContent {
    let page = PageContent { filter: state.filter().to_lowercase(), now_ms: moment.now_ms };
    match (state.page(), &moment.task, &moment.bookmarks) {
        (ScreenPage::Overview, ..) => page.overview(&moment.overview),
        (ScreenPage::Task(task), Some(view), _) => page.task(task, view),
        (ScreenPage::Bookmarks, _, Some(view)) => page.bookmarks(view),
        (ScreenPage::Task(task), None, _) => page.task(task, &ShownView::default()),
        (ScreenPage::Bookmarks, _, None) => page.bookmarks(&ShownView::default()),
        (ScreenPage::Help, ..) => help(),
    }
}

struct PageContent {
    /// In lower case.
    filter: String,
    now_ms: i64,
}

impl PageContent {
    fn overview(&self, view: &ShownView<OverviewBody>) -> ScreenContent {
        let mut head = head("overview", view);
        let mut rows = Vec::new();
        let Some(OverviewBody { overview, tasks, .. }) = view.value.as_deref() else {
            return ScreenContent { head, rows };
        };
        head.push(HeadLine::Text(words::figures(&overview.stats)));
        head.extend(words::usage(&overview.usage).map(HeadLine::Text));
        // The server has the order in which a person takes the tasks.
        let needy = &overview.needs_you;
        if !needy.is_empty() {
            let entries = needy.iter().map(|task| self.needy_row(task, tasks));
            self.section(&mut rows, "needs you", entries.collect());
        }
        // A task has one row.
        let others = tasks.items.iter().filter(|task| !needy.iter().any(|needy| needy.task_id == task.task_id));
        let others: Vec<RowEntry> = others.map(|task| self.task_row(task)).collect();
        if tasks.items.is_empty() && needy.is_empty() {
            rows.push(ScreenRow::Heading("tasks".into()));
            rows.push(ScreenRow::Note("no task yet: `requery hooks install` connects an agent,".into()));
            rows.push(ScreenRow::Note("and `requery demo` shows a team at work".into()));
        } else {
            self.section(&mut rows, "tasks", others);
        }
        if tasks.next.is_some() {
            let newest = number(tasks.items.len() as u64);
            rows.push(ScreenRow::Note(format!("this screen holds the newest {newest} tasks; the server has more")));
        }
        ScreenContent { head, rows }
    }

    fn task(&self, task: &TaskId, view: &ShownView<TaskDetail>) -> ScreenContent {
        let mut head = head(&format!("task:{task}"), view);
        let mut rows = Vec::new();
        if view.state == HeldState::Gone {
            head.push(HeadLine::Text("the server has no such task, or has it no more".into()));
            return ScreenContent { head, rows };
        }
        let Some(detail) = view.value.as_deref() else { return ScreenContent { head, rows } };
        head.push(HeadLine::Text(self.title_line(&detail.task)));
        head.extend(detail.task.status_detail.as_deref().and_then(one_line).map(HeadLine::Text));
        let figures = &detail.figures;
        let (events, sessions) = (counted(figures.events, "event"), counted(figures.sessions, "session"));
        let project = escape_control_characters(&detail.task.project);
        head.push(HeadLine::Text(format!("{project}: {events}, {sessions}, {}", counted(figures.children, "part"))));
        head.extend(words::usage(&detail.usage).map(HeadLine::Text));
        if !detail.children.is_empty() {
            self.section(&mut rows, "parts", detail.children.iter().map(|part| self.part_row(part)).collect());
        }
        let events = detail.timeline.items.iter().map(|event| self.event_row(event)).collect();
        self.section(&mut rows, "timeline, the newest event first", events);
        if detail.timeline.next.is_some() {
            rows.push(ScreenRow::Note("the server has older events".into()));
        }
        ScreenContent { head, rows }
    }

    fn bookmarks(&self, view: &ShownView<BookmarkPage>) -> ScreenContent {
        let head = head("bookmarks", view);
        let mut rows = Vec::new();
        let Some(page) = view.value.as_deref() else { return ScreenContent { head, rows } };
        if page.items.is_empty() {
            rows.push(ScreenRow::Note("no bookmark yet: PUT /api/v1/bookmarks marks a task or an event".into()));
            return ScreenContent { head, rows };
        }
        let entries = page.items.iter().map(|bookmark| RowEntry {
            key: bookmark.bookmark_id.to_string(),
            target: Some(bookmark.task_id.clone()),
            sign: RowSign::Plain,
            title: escape_control_characters(&bookmark.title),
            cells: vec![cell(bookmark.note.as_deref().unwrap_or_default(), 30, 72), self.age(&bookmark.updated_at, 44)],
            detail: None,
        });
        self.section(&mut rows, "bookmarks", entries.collect());
        if page.next.is_some() {
            rows.push(ScreenRow::Note("the server has more bookmarks".into()));
        }
        ScreenContent { head, rows }
    }

    /// Adds a heading and the entries that the filter lets through.
    fn section(&self, rows: &mut Vec<ScreenRow>, heading: &str, entries: Vec<RowEntry>) {
        let all = entries.len();
        let shown: Vec<RowEntry> = entries.into_iter().filter(|entry| self.matches(entry)).collect();
        rows.push(ScreenRow::Heading(match shown.len() {
            count if count == all => format!("{heading} ({})", number(all as u64)),
            count => format!("{heading} ({} of {})", number(count as u64), number(all as u64)),
        }));
        for mut entry in shown {
            let detail = entry.detail.take().map(|detail| ScreenRow::Note(format!("  {detail}")));
            rows.push(ScreenRow::Entry(entry));
            rows.extend(detail);
        }
    }

    /// Whether the entry has every word of the filter.
    fn matches(&self, entry: &RowEntry) -> bool {
        if self.filter.is_empty() {
            return true;
        }
        let mut text = entry.title.to_lowercase();
        for other in entry.cells.iter().map(|cell| &cell.text).chain(&entry.detail) {
            text.push(' ');
            text += &other.to_lowercase();
        }
        self.filter.split_whitespace().all(|word| text.contains(word))
    }

    fn needy_row(&self, task: &NeedsYou, tasks: &TaskPage) -> RowEntry {
        let events = tasks.items.iter().find(|found| found.task_id == task.task_id).map(|found| found.event_count);
        let events = events.map(|events| counted(events, "event")).unwrap_or_default();
        let reason = task.reason.as_deref();
        let detail = task.detail.as_deref().and_then(one_line);
        let (sign, state, detail) = match (task.status, reason) {
            // The reason of an error is a word of the runtime, which is rarely one that fits a cell.
            (TaskStatus::Errored, _) => {
                (RowSign::Errored, task.status.as_str(), detail.or_else(|| reason.and_then(one_line)))
            }
            (_, Some("silent" | "gone")) => (RowSign::Silent, reason.unwrap_or_default(), detail),
            (_, Some("permission" | "question")) if task.status_certain => {
                (RowSign::Asks, reason.unwrap_or_default(), detail)
            }
            (_, Some("permission" | "question")) => {
                let asked = words::asked(reason.unwrap_or_default(), &task.since, self.now_ms);
                let detail = detail.map(|detail| format!("{asked}: {detail}")).unwrap_or(asked);
                (RowSign::Asked, "asked", Some(detail))
            }
            // A shorter word, because the cell has no room for the reason.
            (_, Some("interrupted")) => (RowSign::Waiting, "stopped", detail),
            (_, reason) => (RowSign::Waiting, reason.unwrap_or("waiting"), detail),
        };
        let (key, target) = (task.task_id.to_string(), Some(task.task_id.clone()));
        let cells = self.task_cells(state, &task.project, &events, &task.since);
        RowEntry { key, target, sign, title: escape_control_characters(&task.title), cells, detail }
    }

    fn task_row(&self, task: &Task) -> RowEntry {
        let (sign, status) = match task.status_reason.as_deref() {
            // A task that waits for no person does need one once its process is gone.
            _ if task.stale_since.is_some() => sign(task.status, true, task.stale_reason),
            // The task waits, but not for a person.
            Some("ready") if task.status == TaskStatus::Waiting => (RowSign::Plain, "ready"),
            Some("scheduled") if task.status == TaskStatus::Waiting => (RowSign::Plain, "scheduled"),
            Some(_) | None => sign(task.status, false, None),
        };
        let events = counted(task.event_count, "event");
        let (key, target) = (task.task_id.to_string(), Some(task.task_id.clone()));
        let cells = self.task_cells(status, &task.project, &events, &task.changed_at);
        RowEntry { key, target, sign, title: escape_control_characters(&task.title), cells, detail: None }
    }

    fn part_row(&self, part: &ChildTask) -> RowEntry {
        let (sign, status) = sign(part.status, part.stale_since.is_some(), None);
        let (key, target) = (part.task_id.to_string(), Some(part.task_id.clone()));
        let cells = self.task_cells(status, &part.project, "", part.ended_at.as_ref().unwrap_or(&part.created_at));
        RowEntry { key, target, sign, title: escape_control_characters(&part.title), cells, detail: None }
    }

    fn task_cells(&self, status: &str, project: &str, events: &str, at: &Timestamp) -> Vec<RowCell> {
        vec![cell(status, 10, 30), cell(project, 16, 64), cell(events, 12, 90), self.age(at, 44)]
    }

    fn event_row(&self, event: &Event) -> RowEntry {
        let sign = match event.state {
            Some(EventState::Running) => RowSign::Running,
            Some(EventState::Ok) => RowSign::Completed,
            Some(EventState::Failed | EventState::Denied) => RowSign::Errored,
            Some(EventState::Abandoned) => RowSign::Silent,
            None => RowSign::Plain,
        };
        let state = event.state.map_or("", |state| state.as_str());
        RowEntry {
            key: event.event_id.to_string(),
            target: None,
            sign,
            title: escape_control_characters(&event.title),
            cells: vec![cell(&event.kind, 20, 90), cell(state, 10, 36), self.age(&event.created_at, 48)],
            detail: None,
        }
    }

    /// The status comes first: a narrow screen cuts the end of the title.
    fn title_line(&self, task: &Task) -> String {
        let mut text = match (&task.status_reason, &task.waiting_since) {
            (Some(reason), Some(since)) if !task.status_certain => {
                escape_control_characters(&words::asked(reason, since, self.now_ms))
            }
            (Some(reason), _) => format!("{} ({})", task.status, escape_control_characters(reason)),
            (None, _) => task.status.to_string(),
        };
        if let Some(since) = &task.stale_since {
            let why = match task.stale_reason {
                Some(StaleReason::Gone) => "its process is gone",
                Some(StaleReason::Silent) | None => "silent",
            };
            text += &format!(", {why}, last heard of {}", words::ago(since, self.now_ms));
        }
        format!("{text}: {}", escape_control_characters(&task.title))
    }

    fn age(&self, time: &Timestamp, from: usize) -> RowCell {
        cell(&words::ago(time, self.now_ms), 10, from)
    }
}

/// The lines that say how far a view can be trusted.
fn head<T>(name: &str, view: &ShownView<T>) -> Vec<HeadLine> {
    let age = view.age.map(|age| format!(", as of {}", words::age(age))).unwrap_or_default();
    let error = view.error.as_deref().map(|error| format!("; {}", escape_control_characters(error)));
    let rest = format!("{age}{}", error.unwrap_or_default());
    let view_line = HeadLine::View { name: name.to_owned(), state: view.state, rest };
    let explanation = view.explanation.as_deref().map(|text| HeadLine::Text(escape_control_characters(text)));
    std::iter::once(view_line).chain(explanation).collect()
}

/// A text of several lines as one line. None: the text is blank.
fn one_line(text: &str) -> Option<String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    (!words.is_empty()).then(|| escape_control_characters(&words.join(" ")))
}

fn sign(status: TaskStatus, is_stale: bool, reason: Option<StaleReason>) -> (RowSign, &'static str) {
    match status {
        _ if is_stale => (RowSign::Silent, reason.unwrap_or(StaleReason::Silent).as_str()),
        TaskStatus::Running => (RowSign::Running, status.as_str()),
        TaskStatus::Waiting => (RowSign::Waiting, status.as_str()),
        TaskStatus::Completed => (RowSign::Completed, status.as_str()),
        TaskStatus::Errored => (RowSign::Errored, status.as_str()),
    }
}

fn cell(text: &str, width: usize, from: usize) -> RowCell {
    RowCell { text: escape_control_characters(text), width, from }
}

/// The keys, the signs and the states.
const HELP: &[(&str, &[&str])] = &[
    (
        "keys",
        &[
            "arrows, j k      select a row; page up, page down, home and end too",
            "enter            open the task of the row",
            "esc              clear the filter, or go back",
            "/                filter the rows by words; enter ends the typing",
            "b                the bookmarks, and back",
            "r                fetch again now, and open a lost stream now",
            "?                this page, and back",
            "q, ctrl-c        quit",
        ],
    ),
    (
        "signs of a row",
        &[
            "!  needs you: asks, or waits for the next prompt",
            "?  in doubt: silent, its process gone, or asked and perhaps answered",
            "*  running",
            "+  completed",
            "x  errored, failed or denied",
        ],
    ),
    (
        "states of a read model",
        &[
            "fresh         no change is known, and the server reports every change",
            "stale         a change was reported; the next fetch is due or under way",
            "unconfirmed   no change is known, but none could be reported",
            "loading       no answer has come yet",
            "gone          the server has no such task, or has it no more",
        ],
    ),
];

fn help() -> ScreenContent {
    let mut rows = Vec::new();
    for (heading, lines) in HELP {
        rows.push(ScreenRow::Heading((*heading).to_owned()));
        // Each line can be selected, so that a small screen can be scrolled.
        rows.extend(lines.iter().map(|line| {
            let (key, title) = ((*line).to_owned(), (*line).to_owned());
            ScreenRow::Entry(RowEntry {
                key,
                target: None,
                sign: RowSign::Plain,
                title,
                cells: Vec::new(),
                detail: None,
            })
        }));
    }
    ScreenContent { head: Vec::new(), rows }
}
