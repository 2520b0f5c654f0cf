//! The picture: the content of a page becomes the cells of a terminal of any size.
//!
//! A state has a word or a sign besides its colour, so the picture can be read without colours.

use console::{Alignment, measure_text_width, pad_str, truncate_str};
use ratatui::Frame;
use ratatui::layout::Size;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use requery::client::HeldState;

use super::connection_words::ConnectionTone;
use super::content::{HeadLine, ScreenContent};
use super::rows::{RowCell, RowEntry, RowSign, ScreenRow};
use super::shown::ShownMoment;
use super::state::{ScreenPage, ScreenState};
use super::words;
use crate::cli::terminal_text::escape_control_characters;

/// The fewest rows below the lines above them, on a terminal that has room for so many.
const FEWEST_ROWS: usize = 3;
/// The terminals from this height on have an empty line above the rows.
const SPACIOUS: usize = 16;
/// The widest title of a row: a longer line is hard to follow to its cells.
const WIDEST_TITLE: usize = 100;
/// The cursor, the sign and the spaces around them.
const BEFORE_TITLE: usize = 4;

/// The colours of the picture.
#[derive(Clone, Copy, Debug)]
pub(super) struct Palette {
    /// `false`: the picture has bold, dim and reversed text, and no colours.
    pub(super) has_colors: bool,
}

impl Palette {
    fn color(self, color: Color) -> Style {
        if self.has_colors { Style::new().fg(color) } else { Style::new() }
    }

    fn state(self, state: HeldState) -> Style {
        match state {
            HeldState::Fresh => self.color(Color::Green),
            HeldState::Stale => self.color(Color::Yellow),
            HeldState::Unconfirmed => self.color(Color::Magenta),
            HeldState::Gone => self.color(Color::Red),
            HeldState::Loading => Style::new(),
        }
    }

    fn tone(self, tone: ConnectionTone) -> Style {
        match tone {
            ConnectionTone::Good => self.color(Color::Green),
            ConnectionTone::Late => self.color(Color::Yellow).add_modifier(Modifier::BOLD),
            ConnectionTone::Bad => self.color(Color::Red).add_modifier(Modifier::BOLD),
        }
    }

    fn sign(self, sign: RowSign) -> Style {
        match sign {
            RowSign::Asks | RowSign::Asked => self.color(Color::Red).add_modifier(Modifier::BOLD),
            RowSign::Waiting => self.color(Color::Yellow).add_modifier(Modifier::BOLD),
            RowSign::Silent => self.color(Color::Magenta).add_modifier(Modifier::BOLD),
            RowSign::Running => self.color(Color::Cyan),
            RowSign::Completed => self.color(Color::Green),
            RowSign::Errored => self.color(Color::Red),
            RowSign::Plain => Style::new(),
        }
    }
}

const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
const DIM: Style = Style::new().add_modifier(Modifier::DIM);

/// The picture of one moment, without the selection.
pub(super) struct Picture {
    palette: Palette,
    columns: usize,
    top: Vec<Line<'static>>,
    /// The number of rows that fit between the top and the last line.
    height: usize,
    rows: Vec<ScreenRow>,
}

impl Picture {
    pub(super) fn new(content: ScreenContent, moment: &ShownMoment, size: Size, palette: Palette) -> Self {
        let (columns, lines) = (usize::from(size.width), usize::from(size.height));
        let mut top = vec![title(moment, columns, palette)];
        if let Some(detail) = &moment.connection.detail {
            let style = palette.tone(moment.connection.tone);
            top.extend(wrapped(detail, columns).into_iter().map(|line| Line::styled(line, style)));
        }
        if !moment.is_project_known {
            let style = palette.color(Color::Yellow);
            let line = words::unknown_project(moment.project.as_deref());
            top.extend(wrapped(&line, columns).into_iter().map(|line| Line::styled(line, style)));
        }
        let room = lines.saturating_sub(1 + FEWEST_ROWS + top.len()).max(1);
        top.extend(content.head.into_iter().take(room).map(|line| head_line(line, columns, palette)));
        if lines >= SPACIOUS {
            top.push(Line::default());
        }
        let height = lines.saturating_sub(1 + top.len());
        Self { palette, columns, top, height, rows: content.rows }
    }

