use super::{Base, Dependency, NotedChanges};
use crate::protocol::{Cursor, Notice, NoticeKind, ReadModel, TaskId};
use crate::server::access::scope::Scope;
use crate::server::database::{ChangePlace, ListedRows, Position, ReadKey};

const EPOCH: &str = "run";

fn cursor(next: u64) -> Cursor {
    Cursor::counter(EPOCH, next)
}

fn task(number: u64) -> TaskId {
    format!("00000000-0000-7000-8000-{number:012}").parse().expect("an id")
}

fn scope(project: Option<&str>) -> Scope {
    project.map(str::to_owned).into()
}

fn overview(project: Option<&str>) -> Dependency {
    Dependency::of(&ReadModel::Overview, &scope(project))
}

fn of_task(number: u64) -> Dependency {
    Dependency::of(&ReadModel::Task(task(number)), &Scope::All)
}

/// The place of a change of which only the position is known.
fn place(next: u64) -> ChangePlace {
    ChangePlace { position: Position::of(&cursor(next)), transaction: None }
}

/// The sample of this kind, about this row of a list. A kind that names no such row is the sample.
fn of_row(kind: NoticeKind, rows: ListedRows, row: u64) -> Notice {
    let sample = kind.sample();
    let fields = sample.fields();
    let id = match rows {
        ListedRows::Tasks => fields.task_id.map(ToString::to_string),
        ListedRows::Bookmarks => fields.bookmark_id.map(ToString::to_string),
        ListedRows::Events => fields.event_id.map(ToString::to_string),
    };
    let Some(id) = id else { return sample };
    let text = serde_json::to_string(&sample).expect("JSON").replace(&id, task(row).as_str());
    serde_json::from_str(&text).expect("a notice")
}

#[test]
fn a_list_is_needed_whole_where_a_change_names_no_row_or_too_many_rows_changed() {
    use NoticeKind as Kind;
    let sample_task = Kind::EventLogged.sample().task_id().cloned().expect("a task");
    let keys = [
        (ListedRows::Tasks, ReadModel::Overview),
        (ListedRows::Bookmarks, ReadModel::Bookmarks),
        (ListedRows::Events, ReadModel::Task(sample_task)),
    ];
    for (rows, read_model) in keys {
        let key = ReadKey::new("list", read_model).listing(rows, 6);
        for kind in NoticeKind::ALL.iter().copied() {
            let names_row = match rows {
                ListedRows::Tasks => {
                    matches!(kind.as_str(), name if name.starts_with("task.") || name == "event.logged")
                }
                ListedRows::Bookmarks => kind.as_str().starts_with("bookmark."),
                ListedRows::Events => kind.as_str().starts_with("event."),
            };
            let names_not_all = match rows {
                ListedRows::Tasks => kind == Kind::TasksPurged,
                ListedRows::Bookmarks => matches!(kind, Kind::TasksPurged | Kind::TaskDeleted),
                ListedRows::Events => matches!(kind, Kind::TaskStarted | Kind::TaskDeleted),
            };
            // Three of six rows are sent, the fourth one makes the list whole. The same row counts once.
            for (rows_changed, is_too_much) in
                [(vec![1], false), (vec![1, 2, 3, 3, 2], false), (vec![1, 2, 3, 4], true)]
            {
                let mut noted = NotedChanges::from(cursor(5));
                for (number, row) in rows_changed.into_iter().enumerate() {
                    noted.note(&of_row(kind, rows, row), &place(6 + number as u64));
                }
                let expected = names_not_all || names_row && is_too_much;
                let case = format!("{rows:?} {kind:?} {is_too_much}");
                let needs = |project: Option<&str>, at| noted.need_whole(&key, &scope(project), &at);
                assert_eq!(needs(None, cursor(5)), expected, "{case}");
                assert_eq!(needs(Some(kind.sample().project()), cursor(5)), expected, "{case}");
                let is_elsewhere = rows == ListedRows::Events;
                assert_eq!(needs(Some("another"), cursor(5)), expected && is_elsewhere, "{case}");
                assert!(!needs(None, cursor(20)), "the caller holds all of them: {case}");
                assert!(!needs(None, Cursor::counter("another", 5)), "{case}");
            }
        }
    }
    let mut noted = NotedChanges::from(cursor(5));
    noted.note(&Kind::TasksPurged.sample(), &place(6));
    let unlisted = ReadKey::new("list", ReadModel::Bookmarks);
    assert!(!noted.need_whole(&unlisted, &Scope::All, &cursor(5)), "a key without a list");
}

