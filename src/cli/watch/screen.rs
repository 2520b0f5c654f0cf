//! The screen and the lines of `requery watch`. All text from the server passes through [`escape_control_characters`].

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::time::Duration;

use console::{Alignment, pad_str, truncate_str};
use indicatif::HumanCount;
use requery::client::{AgentBody, Client, HeldState, Status, View, WatchHandle};
use requery::protocol::ReadModel;
use requery::protocol::model::{
    BookmarkPage, Overview, StaleReason, TaskDetail, TaskPage, TaskStatus, Timestamp, Usage,
};

use crate::cli::counted::counted;
use crate::cli::terminal_text::escape_control_characters;

/// The smallest number of rows of a table, even on a terminal with few lines.
const FEWEST_ROWS: usize = 3;
/// The width of an age, as in `59 min ago`.
const AGE: usize = 10;
const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";

/// Switches to the terminal's alternate screen. A drop switches back to the main screen.
pub(super) struct AlternateScreen;

impl AlternateScreen {
    pub(super) fn enter() -> io::Result<Self> {
        io::stdout().write_all(b"\x1b[?1049h\x1b[?25l")?;
        Ok(Self)
    }
}

impl Drop for AlternateScreen {
    fn drop(&mut self) {
        // The write fails if the terminal is closed. There is no screen to restore then.
        let _ = io::stdout().write_all(b"\x1b[?25h\x1b[?1049l").and_then(|()| io::stdout().flush());
    }
}

/// The state of the connection, in words.
pub(super) fn status(client: &Client) -> String {
    match client.status() {
        Status::Connecting => "connecting".into(),
        Status::Live => "live".into(),
        Status::CatchingUp => "catching up".into(),
        Status::Reconnecting { .. } => match client.until_next_try() {
            Some(wait) => format!("reconnecting in {} s", wait.as_secs() + 1),
            None => "reconnecting".into(),
        },
        Status::Polling => "polling".into(),
        Status::Offline => "offline".into(),
        Status::Closed { reason } => format!("closed: {}", escape_control_characters(&reason.to_string())),
        Status::Disabled => "disabled".into(),
    }
}

/// The line for a project of which the server has no task.
pub(super) fn unknown_project(project: Option<&str>) -> String {
    let project = escape_control_characters(project.unwrap_or_default());
    format!("the project \"{project}\" has no task; is the name right?")
}

/// One change as a line of text.
pub(super) fn line(model: &ReadModel, view: &View<AgentBody>) -> String {
    let mut line = format!("{model} {}", view.state.as_str());
    if let Some(why) = &view.why {
        let _ = write!(line, " ({why})");
    }
    match view.value.as_deref() {
        Some(AgentBody::Overview(body)) => {
            let stats = &body.overview.stats;
            let _ = write!(
                line,
                ": {}, {} running, {} waiting, {}",
                counted(stats.total_tasks, "task"),
                stats.running_tasks,
                stats.waiting_tasks,
                counted(stats.total_events, "event")
            );
        }
        Some(AgentBody::Task(detail)) => {
            let (task, events) = (&detail.task, counted(detail.task.event_count, "event"));
            let _ = write!(line, ": {} {}, {events}", escape_control_characters(&task.title), task.status);
        }
        Some(AgentBody::Bookmarks(page)) => {
            let _ = write!(line, ": {}", counted(page.items.len() as u64, "bookmark"));
        }
        _ => {}
    }
    if let Some(error) = &view.error {
        let _ = write!(line, "; {}", escape_control_characters(error));
    }
    line
}

/// The size of the terminal in cells, and the current time.
#[derive(Clone, Copy)]
pub(super) struct ScreenContext {
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) now_ms: i64,
}