    /// All rows of the page.
    pub(super) fn rows(&self) -> &[ScreenRow] {
        &self.rows
    }

    /// The number of rows that fit.
    pub(super) fn height(&self) -> usize {
        self.height
    }

    /// Draws the picture with the selection of `state`, which has to know the rows and the height.
    pub(super) fn draw(&self, state: &ScreenState, frame: &mut Frame<'_>) {
        let (at, from) = state.places();
        let top = self.top.iter().cloned();
        let rows = self.rows.iter().enumerate().skip(from).take(self.height);
        let rows = rows.map(|(place, row)| self.row(row, place == at));
        let area = frame.area();
        // The last line belongs to the keys, also on a terminal that has no room for the rest.
        let above = usize::from(area.height.saturating_sub(1));
        for (y, line) in (area.y..).zip(top.chain(rows).take(above)) {
            frame.buffer_mut().set_line(area.x, y, &line, area.width);
        }
        if area.height > 0 {
            let last = area.y + area.height - 1;
            frame.buffer_mut().set_line(area.x, last, &bottom(state, self.columns), area.width);
        }
    }

    fn row(&self, row: &ScreenRow, is_selected: bool) -> Line<'static> {
        match row {
            ScreenRow::Heading(text) => Line::styled(cut(text, self.columns), BOLD),
            ScreenRow::Note(text) => Line::styled(cut(&format!("  {text}"), self.columns), DIM),
            ScreenRow::Entry(entry) => self.entry(entry, is_selected),
        }
    }

    fn entry(&self, entry: &RowEntry, is_selected: bool) -> Line<'static> {
        let cells: Vec<_> = entry.cells.iter().filter(|cell| cell.from <= self.columns).collect();
        let taken: usize = cells.iter().map(|cell| cell.width + 1).sum();
        let width = self.columns.saturating_sub(taken + BEFORE_TITLE).min(WIDEST_TITLE);
        let cell = |cell: &&RowCell| format!(" {}", fit(&cell.text, cell.width));
        // The first cell has the state in words, so it has the colour of the sign.
        let first = cells.first().map(cell).unwrap_or_default();
        let rest: String = cells.iter().skip(1).map(cell).collect();
        let sign = self.palette.sign(entry.sign);
        let line = Line::from(vec![
            Span::styled(if is_selected { "> " } else { "  " }, BOLD),
            Span::styled(format!("{} ", entry.sign.character()), sign),
            Span::raw(fit(&entry.title, width)),
            Span::styled(first, if entry.sign == RowSign::Plain { Style::new() } else { sign }),
            Span::raw(rest),
        ]);
        if is_selected { line.style(Style::new().add_modifier(Modifier::REVERSED)) } else { line }
    }
}

/// The address on the left, and on the right the tasks that need a person and the state of the connection.
fn title(moment: &ShownMoment, columns: usize, palette: Palette) -> Line<'static> {
    let connection = format!("[{}]", moment.connection.state);
    let needy = moment.overview.value.as_deref().map_or(0, |body| body.overview.needs_you.len());
    let needy = match needy {
        0 => String::new(),
        1 => "! 1 needs you  ".to_owned(),
        count => format!("! {count} need you  "),
    };
    let project = moment.project.as_deref().map(|project| format!(" project {project}")).unwrap_or_default();
    let rest = escape_control_characters(&format!(" {}{project}", moment.server));
    let has_room = measure_text_width(&needy) + connection.len() < columns;
    let needy = if has_room { needy } else { String::new() };
    let right = measure_text_width(&needy) + connection.len();
    let width = columns.saturating_sub(right + 1);
    let name = cut("requery", width);
    let rest = fit(&rest, width.saturating_sub(name.len()));
    Line::from(vec![
        Span::styled(name, BOLD),
        Span::raw(rest),
        Span::raw(" "),
        Span::styled(needy, palette.color(Color::Red).add_modifier(Modifier::BOLD)),
        Span::styled(connection, palette.tone(moment.connection.tone)),
    ])
}