/// Changes of many tasks, one change of the log each.
fn logged(noted: &mut NotedChanges, tasks: impl Iterator<Item = u64>) {
    let text = serde_json::to_string(&NoticeKind::EventUpdated.sample()).expect("JSON");
    let sample_id = NoticeKind::EventUpdated.sample().task_id().expect("a task").to_string();
    for number in tasks {
        let notice = serde_json::from_str(&text.replace(&sample_id, &task(number).to_string())).expect("a notice");
        noted.note(&notice, &place(number));
    }
}

#[test]
fn a_notice_makes_an_answer_stale_for_all_projects_and_for_its_own() {
    for kind in NoticeKind::ALL {
        let mut noted = NotedChanges::from(cursor(5));
        let notice = kind.sample();
        noted.note(&notice, &place(9));
        assert!(noted.complete(&cursor(9)));
        let models: Vec<_> = crate::engine::invalidation::stale(&notice).collect();
        for model in [ReadModel::Overview, ReadModel::Bookmarks, ReadModel::Agents] {
            let is_stale = models.iter().any(|stale| stale.includes(&model));
            for (project, concerns) in [(None, true), (Some(notice.project()), true), (Some("another"), false)] {
                let dependency = Dependency::of(&model, &scope(project));
                let current = noted.is_current(dependency, &cursor(8));
                assert_eq!(current, !(is_stale && concerns), "{kind:?} {model} {project:?}");
                assert!(noted.is_current(dependency, &cursor(9)), "{kind:?} {model} {project:?}");
            }
        }
        let own = notice.task_id().cloned().unwrap_or_else(|| task(1));
        let dependency = Dependency::of(&ReadModel::Task(own.clone()), &scope(Some("another")));
        let is_stale = models.iter().any(|stale| stale.includes(&ReadModel::Task(own.clone())));
        assert_eq!(noted.is_current(dependency, &cursor(8)), !is_stale, "{kind:?}");
    }
}

#[test]
fn an_answer_from_before_the_first_note_or_of_another_run_is_stale() {
    let noted = NotedChanges::from(cursor(5));
    assert!(!noted.is_current(overview(None), &cursor(4)));
    assert!(noted.is_current(overview(None), &cursor(5)));
    assert!(!noted.is_current(overview(None), &Cursor::counter("another", 9)));
    let mut noted = noted;
    assert!(!noted.complete(&Cursor::counter("another", 9)));
    assert_eq!(noted.reached(), &cursor(5));
}

#[test]
fn every_task_is_one_change_of_all_tasks() {
    let mut noted = NotedChanges::from(cursor(1));
    noted.note(&NoticeKind::TasksPurged.sample(), &place(7));
    assert!(!noted.is_current(of_task(3), &cursor(6)));
    assert!(noted.is_current(of_task(3), &cursor(7)));
}

/// A read model that was dropped from the table may have changed at any time up to the floor.
#[test]
fn a_full_table_forgets_the_oldest_changes_and_takes_their_answers_for_stale() {
    let mut noted = NotedChanges::with_table(cursor(1), 4);
    logged(&mut noted, 2..10);
    // Both halves are full, and no change is dropped yet.
    assert!((2..10).all(|number| noted.is_current(of_task(number), &cursor(number))));
    assert!((2..10).all(|number| !noted.is_current(of_task(number), &cursor(number - 1))));
    assert!(noted.is_current(of_task(99), &cursor(1)));
    logged(&mut noted, 10..11);
    // The changes of the tasks 2 to 5 are dropped.
    assert!(!noted.is_current(of_task(99), &cursor(4)));
    assert!(noted.is_current(of_task(99), &cursor(5)));
    assert!(!noted.is_current(of_task(2), &cursor(4)));
    assert!(!noted.is_current(of_task(5), &cursor(4)));
    for number in 6..11 {
        assert!(noted.is_current(of_task(number), &cursor(number)), "{number}");
        assert!(!noted.is_current(of_task(number), &cursor(number - 1)), "{number}");
    }
}

#[test]
fn the_table_stays_within_its_bound() {
    let mut noted = NotedChanges::with_table(cursor(1), 8);
    logged(&mut noted, 2..1_000);
    assert!(noted.newer.len() <= 8 && noted.older.len() <= 8);
}