/// The text of the whole screen, which starts at the first cell. Lines are cut to the width of the terminal, and lines
/// below its last row are left out.
pub(super) fn picture(
    client: &Client,
    server: &str,
    project: Option<&str>,
    watches: &[WatchHandle<AgentBody>],
    context: ScreenContext,
) -> String {
    let mut text = format!("{BOLD}requery{PLAIN} {} - {}\n", escape_control_characters(server), status(client));
    if !client.is_project_known() {
        let _ = writeln!(text, "{}", unknown_project(project));
    }
    // The read models share the rows evenly. The headings around a table take five lines.
    let rows = (context.rows.saturating_sub(1) / watches.len().max(1)).saturating_sub(5).max(FEWEST_ROWS);
    let table = Table { rows, context };
    for watch in watches {
        let view = watch.view();
        let age = view.age().map(|age| format!(", as of {}", age_text(age))).unwrap_or_default();
        let error =
            view.error.as_deref().map(|error| format!(" - {}", escape_control_characters(error))).unwrap_or_default();
        let state = state(view.state);
        let _ = writeln!(text, "\n{BOLD}{}{PLAIN} {DIM}{state}{age}{error}{PLAIN}", watch.model());
        match view.value.as_deref().filter(|_| view.state != HeldState::Gone) {
            Some(AgentBody::Overview(body)) => text += &table.overview(&body.overview, &body.tasks),
            Some(AgentBody::Task(detail)) => text += &table.task(detail),
            Some(AgentBody::Bookmarks(page)) => text += &table.bookmarks(page),
            _ => {}
        }
    }
    // Each line clears its own rest, and the end clears the rows below. Clearing the whole screen first would flicker.
    let lines =
        text.lines().take(context.rows).map(|line| format!("{}\x1b[K", truncate_str(line, context.columns, "…")));
    format!("\x1b[H{}\x1b[J", lines.collect::<Vec<_>>().join("\r\n"))
}

/// The state of a view in one or two words.
fn state(state: HeldState) -> &'static str {
    match state {
        HeldState::Unconfirmed => "not confirmed",
        state => state.as_str(),
    }
}

/// Draws tables of at most `rows` rows.
struct Table {
    rows: usize,
    context: ScreenContext,
}

impl Table {
    fn overview(&self, overview: &Overview, tasks: &TaskPage) -> String {
        let stats = &overview.stats;
        let mut text = format!(
            "{}: {} running, {} waiting, {} completed, {} errored; {}\n",
            counted(stats.total_tasks, "task"),
            stats.running_tasks,
            stats.waiting_tasks,
            stats.completed_tasks,
            stats.errored_tasks,
            counted(stats.total_events, "event")
        );
        text += &usage_line(&overview.usage);
        if !overview.needs_you.is_empty() {
            let _ = writeln!(text, "\n{BOLD}needs you{PLAIN}");
        }
        let waiting = overview.needs_you.len().min(self.rows / 2);
        for task in &overview.needs_you[..waiting] {
            let reason = task.reason.as_deref().unwrap_or("waiting");
            text += &self.row(&task.title, &[(reason, 12), (&task.project, 16), (&self.ago(&task.since), AGE)]);
        }
        mark_cut(&mut text, overview.needs_you.len() > waiting);
        let _ = writeln!(text, "\n{BOLD}tasks{PLAIN}");
        if tasks.items.is_empty() {
            text +=
                " no task yet: `requery hooks install` connects an agent, and `requery demo` shows a team at work\n";
        }
        for task in tasks.items.iter().take(self.rows - waiting) {
            let events = counted(task.event_count, "event");
            let mark = if task.status == TaskStatus::Waiting { "! " } else { "  " };
            let changed = self.ago(&task.changed_at);
            let status = if task.stale_since.is_some() { "stale" } else { task.status.as_str() };
            let cells = [(status, 10), (&*task.project, 16), (&*events, 12), (&*changed, AGE)];
            text += &self.row(&format!("{mark}{}", task.title), &cells);
        }
        mark_cut(&mut text, tasks.items.len() > self.rows - waiting || tasks.next.is_some());
        text
    }

    fn task(&self, detail: &TaskDetail) -> String {
        let (task, figures) = (&detail.task, &detail.figures);
        let mut text = format!("{} - {}", escape_control_characters(&task.title), task.status);
        if let Some(reason) = &task.status_reason {
            let _ = write!(text, " ({})", escape_control_characters(reason));
        }
        if let Some(since) = &task.stale_since {
            let why = match task.stale_reason {
                Some(StaleReason::Gone) => "its process is gone, last heard of",
                Some(StaleReason::Silent) | None => "stale, last heard of",
            };
            let _ = write!(text, " - {why} {}", self.ago(since));
        }
        let (events, sessions) = (counted(figures.events, "event"), counted(figures.sessions, "session"));
        let _ = writeln!(text, "\n{events}, {sessions}, {}", counted(figures.children, "part"));
        text += &usage_line(&detail.usage);
        for event in detail.timeline.items.iter().take(self.rows) {
            let state = event.state.map_or("", |state| state.as_str());
            text += &self.row(&event.title, &[(&event.kind, 20), (state, 10), (&self.ago(&event.created_at), AGE)]);
        }
        mark_cut(&mut text, detail.timeline.items.len() > self.rows || detail.timeline.next.is_some());
        text
    }

