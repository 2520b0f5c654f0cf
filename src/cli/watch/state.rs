//! The state of the screen: the open pages, the selected row, the filter; and the effect of each key.
//!
//! A row is selected by its key and not by its place, so the selection follows a task whose row moves. The bodies of
//! the read models are absent here: [`content`](super::content) makes rows of them.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use requery::protocol::TaskId;

use super::rows::ScreenRow;

/// The most characters of a filter: far more than fit beside each other on a screen.
const LONGEST_FILTER: usize = 200;
/// The most pages on top of each other: a task opens its parts, and they open theirs.
const MOST_PAGES: usize = 32;

/// What a page shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ScreenPage {
    /// The tasks that need a person, then the newest tasks.
    Overview,
    /// The bookmarks.
    Bookmarks,
    /// One task with its timeline.
    Task(TaskId),
    /// The keys and the signs.
    Help,
}

/// The effect of a key outside the state of the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyEffect {
    /// The key changes the picture at most.
    Redraw,
    /// The program ends.
    Quit,
    /// The program stops until its shell continues it.
    Suspend,
    /// The shown read models are fetched, and a lost stream is opened at once.
    Refresh,
}

/// The state of the screen.
#[derive(Clone, Debug)]
pub(super) struct ScreenState {
    overview: OpenPage,
    /// The pages on top of the overview, the visible one last.
    opened: Vec<OpenPage>,
    /// The person is typing the filter.
    is_filtering: bool,
    /// The rows under the selection, as of the last [`settle`](ScreenState::settle).
    rows: Vec<RowPlace>,
    /// The number of rows that fit on the screen.
    height: usize,
}

#[derive(Clone, Debug)]
struct OpenPage {
    page: ScreenPage,
    filter: String,
    /// The key of the selected row. `None`: the first row, whichever that is.
    selected: Option<String>,
    /// The place of the selected row among all rows.
    at: usize,
    /// The first visible row.
    top: usize,
}

/// The part of a row that keys act on.
#[derive(Clone, Debug)]
struct RowPlace {
    /// `None` for a row that cannot be selected.
    key: Option<String>,
    target: Option<TaskId>,
}

impl ScreenState {
    /// The overview, and on top of it the pages that the arguments name. The first of them is visible.
    pub(super) fn new(pages: impl DoubleEndedIterator<Item = ScreenPage>) -> Self {
        let overview = OpenPage::new(ScreenPage::Overview);
        let opened = pages.rev().map(OpenPage::new).collect();
        Self { overview, opened, is_filtering: false, rows: Vec::new(), height: 1 }
    }

    /// The visible page.
    pub(super) fn page(&self) -> &ScreenPage {
        &self.top_page().page
    }

    /// The filter of the visible page. Empty: every row is shown.
    pub(super) fn filter(&self) -> &str {
        &self.top_page().filter
    }

    /// Whether the person is typing the filter.
    pub(super) fn is_filtering(&self) -> bool {
        self.is_filtering
    }

    /// The place of the selected row among all rows, and of the first visible row.
    pub(super) fn places(&self) -> (usize, usize) {
        (self.top_page().at, self.top_page().top)
    }

    /// The number of the selected entry, from 1 on, and of all entries.
    pub(super) fn position(&self) -> (usize, usize) {
        let entries = |rows: &[RowPlace]| rows.iter().filter(|row| row.key.is_some()).count();
        let until = self.rows.len().min(self.top_page().at + 1);
        (entries(&self.rows[..until]), entries(&self.rows))
    }