/// The callers that hold the answer of one state get the same changes, however far the log has moved on meanwhile.
#[test]
fn the_cursors_between_two_changes_of_a_read_model_have_one_base() {
    let current = |next| Base { cursor: cursor(next), is_current: true };
    let before = |cursor| Base { cursor, is_current: false };
    let mut noted = NotedChanges::from(cursor(1));
    logged(&mut noted, [5].into_iter());
    assert!(noted.complete(&cursor(6)));
    logged(&mut noted, (7..40).filter(|number| *number != 5));
    assert!(noted.complete(&cursor(40)));
    // The answer of task 5 has not changed since: there is nothing to read.
    for held in [5, 6, 20, 40] {
        assert_eq!(noted.base(of_task(5), &cursor(held)), current(40), "{held}");
    }
    // Three changes of one pass count as one.
    for position in [41, 43, 44] {
        let text = serde_json::to_string(&NoticeKind::EventUpdated.sample()).expect("JSON");
        let sample_id = NoticeKind::EventUpdated.sample().task_id().expect("a task").to_string();
        let notice = serde_json::from_str(&text.replace(&sample_id, &task(5).to_string())).expect("a notice");
        noted.note(&notice, &place(position));
    }
    assert!(noted.complete(&cursor(44)));
    for held in [5, 6, 20, 40, 42, 43] {
        assert_eq!(noted.base(of_task(5), &cursor(held)), before(cursor(40)), "{held}");
    }
    // Before the last change but one nothing better is known, and nothing about another run.
    assert_eq!(noted.base(of_task(5), &cursor(4)), before(cursor(4)));
    let another = Cursor::counter("another", 20);
    assert_eq!(noted.base(of_task(5), &another), before(another));
    // A change of every task is a change of this one.
    noted.note(&NoticeKind::TasksPurged.sample(), &place(50));
    assert!(noted.complete(&cursor(50)));
    assert_eq!(noted.base(of_task(5), &cursor(45)), before(cursor(45)));
}

/// On Postgres all the changes of a transaction have one position, which contains each of them.
#[test]
fn the_base_of_a_change_is_before_its_whole_transaction() {
    let mut noted = NotedChanges::from(cursor(10));
    for transaction in [12, 15] {
        let place = place(transaction);
        for row in 1..=3 {
            noted.note(&of_row(NoticeKind::TaskUpdated, ListedRows::Tasks, row), &place);
        }
    }
    noted.complete(&cursor(15));
    for row in 1..=3 {
        let base = noted.base(of_task(row), &cursor(13));
        assert!(!base.is_current && !Position::of(&base.cursor).covers(&Position::of(&cursor(15))), "{row}: {base:?}");
    }
}

/// The position of a change contains every transaction that had ended when the tail looked. An answer that was read a
/// moment before lacks some of them, and none of its own changes.
#[test]
fn an_answer_with_a_change_is_current_whatever_other_transactions_ended() {
    let at = |snapshot: &str| Cursor::new(EPOCH, snapshot.parse().expect("a snapshot"));
    let mut noted = NotedChanges::with_table(at("10:10:"), 3);
    let note = |noted: &mut NotedChanges, row, transaction| {
        let position = Position::of(&at("10:10:")).up_to(&Position::of(&at("20:20:")), transaction);
        let place = ChangePlace { position, transaction: Some(transaction) };
        noted.note(&of_row(NoticeKind::EventUpdated, ListedRows::Tasks, row), &place);
    };
    note(&mut noted, 1, 12);
    note(&mut noted, 2, 14);
    note(&mut noted, 1, 16);
    for (snapshot, expected) in [
        ("11:17:11,13", true),
        ("10:17:10,14", true),
        ("11:17:11,16", false),
        ("12:17:12", false),
        ("10:16:", false),
        // It lacks what was noted before.
        ("9:17:9", false),
    ] {
        assert_eq!(noted.is_current(of_task(1), &at(snapshot)), expected, "{snapshot}");
    }
    assert!(noted.complete(&at("20:20:")));
    assert!(noted.is_current(of_task(1), &at("11:17:11,13")));
    // A change that was dropped from the table in the middle of a pass can be one of the same read model.
    let mut noted = NotedChanges::with_table(at("10:10:"), 1);
    for (row, transaction) in [(1, 12), (2, 13), (3, 14), (1, 16)] {
        note(&mut noted, row, transaction);
    }
    assert!(!noted.is_current(of_task(1), &at("12:17:12")));
}
