//! The screen: a client, the state of the screen and a terminal, in one loop.

use std::ffi::OsStr;
use std::io;

use ratatui::crossterm::event::Event;
use ratatui::layout::Size;
use requery::client::{Client, OverviewBody, Status, View, WatchHandle};
use requery::protocol::model::{BookmarkPage, TaskDetail};
use requery::protocol::{ReadModel, TaskId};

use super::connection_words::ConnectionWords;
use super::content::content;
use super::draw::{Palette, Picture};
use super::explained::Explained;
use super::output::Output;
use super::redraws::Redraws;
use super::shown::{ShownMoment, ShownView};
use super::state::{KeyEffect, ScreenPage, ScreenState};
use super::terminal::{ScreenTerminal, inputs};
use super::{WatchArgs, WatchEnd};

/// Whether a screen can be drawn: the terminal moves its cursor. The text of the variable `TERM` is `dumb` otherwise.
pub(super) fn is_possible(term: Option<&OsStr>) -> bool {
    term.is_none_or(|term| term != "dumb")
}

/// Shows the client until a person quits, until a signal asks for the end, or until the client or the terminal ends.
pub(super) async fn show(
    client: &Client,
    args: &WatchArgs,
    output: Output,
    asked_to_end: impl Future<Output = ()>,
) -> io::Result<WatchEnd> {
    let mut terminal = ScreenTerminal::enter(output).await?;
    let mut screen = Screen::new(client, args);
    let shown = tokio::select! {
        shown = screen.run(&mut terminal) => shown.map(|()| WatchEnd::Client),
        () = asked_to_end => Ok(WatchEnd::Asked),
    };
    // A signal gives the terminal back in the same way, also while the terminal takes no output.
    terminal.leave().await;
    shown
}

struct Screen<'a> {
    client: &'a Client,
    args: &'a WatchArgs,
    palette: Palette,
    state: ScreenState,
    redraws: Redraws,
    overview: WatchHandle<OverviewBody>,
    /// The open task. A task is watched only while its page is visible.
    task: Option<(TaskId, WatchHandle<TaskDetail>)>,
    /// The bookmarks, while their page is visible.
    bookmarks: Option<WatchHandle<BookmarkPage>>,
}

impl<'a> Screen<'a> {
    fn new(client: &'a Client, args: &'a WatchArgs) -> Self {
        let tasks = args.task.iter().cloned().map(ScreenPage::Task);
        let pages: Vec<ScreenPage> = tasks.chain(args.bookmarks.then_some(ScreenPage::Bookmarks)).collect();
        let has_colors = std::env::var_os("NO_COLOR").is_none_or(|text| text.is_empty());
        Self {
            client,
            args,
            palette: Palette { has_colors },
            state: ScreenState::new(pages.into_iter()),
            redraws: Redraws::default(),
            overview: client.overview(),
            task: None,
            bookmarks: None,
        }
    }

    async fn run(&mut self, terminal: &mut ScreenTerminal) -> io::Result<()> {
        let mut changes = self.client.changes();
        let mut inputs = inputs()?;
        loop {
            let now = self.client.now();
            if self.redraws.due() <= now {
                let picture = self.settle(terminal.size()?);
                self.redraws.handle_drawn(now);
                terminal.draw(|frame| picture.draw(&self.state, frame)).await?;
            }
            let wait = self.redraws.due().saturating_sub(self.client.now());
            tokio::select! {
                changed = changes.next() => match changed {
                    true => self.redraws.handle_change(),
                    false => return Ok(()),
                },
                input = inputs.recv() => match input {
                    Some(input) => if self.handle_input(input, terminal).await? { return Ok(()) },
                    None => return Ok(()),
                },
                () = terminal.continued() => {
                    terminal.take_over().await?;
                    self.redraws.handle_resize();
                }
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Returns whether the program ends.
    async fn handle_input(&mut self, input: Event, terminal: &mut ScreenTerminal) -> io::Result<bool> {
        match input {
            Event::Resize(..) => self.redraws.handle_resize(),
            Event::Paste(text) => self.state.handle_paste(&text),
            Event::Key(key) => match self.state.handle_key(key) {
                KeyEffect::Redraw => {}
                KeyEffect::Quit => return Ok(true),
                KeyEffect::Refresh => self.refresh(),
                KeyEffect::Suspend => {
                    terminal.suspend().await?;
                    self.redraws.handle_resize();
                }
            },
            Event::FocusGained | Event::FocusLost | Event::Mouse(_) => {}
        }
        // The next key acts on the page that this key made, also before the page is drawn.
        self.settle(terminal.size()?);
        self.redraws.handle_change();
        Ok(false)
    }

    /// Watches what the visible page shows, and tells the state its rows.
    fn settle(&mut self, size: Size) -> Picture {
        match self.state.page() {
            ScreenPage::Task(id) => {
                if self.task.as_ref().is_none_or(|(open, _)| open != id) {
                    self.task = Some((id.clone(), self.client.task(id.clone())));
                }
                self.bookmarks = None;
            }
            ScreenPage::Bookmarks => {
                self.bookmarks.get_or_insert_with(|| self.client.bookmarks());
                self.task = None;
            }
            ScreenPage::Overview => (self.task, self.bookmarks) = (None, None),
            // The help covers a page for a moment.
            ScreenPage::Help => {}
        }
        let moment = self.moment();
        let picture = Picture::new(content(&self.state, &moment), &moment, size, self.palette);
        self.state.settle(picture.rows(), picture.height());
        picture
    }

    fn moment(&self) -> ShownMoment {
        ShownMoment {
            server: self.args.server.clone(),
            project: self.args.project.clone(),
            is_project_known: self.client.is_project_known(),
            connection: ConnectionWords::of(self.client),
            overview: self.shown(&ReadModel::Overview, self.overview.view()),
            task: self.task.as_ref().map(|(_, task)| self.shown(task.model(), task.view())),
            bookmarks: self.bookmarks.as_ref().map(|page| self.shown(&ReadModel::Bookmarks, page.view())),
            now_ms: chrono::Utc::now().timestamp_millis(),
        }
    }

    fn shown<T>(&self, model: &ReadModel, view: View<T>) -> ShownView<T> {
        ShownView {
            age: view.age(),
            value: view.value,
            state: view.state,
            error: view.error.map(|error| error.to_string()),
            explanation: self
                .args
                .explain
                .then(|| Explained::of(self.client, model).map(|explained| explained.text))
                .flatten(),
        }
    }

    fn refresh(&self) {
        if !matches!(self.client.status(), Status::Live | Status::CatchingUp) {
            self.client.reconnect_now();
        }
        self.client.refresh(&ReadModel::Overview);
        if let Some((id, _)) = &self.task {
            self.client.refresh(&ReadModel::Task(id.clone()));
        }
        if self.bookmarks.is_some() {
            self.client.refresh(&ReadModel::Bookmarks);
        }
    }
}
