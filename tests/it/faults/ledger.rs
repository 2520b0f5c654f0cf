//! The ledger: the writes that the database must hold, and the contents that a screen claims to show.
//!
//! A write has a *mark*: its word, its writer and a number that grows. The mark stands in the written text, as in
//! `title 3 at 17`, so it can be found in the database and in every body.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use requery::protocol::Cursor;

use crate::app::sqlite3;

/// The column that a write sets, or the kind of row that it adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Word {
    /// The title of the writer's task. Each write replaces the one before.
    Title,
    /// The note of the bookmark of the writer's task. Each write replaces the one before.
    Note,
    /// An event on the writer's task.
    Event,
    /// A prompt that a hook reports.
    Prompt,
}

impl Word {
    const ALL: [Word; 4] = [Word::Title, Word::Note, Word::Event, Word::Prompt];

    pub fn text(self) -> &'static str {
        match self {
            Self::Title => "title",
            Self::Note => "note",
            Self::Event => "event",
            Self::Prompt => "prompt",
        }
    }

    fn replaces(self) -> bool {
        matches!(self, Self::Title | Self::Note)
    }
}

/// One write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    pub word: Word,
    pub writer: u8,
    pub number: u64,
}

impl Mark {
    pub fn text(self) -> String {
        format!("{} {} at {}", self.word.text(), self.writer, self.number)
    }

    pub fn read(text: &str) -> Option<Self> {
        let (word, rest) = text.split_once(' ')?;
        let (writer, number) = rest.split_once(" at ")?;
        let word = Word::ALL.into_iter().find(|known| known.text() == word)?;
        Some(Self { word, writer: writer.parse().ok()?, number: number.parse().ok()? })
    }
}

/// The marks in one database, or a part of them.
#[derive(Clone, Debug, Default)]
pub struct Contents(BTreeSet<Mark>);

impl Contents {
    /// The marks that `sqlite3` reads from a database.
    pub fn of(database: &Path) -> Self {
        let sql = "select title from tasks where source <> 'claude-code' union all select note from bookmarks \
            union all select title from events";
        Self(sqlite3(database, sql).lines().filter_map(Mark::read).collect())
    }

    /// The marks in a part of a database, such as the file without its log. None of it need be readable.
    pub fn of_a_part(database: &Path) -> Self {
        let mut readable = Command::new("sqlite3");
        readable.arg(database).arg("select count(*) from tasks, events, bookmarks");
        if readable.output().unwrap().status.success() { Self::of(database) } else { Self::default() }
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Whether the write is contained, or a later one that replaced it.
    fn contain(&self, mark: &Mark) -> bool {
        self.0.contains(mark)
            || mark.word.replaces() && self.0.range(*mark..).next().is_some_and(|found| of(found) == of(mark))
    }
}

/// The state of the ledger when a write began.
#[derive(Clone, Copy)]
pub struct Ticket {
    /// None: a fault was about to throw writes away.
    losses: Option<u32>,
    certifies: bool,
}

/// The number that a held body shows, beside the cursor of the body.
struct Claim {
    screen: &'static str,
    cursor: Cursor,
    /// The newest number that is shown, or 0.
    shown: Mark,
}

#[derive(Default)]
pub struct Ledger {
    required: BTreeSet<Mark>,
    /// Counts the faults that threw writes away. None while such a fault is in place.
    losses: Option<u32>,
    losses_until_now: u32,
    certifies: bool,
    /// Events that a restored copy does not have. They must not come back.
    undone: BTreeSet<Mark>,
    /// For each epoch and kind of mark: the cursors that contain a write, and the number of that write.
    certificates: BTreeMap<(String, Word, u8), Vec<(u64, u64)>>,
    claims: Vec<Claim>,
    pub acknowledged_by_api: u64,
    pub refused: u64,
    /// The writes that the API was asked for, whatever came of them.
    pub attempts: u64,
    /// Answers that no fault excuses.
    pub wrong: Vec<String>,
}

impl Ledger {
    pub fn new() -> Self {
        Self { losses: Some(0), certifies: true, ..Self::default() }
    }

    pub fn begin(&self) -> Ticket {
        Ticket { losses: self.losses, certifies: self.certifies }
    }

