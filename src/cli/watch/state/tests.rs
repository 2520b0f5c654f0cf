//! Each test presses keys and prints the selected row, the first visible row and the page.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use requery::protocol::TaskId;

use super::{KeyEffect, ScreenPage, ScreenState};
use crate::cli::watch::rows::{RowEntry, RowSign, ScreenRow};

fn id(number: usize) -> TaskId {
    format!("00000000-0000-7000-8000-{number:012}").parse().expect("an id")
}

/// Entries for the numbers; 0 is a heading.
fn rows(numbers: &[usize]) -> Vec<ScreenRow> {
    let row = |number: &usize| match number {
        0 => ScreenRow::Heading("heading".into()),
        number => ScreenRow::Entry(RowEntry {
            key: number.to_string(),
            target: Some(id(*number)),
            sign: RowSign::Plain,
            title: String::new(),
            cells: Vec::new(),
            detail: None,
        }),
    };
    numbers.iter().map(row).collect()
}

fn press(state: &mut ScreenState, code: KeyCode) -> KeyEffect {
    state.handle_key(KeyEvent::new(code, KeyModifiers::NONE))
}

fn control(state: &mut ScreenState, c: char) -> KeyEffect {
    state.handle_key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL))
}

fn typed(state: &mut ScreenState, text: &str) {
    for c in text.chars() {
        press(state, KeyCode::Char(c));
    }
}

fn overview(numbers: &[usize], height: usize) -> ScreenState {
    let mut state = ScreenState::new(std::iter::empty());
    state.settle(&rows(numbers), height);
    state
}

#[test]
fn arrows_select_entries_and_skip_headings() {
    let mut state = overview(&[0, 1, 0, 2, 3], 10);
    assert_eq!((state.places(), state.position()), ((1, 0), (1, 3)));
    let mut seen = Vec::new();
    for code in [KeyCode::Down, KeyCode::Char('j'), KeyCode::Down, KeyCode::Up, KeyCode::Char('k'), KeyCode::Up] {
        press(&mut state, code);
        seen.push(state.places().0);
    }
    assert_eq!(seen, [3, 4, 4, 3, 1, 1]);
    press(&mut state, KeyCode::End);
    assert_eq!((state.places().0, state.position()), (4, (3, 3)));
    press(&mut state, KeyCode::Home);
    assert_eq!(state.places().0, 1);
}

#[test]
fn the_selected_row_is_always_visible_and_the_first_heading_too() {
    let mut state = overview(&[0, 1, 2, 3, 4, 5, 6, 7], 3);
    let mut seen = Vec::new();
    for code in [KeyCode::Down, KeyCode::Down, KeyCode::PageDown, KeyCode::PageDown, KeyCode::PageUp, KeyCode::Up] {
        press(&mut state, code);
        seen.push(state.places());
    }
    assert_eq!(seen, [(2, 0), (3, 1), (5, 3), (7, 5), (5, 5), (4, 4)]);
    for _ in 0..9 {
        press(&mut state, KeyCode::Up);
    }
    assert_eq!(state.places(), (1, 0));
    state.settle(&rows(&[0, 1, 2]), 10);
    assert_eq!(state.places(), (1, 0));
}

/// The selection follows the row. Without a move by the person it stays on the first row.
#[test]
fn the_selection_follows_its_row() {
    let mut state = overview(&[0, 1, 2, 3], 10);
    state.settle(&rows(&[0, 9, 1, 2, 3]), 10);
    assert_eq!(state.places().0, 1, "no move: the first row");
    press(&mut state, KeyCode::Down);
    state.settle(&rows(&[0, 8, 9, 2, 3, 1]), 10);
    assert_eq!(state.places().0, 5, "row 1");
    state.settle(&rows(&[0, 8, 9, 2]), 10);
    assert_eq!(state.places().0, 3, "row 1 is gone: the nearest row");
    state.settle(&rows(&[0, 2, 8, 9]), 10);
    assert_eq!(state.places().0, 1, "row 2 is selected now");
    state.settle(&rows(&[0]), 10);
    press(&mut state, KeyCode::Down);
    press(&mut state, KeyCode::Enter);
    assert_eq!(state.page(), &ScreenPage::Overview, "no row, no task");
}

#[test]
fn enter_opens_the_task_and_escape_goes_back_to_the_same_row() {
    let mut state = overview(&[0, 1, 2, 3], 10);
    press(&mut state, KeyCode::Down);
    press(&mut state, KeyCode::Enter);
    assert_eq!(state.page(), &ScreenPage::Task(id(2)));
    state.settle(&rows(&[7, 8]), 10);
    press(&mut state, KeyCode::Down);
    press(&mut state, KeyCode::Esc);
    state.settle(&rows(&[0, 1, 2, 3]), 10);
    assert_eq!((state.page(), state.places().0), (&ScreenPage::Overview, 2));
    press(&mut state, KeyCode::Esc);
    assert_eq!(state.page(), &ScreenPage::Overview);
}