    fn bookmarks(&self, page: &BookmarkPage) -> String {
        let mut text = String::new();
        if page.items.is_empty() {
            text += " no bookmark yet: PUT /api/v1/bookmarks marks a task or an event\n";
        }
        for bookmark in page.items.iter().take(self.rows) {
            let note = bookmark.note.as_deref().unwrap_or_default();
            text += &self.row(&bookmark.title, &[(note, 30), (&self.ago(&bookmark.updated_at), AGE)]);
        }
        mark_cut(&mut text, page.items.len() > self.rows || page.next.is_some());
        text
    }

    /// A line: `first` takes the width that the cells leave over, then come the cells with their fixed widths.
    fn row(&self, first: &str, cells: &[(&str, usize)]) -> String {
        let taken: usize = cells.iter().map(|(_, width)| width + 1).sum();
        let width = self.context.columns.saturating_sub(taken + 2).clamp(12, 80);
        let cell = |text: &str, width| {
            pad_str(&escape_control_characters(text), width, Alignment::Left, Some("…")).into_owned()
        };
        let mut line = format!(" {}", cell(first, width));
        for (text, width) in cells {
            line.push(' ');
            line += &cell(text, *width);
        }
        line.truncate(line.trim_end().len());
        line.push('\n');
        line
    }

    fn ago(&self, time: &Timestamp) -> String {
        age_text(Duration::from_millis(self.context.now_ms.saturating_sub(time.as_ms()).max(0).unsigned_abs()))
    }
}

/// The tokens and their cost as one line. Empty if there is no usage.
fn usage_line(usage: &Usage) -> String {
    if usage.answers == 0 {
        return String::new();
    }
    let sent = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens;
    let tokens = format!("{} tokens sent, {} answered", HumanCount(sent), HumanCount(usage.output_tokens));
    match usage.cost_usd {
        None => format!("{tokens}\n"),
        Some(cost) if usage.answers_with_cost == usage.answers => format!("{tokens}; ${cost:.2}\n"),
        Some(cost) => {
            let (stated, all) = (HumanCount(usage.answers_with_cost), counted(usage.answers, "answer"));
            let state = if usage.answers_with_cost == 1 { "states its cost," } else { "state their cost, together" };
            format!("{tokens}; {stated} of {all} {state} ${cost:.2}\n")
        }
    }
}

fn mark_cut(text: &mut String, is_cut: bool) {
    if is_cut {
        let _ = writeln!(text, "{DIM} ...{PLAIN}");
    }
}

fn age_text(age: Duration) -> String {
    match age.as_secs() {
        0 => "now".into(),
        seconds @ 1..60 => format!("{seconds} s ago"),
        seconds @ 60..3600 => format!("{} min ago", seconds / 60),
        seconds @ 3600..172_800 => format!("{} h ago", seconds / 3600),
        seconds => format!("{} d ago", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use requery::protocol::model::Usage;

    use super::{ScreenContext, Table, usage_line};

    #[test]
    fn a_partial_cost_names_how_many_answers_it_covers() {
        let mut usage = Usage::default();
        (usage.answers, usage.input_tokens, usage.output_tokens) = (1200, 12_000, 7);
        assert_eq!(usage_line(&Usage::default()), "");
        assert_eq!(usage_line(&usage), "12,000 tokens sent, 7 answered\n");
        (usage.cost_usd, usage.answers_with_cost) = (Some(0.5), 3);
        let some = "12,000 tokens sent, 7 answered; 3 of 1,200 answers state their cost, together $0.50\n";
        assert_eq!(usage_line(&usage), some);
        usage.answers_with_cost = 1200;
        assert_eq!(usage_line(&usage), "12,000 tokens sent, 7 answered; $0.50\n");
    }

    #[test]
    fn row_width_counts_wide_characters_as_two_cells() {
        let table = Table { rows: 3, context: ScreenContext { rows: 10, columns: 40, now_ms: 0 } };
        assert_eq!(
            table.row("a title that is too long for it", &[("running", 10)]),
            " a title that is too long f… running\n"
        );
        assert_eq!(table.row("日本", &[("x", 3), ("y", 3)]), format!(" 日本{} x   y\n", " ".repeat(26)));
    }
}
