//! What `requery watch` draws. Everything that came from elsewhere passes through [`harmless`].

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::time::Duration;

use requery::client::{Client, State, Status, View, Watch};
use requery::protocol::ReadModel;
use requery::protocol::model::{BookmarkPage, Overview, TaskDetail, TaskPage, TaskStatus};

/// How many rows of each table are shown.
const ROWS: usize = 20;
const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";

/// The terminal's second screen; the first comes back when this is dropped.
pub(super) struct Alternate;

impl Alternate {
    pub(super) fn enter() -> io::Result<Self> {
        io::stdout().write_all(b"\x1b[?1049h\x1b[?25l")?;
        Ok(Self)
    }
}

impl Drop for Alternate {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing restored.
        let _ = io::stdout().write_all(b"\x1b[?25h\x1b[?1049l").and_then(|()| io::stdout().flush());
    }
}

/// How things stand with the server, in words.
pub(super) fn status(client: &Client) -> String {
    match client.status() {
        Status::Connecting => "connecting".into(),
        Status::Live => "live".into(),
        Status::CatchingUp => "catching up".into(),
        Status::Reconnecting { .. } => match client.until_next_try() {
            Some(wait) => format!("reconnecting in {} s", wait.as_secs() + 1),
            None => "reconnecting".into(),
        },
        Status::Offline => "offline".into(),
        Status::Closed { reason } => format!("closed: {}", harmless(&reason)),
        Status::Disabled => "disabled".into(),
    }
}

/// One change, for whoever reads lines.
pub(super) fn line(model: &ReadModel, view: &View) -> String {
    let mut line = format!("{model} {}", view.state.as_str());
    if let Some(why) = view.why {
        let _ = write!(line, " ({why})");
    }
    if let Some(Ok((overview, _))) = view.body.as_ref().and_then(|body| body.overview()) {
        let stats = overview.stats;
        let _ = write!(
            line,
            ": {} tasks, {} running, {} waiting, {} events",
            stats.total_tasks, stats.running_tasks, stats.waiting_tasks, stats.total_events
        );
    }
    if let Some(Ok(detail)) = view.body.as_ref().and_then(|body| body.task()) {
        let task = detail.task;
        let _ = write!(line, ": {} {}, {} events", harmless(&task.title), task.status, task.event_count);
    }
    if let Some(Ok(page)) = view.body.as_ref().and_then(|body| body.bookmarks()) {
        let _ = write!(line, ": {} bookmarks", page.items.len());
    }
    if let Some(error) = &view.error {
        let _ = write!(line, "; {}", harmless(error));
    }
    line
}

/// The whole screen, from its first cell.
pub(super) fn picture(client: &Client, server: &str, watches: &[Watch]) -> String {
    let mut text = format!("{BOLD}requery{PLAIN} {} - {}\n", harmless(server), status(client));
    for watch in watches {
        let view = watch.view();
        let age = view.age().map(|age| format!(", as of {}", span(age))).unwrap_or_default();
        let error = view.error.as_deref().map(|error| format!(" - {}", harmless(error))).unwrap_or_default();
        let _ = writeln!(text, "\n{BOLD}{}{PLAIN} {DIM}{}{age}{error}{PLAIN}", watch.model(), view.state.as_str());
        let Some(body) = &view.body else { continue };
        if view.state == State::Gone {
            continue;
        }
        let drawn = body
            .overview()
            .map(|parsed| parsed.map(|(overview, tasks)| draw_overview(&overview, &tasks)))
            .or_else(|| body.task().map(|parsed| parsed.map(|detail| draw_task(&detail))))
            .or_else(|| body.bookmarks().map(|parsed| parsed.map(|page| draw_bookmarks(&page))));
        match drawn {
            Some(Ok(drawn)) => text += &drawn,
            Some(Err(error)) => drop(writeln!(text, "the server speaks of something newer than this program: {error}")),
            None => {}
        }
    }
    // Each line clears what was behind it, the last everything below: nothing flickers.
    format!("\x1b[H{}\x1b[J", text.replace('\n', "\x1b[K\r\n"))
}