    /// The visible page has these rows now, and `height` of them fit on the screen.
    pub(super) fn settle(&mut self, rows: &[ScreenRow], height: usize) {
        self.rows =
            rows.iter().map(|row| RowPlace { key: row.key().cloned(), target: row.target().cloned() }).collect();
        self.height = height.max(1);
        let first = self.rows.iter().position(|row| row.key.is_some()).unwrap_or(0);
        let rows = &self.rows;
        let open = self.opened.last_mut().unwrap_or(&mut self.overview);
        open.at = match &open.selected {
            None => first,
            Some(key) => match rows.iter().position(|row| row.key.as_ref() == Some(key)) {
                Some(at) => at,
                // The row is gone: the selection stays at its place.
                None => nearest(rows, open.at),
            },
        };
        if let Some(key) = rows.get(open.at).and_then(|row| row.key.clone()).filter(|_| open.selected.is_some()) {
            open.selected = Some(key);
        }
        self.scroll();
    }

    /// Applies a key to the rows of the last [`settle`](ScreenState::settle).
    pub(super) fn handle_key(&mut self, key: KeyEvent) -> KeyEffect {
        if key.kind == KeyEventKind::Release {
            return KeyEffect::Redraw;
        }
        // A terminal sends the escape key and a character that follows soon after in the same form as Alt and the
        // character. No key with Alt has a meaning here, so it is the escape key.
        if key.modifiers.contains(KeyModifiers::ALT) {
            self.handle_key(KeyEvent::new(KeyCode::Esc, KeyModifiers::NONE));
            return self.handle_key(KeyEvent { modifiers: key.modifiers - KeyModifiers::ALT, ..key });
        }
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return self.handle_control(key.code);
        }
        if self.is_filtering {
            self.handle_filter_key(key.code);
            return KeyEffect::Redraw;
        }
        match key.code {
            KeyCode::Char('q') => return KeyEffect::Quit,
            KeyCode::Char('r') => return KeyEffect::Refresh,
            KeyCode::Down | KeyCode::Char('j') => self.move_by(1),
            KeyCode::Up | KeyCode::Char('k') => self.move_by(-1),
            KeyCode::PageDown | KeyCode::Char(' ') => self.move_by(self.page_length()),
            KeyCode::PageUp => self.move_by(-self.page_length()),
            KeyCode::Home | KeyCode::Char('g') => self.move_to_first(),
            KeyCode::End | KeyCode::Char('G') => self.move_by(isize::MAX),
            KeyCode::Enter | KeyCode::Right | KeyCode::Char('l') => self.open_selected(),
            KeyCode::Esc | KeyCode::Left | KeyCode::Backspace | KeyCode::Char('h') => self.go_back(),
            KeyCode::Char('/') => self.is_filtering = *self.page() != ScreenPage::Help,
            KeyCode::Char('b') => self.toggle(ScreenPage::Bookmarks),
            KeyCode::Char('?') => self.toggle(ScreenPage::Help),
            _ => {}
        }
        KeyEffect::Redraw
    }

    /// Text that was pasted: a filter takes it, and all other keys are safe from it.
    pub(super) fn handle_paste(&mut self, text: &str) {
        if self.is_filtering {
            text.chars().for_each(|c| self.add_to_filter(c));
        }
    }

    fn handle_control(&mut self, code: KeyCode) -> KeyEffect {
        match code {
            KeyCode::Char('c' | 'd') => return KeyEffect::Quit,
            KeyCode::Char('z') => return KeyEffect::Suspend,
            KeyCode::Char('u') if self.is_filtering => self.change_filter(String::clear),
            KeyCode::Char('w') if self.is_filtering => self.change_filter(|filter| {
                let kept = filter.trim_end().rfind(' ').map_or(0, |space| space + 1);
                filter.truncate(kept);
            }),
            _ => {}
        }
        KeyEffect::Redraw
    }

    fn handle_filter_key(&mut self, code: KeyCode) {
        match code {
            KeyCode::Enter => self.is_filtering = false,
            KeyCode::Esc => {
                self.is_filtering = false;
                self.change_filter(String::clear);
            }
            KeyCode::Backspace => self.change_filter(|filter| _ = filter.pop()),
            KeyCode::Down => self.move_by(1),
            KeyCode::Up => self.move_by(-1),
            KeyCode::Char(c) => self.add_to_filter(c),
            _ => {}
        }
    }

    fn add_to_filter(&mut self, c: char) {
        if !c.is_control() && self.filter().chars().count() < LONGEST_FILTER {
            self.change_filter(|filter| filter.push(c));
        }
    }

    /// Another filter shows other rows, so the selection begins at the first one.
    fn change_filter(&mut self, change: impl FnOnce(&mut String)) {
        let open = self.opened.last_mut().unwrap_or(&mut self.overview);
        change(&mut open.filter);
        (open.selected, open.top) = (None, 0);
    }

    fn move_by(&mut self, rows: isize) {
        let open = self.opened.last_mut().unwrap_or(&mut self.overview);
        let to = open.at.saturating_add_signed(rows).min(self.rows.len().saturating_sub(1));
        // A heading cannot be selected: the move goes on in its direction, or stays before the edge.
        let is_entry = |at: &usize| self.rows.get(*at).is_some_and(|row| row.key.is_some());
        let found = if rows > 0 {
            (to..self.rows.len()).find(is_entry).or_else(|| (open.at..to).rev().find(is_entry))
        } else {
            (0..=to).rev().find(is_entry)
        };
        match found {
            Some(at) => (open.selected, open.at) = (self.rows[at].key.clone(), at),
            None => open.selected = None,
        }
        self.scroll();
    }

    fn move_to_first(&mut self) {
        let first = self.rows.iter().position(|row| row.key.is_some()).unwrap_or(0);
        let open = self.opened.last_mut().unwrap_or(&mut self.overview);
        (open.selected, open.at, open.top) = (None, first, 0);
    }

    fn page_length(&self) -> isize {
        isize::try_from(self.height.saturating_sub(1)).unwrap_or(1).max(1)
    }

    /// Moves the visible part so that the selected row is in it, with the headings right above it and, after the last
    /// entry, with the remarks below.
    fn scroll(&mut self) {
        let (rows, height) = (&self.rows, self.height);
        let open = self.opened.last_mut().unwrap_or(&mut self.overview);
        let is_beside = |row: &&RowPlace| row.key.is_none();
        let above = rows[..open.at.min(rows.len())].iter().rev().take_while(is_beside).count();
        let below = rows.iter().skip(open.at + 1).take_while(is_beside).count();
        let last = if open.at + below + 1 == rows.len() { rows.len() } else { open.at + 1 };
        open.top = open.top.min(open.at.saturating_sub(above)).max(last.saturating_sub(height)).min(open.at);
        // No room stays empty while rows above are hidden.
        open.top = open.top.min(rows.len().saturating_sub(height));
    }

    fn open_selected(&mut self) {
        let target = self.rows.get(self.top_page().at).and_then(|row| row.target.clone());
        if let Some(task) = target
            && self.opened.len() < MOST_PAGES
        {
            self.opened.push(OpenPage::new(ScreenPage::Task(task)));
        }
    }

    fn go_back(&mut self) {
        if !self.filter().is_empty() {
            self.change_filter(String::clear);
        } else {
            self.opened.pop();
        }
    }

    /// Opens the page, or closes it if it is visible.
    fn toggle(&mut self, page: ScreenPage) {
        if *self.page() == page {
            self.opened.pop();
        } else {
            self.opened.retain(|open| open.page != page);
            self.opened.push(OpenPage::new(page));
        }
    }

    fn top_page(&self) -> &OpenPage {
        self.opened.last().unwrap_or(&self.overview)
    }
}

impl OpenPage {
    fn new(page: ScreenPage) -> Self {
        Self { page, filter: String::new(), selected: None, at: 0, top: 0 }
    }
}

/// The place of the row that can be selected and is nearest to `at`.
fn nearest(rows: &[RowPlace], at: usize) -> usize {
    let below = (at..rows.len()).find(|at| rows[*at].key.is_some());
    below.or_else(|| (0..at.min(rows.len())).rev().find(|at| rows[*at].key.is_some())).unwrap_or(0)
}

#[cfg(test)]
mod tests;