#[test]
fn the_arguments_name_the_first_page_and_the_pages_below() {
    let mut state = ScreenState::new([ScreenPage::Task(id(1)), ScreenPage::Bookmarks].into_iter());
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(state.page().clone());
        press(&mut state, KeyCode::Esc);
    }
    let overview = ScreenPage::Overview;
    assert_eq!(seen, [ScreenPage::Task(id(1)), ScreenPage::Bookmarks, overview.clone(), overview]);
}

#[test]
fn bookmarks_and_help_open_and_close_with_their_key() {
    let mut state = overview(&[1], 10);
    let mut seen = Vec::new();
    for c in ['b', '?', 'b', 'b', '?', '?'] {
        press(&mut state, KeyCode::Char(c));
        seen.push(state.page().clone());
    }
    let (bookmarks, help, overview) = (ScreenPage::Bookmarks, ScreenPage::Help, ScreenPage::Overview);
    assert_eq!(seen, [bookmarks.clone(), help.clone(), bookmarks, help.clone(), overview, help]);
}

#[test]
fn a_filter_takes_every_key_until_enter() {
    let mut state = overview(&[0, 1, 2], 10);
    press(&mut state, KeyCode::Down);
    press(&mut state, KeyCode::Char('/'));
    typed(&mut state, "qb?x");
    press(&mut state, KeyCode::Backspace);
    assert_eq!((state.filter(), state.is_filtering(), state.page()), ("qb?", true, &ScreenPage::Overview));
    state.settle(&rows(&[0, 1, 2]), 10);
    assert_eq!(state.places().0, 1, "another filter selects its first row");
    state.settle(&rows(&[0, 2]), 10);
    state.handle_paste("\u{1b}a\nb");
    assert_eq!(state.filter(), "qb?ab");
    press(&mut state, KeyCode::Enter);
    assert_eq!((state.filter(), state.is_filtering()), ("qb?ab", false));
    state.handle_paste("q");
    press(&mut state, KeyCode::Enter);
    assert_eq!(state.page(), &ScreenPage::Task(id(2)));
    assert_eq!(state.filter(), "", "each page has its filter");
    press(&mut state, KeyCode::Esc);
    press(&mut state, KeyCode::Esc);
    assert_eq!(state.filter(), "", "escape clears the filter first");
}

/// A terminal sends Escape and a quick `/` as Alt and `/`.
#[test]
fn a_key_right_after_escape_is_not_lost() {
    let mut state = overview(&[1], 10);
    press(&mut state, KeyCode::Char('?'));
    state.handle_key(KeyEvent::new(KeyCode::Char('/'), KeyModifiers::ALT));
    assert_eq!((state.page(), state.is_filtering()), (&ScreenPage::Overview, true));
    let quit = state.handle_key(KeyEvent::new(KeyCode::Char('q'), KeyModifiers::ALT));
    assert_eq!((quit, state.is_filtering()), (KeyEffect::Quit, false));
}

#[test]
fn a_filter_is_edited_by_word_and_bounded() {
    let mut state = overview(&[1], 10);
    press(&mut state, KeyCode::Char('/'));
    typed(&mut state, "one two");
    control(&mut state, 'w');
    assert_eq!(state.filter(), "one ");
    control(&mut state, 'u');
    assert_eq!(state.filter(), "");
    typed(&mut state, &"日".repeat(300));
    assert_eq!(state.filter().chars().count(), 200);
    press(&mut state, KeyCode::Esc);
    assert_eq!((state.filter(), state.is_filtering()), ("", false));
}

#[test]
fn the_program_ends_by_q_and_by_control_c_also_while_a_filter_is_typed() {
    let mut state = overview(&[1], 10);
    assert_eq!(press(&mut state, KeyCode::Char('q')), KeyEffect::Quit);
    assert_eq!(press(&mut state, KeyCode::Char('r')), KeyEffect::Refresh);
    assert_eq!(control(&mut state, 'z'), KeyEffect::Suspend);
    press(&mut state, KeyCode::Char('/'));
    assert_eq!(press(&mut state, KeyCode::Char('q')), KeyEffect::Redraw);
    assert_eq!(control(&mut state, 'c'), KeyEffect::Quit);
}

#[test]
fn the_pages_on_top_of_each_other_are_bounded() {
    let mut state = overview(&[1], 10);
    for number in 1..100 {
        state.settle(&rows(&[number]), 10);
        press(&mut state, KeyCode::Enter);
    }
    assert_eq!(state.opened.len(), super::MOST_PAGES);
}