fn draw_overview(overview: &Overview, tasks: &TaskPage) -> String {
    let stats = &overview.stats;
    let mut text = format!(
        "{} tasks: {} running, {} waiting, {} completed, {} errored; {} events\n",
        stats.total_tasks,
        stats.running_tasks,
        stats.waiting_tasks,
        stats.completed_tasks,
        stats.errored_tasks,
        stats.total_events
    );
    if !overview.needs_you.is_empty() {
        let _ = writeln!(text, "\n{BOLD}needs you{PLAIN}");
    }
    for task in overview.needs_you.iter().take(ROWS) {
        let reason = task.reason.as_deref().unwrap_or("waiting");
        row(&mut text, &[(&task.title, 50), (reason, 12), (&task.project, 20), (task.since.as_str(), 24)]);
    }
    let _ = writeln!(text, "\n{BOLD}tasks{PLAIN}");
    for task in tasks.items.iter().take(ROWS) {
        let events = task.event_count.to_string();
        let cells =
            [(&*task.title, 50), (task.status.as_str(), 12), (&task.project, 20), (task.changed_at.as_str(), 24)];
        let mark = if task.status == TaskStatus::Waiting { "!" } else { " " };
        text += mark;
        row(&mut text, &[cells[0], cells[1], cells[2], cells[3], (&events, 8)]);
    }
    more(&mut text, tasks.items.len(), tasks.next.is_some());
    text
}

fn draw_task(detail: &TaskDetail) -> String {
    let (task, figures) = (&detail.task, &detail.figures);
    let mut text = format!("{} - {}", harmless(&task.title), task.status);
    if let Some(reason) = &task.waiting_reason {
        let _ = write!(text, " ({})", harmless(reason));
    }
    let _ = writeln!(text, "\n{} events, {} sessions, {} parts", figures.events, figures.sessions, figures.children);
    for event in detail.timeline.items.iter().take(ROWS) {
        row(&mut text, &[(event.created_at.as_str(), 24), (&event.kind, 20), (&event.title, 70)]);
    }
    more(&mut text, detail.timeline.items.len(), detail.timeline.next.is_some());
    text
}

fn draw_bookmarks(page: &BookmarkPage) -> String {
    let mut text = String::new();
    for bookmark in page.items.iter().take(ROWS) {
        let note = bookmark.note.as_deref().unwrap_or_default();
        row(&mut text, &[(&bookmark.title, 50), (note, 50), (bookmark.updated_at.as_str(), 24)]);
    }
    more(&mut text, page.items.len(), page.next.is_some());
    text
}

fn row(text: &mut String, cells: &[(&str, usize)]) {
    for (cell, width) in cells {
        let cell = cut(&harmless(cell), *width);
        let _ = write!(text, " {cell:width$}");
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
}

fn more(text: &mut String, rows: usize, beyond: bool) {
    if rows > ROWS || beyond {
        let _ = writeln!(text, "{DIM} ...{PLAIN}");
    }
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width - 1).chain(['…']).collect()
}

fn span(age: Duration) -> String {
    match age.as_secs() {
        0 => "now".into(),
        seconds @ 1..60 => format!("{seconds} s ago"),
        seconds @ 60..3600 => format!("{} min ago", seconds / 60),
        seconds => format!("{} h ago", seconds / 3600),
    }
}

/// Text that cannot steer a terminal: control characters and those that reorder text become their escapes.
fn harmless(text: &str) -> String {
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
    };
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) { safe.extend(c.escape_default()) } else { safe.push(c) }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::{cut, harmless};

    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(harmless("a\x1b[2Jb\r\n\u{9b}c\u{202e}d"), "a\\u{1b}[2Jb\\r\\n\\u{9b}c\\u{202e}d");
        assert_eq!(harmless("ünïcode 日本"), "ünïcode 日本");
    }

    #[test]
    fn long_text_is_cut() {
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!(cut("abcd", 4), "abcd");
    }
}