fn head_line(line: HeadLine, columns: usize, palette: Palette) -> Line<'static> {
    match line {
        HeadLine::Text(text) => Line::raw(cut(&text, columns)),
        HeadLine::View { name, state, rest } => {
            let word = state.as_str();
            let name = cut(&name, columns.saturating_sub(word.len() + 1));
            let room = columns.saturating_sub(measure_text_width(&name) + 1 + word.len());
            Line::from(vec![
                Span::styled(name, BOLD),
                Span::raw(" "),
                Span::styled(word, palette.state(state)),
                Span::raw(cut(&rest, room)),
            ])
        }
    }
}

/// The filter while it is typed, else the keys that fit.
fn bottom(state: &ScreenState, columns: usize) -> Line<'static> {
    let filter = escape_control_characters(state.filter());
    if state.is_filtering() {
        // The end of the text stays visible, because the person types there.
        let width = columns.saturating_sub(3);
        let mut tail = filter.as_str();
        while measure_text_width(tail) > width {
            tail = tail.char_indices().nth(1).map_or("", |(next, _)| &tail[next..]);
        }
        let cursor = Span::styled(" ", Style::new().add_modifier(Modifier::REVERSED));
        return Line::from(vec![Span::styled("/ ", BOLD), Span::raw(tail.to_owned()), cursor]);
    }
    let mut hints = vec!["q quit", "? help"];
    let filtered = format!("filter: {filter}");
    match state.page() {
        _ if !filter.is_empty() => hints.extend(["esc clear", &filtered]),
        ScreenPage::Overview => hints.extend(["enter open", "/ filter", "b bookmarks", "r refresh"]),
        ScreenPage::Bookmarks => hints.extend(["esc back", "enter open", "/ filter", "r refresh"]),
        ScreenPage::Task(_) => hints.extend(["esc back", "/ filter", "b bookmarks", "r refresh"]),
        ScreenPage::Help => hints.push("esc back"),
    }
    let (selected, entries) = state.position();
    let position = if entries == 0 { String::new() } else { format!("{selected}/{entries}") };
    let mut text = String::new();
    for hint in hints {
        let gap = if text.is_empty() { "" } else { "  " };
        if measure_text_width(&text) + gap.len() + measure_text_width(hint) > columns && !text.is_empty() {
            break;
        }
        text += gap;
        text += hint;
    }
    let taken = measure_text_width(&text) + 2 + position.len();
    if taken <= columns {
        text += &" ".repeat(columns - taken + 2);
        text += &position;
    }
    Line::styled(cut(&text, columns), DIM)
}

/// The text in at most two lines.
fn wrapped(text: &str, columns: usize) -> Vec<String> {
    if measure_text_width(text) <= columns {
        return vec![text.to_owned()];
    }
    let mut first = String::new();
    for word in text.split_inclusive(' ') {
        if measure_text_width(&first) + measure_text_width(word.trim_end()) > columns {
            break;
        }
        first += word;
    }
    match text.strip_prefix(&first) {
        Some(rest) if !first.is_empty() => vec![first.trim_end().to_owned(), cut(rest, columns)],
        Some(_) | None => vec![cut(text, columns)],
    }
}

/// The text in at most `width` cells.
fn cut(text: &str, width: usize) -> String {
    truncate_str(text, width, if width == 0 { "" } else { "…" }).into_owned()
}

/// The text in exactly `width` cells.
fn fit(text: &str, width: usize) -> String {
    pad_str(&cut(text, width), width, Alignment::Left, None).into_owned()
}

#[cfg(test)]
mod tests;