    /// A write was acknowledged, with a cursor that contains it if the writer knows one.
    pub fn acknowledge(&mut self, ticket: Ticket, mark: Mark, cursor: Option<Cursor>) {
        // A write beside the fault may be in the part that the fault threw away.
        if ticket.losses.is_none() || ticket.losses != self.losses {
            return;
        }
        self.required.insert(mark);
        // The answer of a server that is gone by now can still have the old epoch.
        if let (Some(cursor), true) = (cursor, self.certifies && ticket.certifies) {
            let key = (cursor.epoch().to_owned(), mark.word, mark.writer);
            self.certificates.entry(key).or_default().push((cursor.snapshot().xmax(), mark.number));
        }
    }

    /// A fault is about to throw writes away. Change ids can be given again, so cursors of writes count only after the
    /// server has a new epoch.
    pub fn begin_loss(&mut self) {
        self.losses = None;
        self.certify(false);
    }

    /// The fault has thrown away all writes but `left`. Writes that begin from now on must be kept.
    pub fn end_loss(&mut self, left: &Contents) {
        self.losses_until_now += 1;
        self.losses = Some(self.losses_until_now);
        self.required.retain(|mark| left.contain(mark));
        // A note that was thrown away need not come back, but the older note of the copy must stay.
        let newest = self.newest_of(left);
        self.required.extend(newest);
    }

    /// A restore has replaced the database by a copy with these contents. The earlier writes must not come back.
    pub fn end_restore(&mut self, left: &Contents) {
        let events = self.required.iter().filter(|mark| mark.word == Word::Event && !left.contain(mark));
        self.undone.extend(events.copied());
        self.end_loss(left);
    }

    fn newest_of(&self, left: &Contents) -> Vec<Mark> {
        left.0.iter().filter(|mark| mark.word.replaces()).copied().collect()
    }

    /// Whether the cursors of writes are recorded. Not while change ids are given again and the server cannot know it
    /// yet: until it looks at the file, its cursors have the old epoch.
    pub fn certify(&mut self, certifies: bool) {
        self.certifies = certifies;
        if !certifies {
            let wrong = self.false_claims();
            self.wrong.extend(wrong);
            self.certificates.clear();
        }
    }

    /// A screen holds a body with this cursor that shows these marks, out of the marks of `words` and `writers`.
    pub fn claim(&mut self, screen: &'static str, cursor: &Cursor, word: Word, writer: u8, marks: &BTreeSet<Mark>) {
        let shown = marks.iter().filter(|mark| mark.word == word && mark.writer == writer).max();
        let shown = shown.copied().unwrap_or(Mark { word, writer, number: 0 });
        self.claims.push(Claim { screen, cursor: cursor.clone(), shown });
    }

    /// The acknowledged writes that the database lacks.
    pub fn missing(&self, stored: &Contents) -> Vec<Mark> {
        self.required.iter().filter(|mark| !stored.contain(mark)).copied().collect()
    }

    /// The writes that a restore removed and that came back.
    pub fn back_again(&self, stored: &Contents) -> Vec<Mark> {
        self.undone.intersection(&stored.0).copied().collect()
    }

    /// Checks and forgets all claims. Each body must show every write that its cursor contains.
    pub fn false_claims(&mut self) -> Vec<String> {
        let mut newest: BTreeMap<_, Vec<(u64, u64)>> = self.certificates.clone();
        for numbers in newest.values_mut() {
            numbers.sort_unstable();
            let mut most = 0;
            for (_, number) in numbers {
                most = most.max(*number);
                *number = most;
            }
        }
        let mut wrong = BTreeSet::new();
        for Claim { screen, cursor, shown } in self.claims.drain(..) {
            let Some(numbers) = newest.get(&(cursor.epoch().to_owned(), shown.word, shown.writer)) else { continue };
            let covered = numbers.partition_point(|(next, _)| *next <= cursor.snapshot().xmax());
            let Some((next, number)) = covered.checked_sub(1).map(|last| numbers[last]) else { continue };
            if shown.number < number {
                wrong.insert(format!(
                    "{screen} shows {:?} at {cursor}, but number {number} has a cursor that ends at {next}",
                    shown.text()
                ));
            }
        }
        wrong.into_iter().collect()
    }
}

fn of(mark: &Mark) -> (Word, u8) {
    (mark.word, mark.writer)
}
