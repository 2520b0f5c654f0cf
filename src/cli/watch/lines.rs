//! The output in lines: one line for each change of the connection, of a read model and of an explanation.
//!
//! This module decides when a line is due. [`LineForm`] makes it: as text here, as JSON in [`json`](super::json).

use std::fmt::Write as _;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use requery::client::{AgentBody, Client, HeldState, Status, View, WatchHandle};
use requery::protocol::{Cursor, ReadModel};

use super::connection_words;
use super::explained::Explained;
use super::output::Output;
use super::words;
use crate::cli::counted::counted;
use crate::cli::terminal_text::escape_control_characters;

/// How long after its time an explanation is read again: the client has acted by then.
const EXPLANATION_PAUSE: Duration = Duration::from_millis(5);

/// The form of the lines.
pub(super) trait LineForm {
    /// The line for a new state of the connection. `None`: the state is no line.
    fn connection(&self, line: &ConnectionLine) -> String;
    /// The lines for a change of a read model or of its explanation.
    fn model(&self, line: &ModelLine<'_>) -> Vec<String>;
}

/// A state of the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ConnectionLine {
    /// The word of the state.
    pub(super) status: &'static str,
    /// Why the stream was lost or the client gave up: as one word, and as a text.
    pub(super) reason: Option<(&'static str, String)>,
    /// Since when there is no stream, on the clock of the client.
    pub(super) lost_at: Option<Duration>,
}

/// A change of a read model.
pub(super) struct ModelLine<'a> {
    pub(super) model: &'a ReadModel,
    pub(super) view: &'a View<AgentBody>,
    pub(super) explanation: Option<&'a str>,
    /// The view differs from the one of the last line.
    pub(super) is_view_new: bool,
    /// The body differs from the one of the last line.
    pub(super) is_body_new: bool,
    /// The explanation differs from the one of the last line.
    pub(super) is_explanation_new: bool,
}

/// Prints the changes until the client connects no more, or ends.
pub(super) async fn print(
    client: &Client,
    models: Vec<ReadModel>,
    form: &impl LineForm,
    explain: bool,
    output: &Output,
) -> io::Result<()> {
    let mut changes = client.changes();
    let mut watched: Vec<LineWatch> = models.into_iter().map(|model| LineWatch::begin(client, model)).collect();
    let mut printed = None;
    'changed: loop {
        let connection = ConnectionLine::of(client);
        let is_closed = matches!(client.status(), Status::Closed { .. });
        // The end is the last line.
        if !is_closed && printed.as_ref() != Some(&connection) {
            output.line(&form.connection(&connection)).await?;
            printed = Some(connection);
        } else if is_closed {
            for watch in &mut watched {
                watch.print(watch.handle.view(), client, form, explain, output).await?;
            }
            return output.line(&form.connection(&ConnectionLine::of(client))).await;
        }
        for watch in &mut watched {
            let view = watch.handle.view();
            // The view may follow a change of the connection that came while a line was written. The line of the
            // connection comes first.
            if printed.as_ref() != Some(&ConnectionLine::of(client)) {
                continue 'changed;
            }
            watch.print(view, client, form, explain, output).await?;
        }
        let until = watched.iter().filter_map(|watch| watch.explained.as_ref().and_then(|it| it.until)).min();
        let wait = until.map(|until| until.saturating_sub(client.now()) + EXPLANATION_PAUSE);
        tokio::select! {
            changed = changes.next() => if !changed { return Ok(()) },
            () = tokio::time::sleep(wait.unwrap_or_default()), if wait.is_some() => {}
        }
    }
}

/// A watched read model, and the last line of it.
struct LineWatch {
    handle: WatchHandle<AgentBody>,
    printed: Option<Printed>,
    explained: Option<Explained>,
}

/// The part of a view that makes a new line if it changes. The reason of a fetch is absent: it changes when a fetch
/// begins, and the answer is the line.
#[derive(PartialEq)]
struct Printed {
    state: HeldState,
    cursor: Option<Cursor>,
    error: Option<Arc<str>>,
    parts: Arc<[Bytes]>,
}

impl LineWatch {
    fn begin(client: &Client, model: ReadModel) -> Self {
        Self { handle: client.watch(model), printed: None, explained: None }
    }

    async fn print(
        &mut self,
        view: View<AgentBody>,
        client: &Client,
        form: &impl LineForm,
        explain: bool,
        output: &Output,
    ) -> io::Result<()> {
        let model = self.handle.model();
        let explained = if explain { Explained::of(client, model) } else { None };
        let now = Printed {
            state: view.state,
            cursor: view.cursor.clone(),
            error: view.error.clone(),
            parts: Arc::clone(&view.parts),
        };
        // Before the first answer there is no change to tell.
        let has_begun = view.state != HeldState::Loading || view.error.is_some();
        let line = ModelLine {
            model,
            view: &view,
            explanation: explained.as_ref().map(|explained| explained.text.as_str()),
            is_view_new: has_begun && self.printed.as_ref() != Some(&now),
            is_body_new: self.printed.as_ref().is_none_or(|printed| printed.parts != now.parts),
            is_explanation_new: explained.as_ref().map(|it| &it.text) != self.explained.as_ref().map(|it| &it.text),
        };
        for text in form.model(&line) {
            output.line(&text).await?;
        }
        self.explained = explained;
        self.printed = has_begun.then_some(now);
        Ok(())
    }
}

impl ConnectionLine {
    /// The present state of the client.
    fn of(client: &Client) -> Self {
        let status = client.status();
        let (reason, lost_at) = match &status {
            Status::Reconnecting { reason, since, .. } => {
                let text = connection_words::loss(client, *reason);
                (Some((connection_words::loss_word(*reason), text)), Some(*since))
            }
            Status::Closed { reason } => {
                let text = connection_words::closed(client, reason);
                (Some((connection_words::closed_word(reason), text)), None)
            }
            Status::Connecting
            | Status::Live
            | Status::CatchingUp
            | Status::Polling
            | Status::Offline
            | Status::Disabled => (None, None),
        };
        Self { status: status.as_str(), reason, lost_at }
    }
}

/// Lines for people.
pub(super) struct TextLines;

impl LineForm for TextLines {
    fn connection(&self, line: &ConnectionLine) -> String {
        match &line.reason {
            Some((_, text)) => format!("{}: {text}", line.status),
            None => line.status.to_owned(),
        }
    }

    fn model(&self, line: &ModelLine<'_>) -> Vec<String> {
        let text = line.is_view_new.then(|| view_text(line.model, line.view));
        let explanation = line.explanation.filter(|_| line.is_explanation_new);
        text.into_iter().chain(explanation.map(|text| format!("{}: {text}", line.model))).collect()
    }
}

fn view_text(model: &ReadModel, view: &View<AgentBody>) -> String {
    let mut line = format!("{model} {}", view.state.as_str());
    if let Some(why) = &view.why {
        let _ = write!(line, " ({why})");
    }
    match view.value.as_deref() {
        Some(AgentBody::Overview(body)) => {
            let _ = write!(line, ": {}", words::figures(&body.overview.stats));
        }
        Some(AgentBody::Task(detail)) => {
            let (title, events) = (escape_control_characters(&detail.task.title), detail.task.event_count);
            let _ = write!(line, ": {title} {}, {}", detail.task.status, counted(events, "event"));
        }
        Some(AgentBody::Bookmarks(page)) => {
            let _ = write!(line, ": {}", counted(page.items.len() as u64, "bookmark"));
        }
        Some(_) | None => {}
    }
    if let Some(error) = &view.error {
        let _ = write!(line, "; {}", escape_control_characters(error));
    }
    line
}
