//! How many seconds the status of a task disagrees with the word of the client itself, over a recording of the real
//! client. The replay has the clock of the recording and does not wait.
//!
//! A word of the client holds until the next word about its session. The last word of a run holds until the run ends or
//! the next run begins: a killed client says no more. While a dialog is open the client waits for a choice that no hook
//! reports, so these seconds do not count.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::process::Stdio;

use requery::agent::process::Process;
use requery::agent::runtime::AgentRuntime;
use requery::agent::session_file::speaking_sessions;
use requery::server::agents::{self, OutsideSigns};
use requery_entities::{StoredText, task};
use sea_orm::EntityTrait;
use serde_json::{Value, json};

use super::{START, Store};

const RECORDING: &str = "claude-code-2.1.332-interactive.jsonl";
const WORDS: &str = "claude-code-2.1.332-interactive.truth.jsonl";

/// The longest disagreement that needs no reason: the client writes its word up to three seconds before or after the
/// hook of the same moment.
const SHORT: i64 = 3_000;

/// What a status and a word of the client have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The agent works.
    Busy,
    /// The agent needs the answer of a person.
    Asking,
    /// The agent has no turn.
    Idle,
}

impl Standing {
    /// The standing that a word of the client says. None: the word is not compared.
    fn of_word(word: &Value) -> Option<Self> {
        match (word["status"].as_str(), word["waiting_for"].as_str()) {
            (Some("busy"), _) => Some(Self::Busy),
            (Some("waiting"), Some("dialog open")) => None,
            (Some("waiting"), _) => Some(Self::Asking),
            (Some("idle" | "shell"), _) => Some(Self::Idle),
            (status, _) => panic!("the status {status:?} of the client is unknown"),
        }
    }

    fn of_task(status: &str, reason: Option<&str>) -> Self {
        match (status, reason) {
            ("running", _) => Self::Busy,
            ("waiting", Some("permission" | "question")) => Self::Asking,
            ("waiting" | "completed" | "errored", _) => Self::Idle,
            (status, _) => panic!("the status {status} is unknown"),
        }
    }
}

/// A time in which the status says another standing than the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disagreement {
    /// The first letters of the id of the session.
    pub session: String,
    /// The beginning, in milliseconds of the recording.
    pub from: i64,
    /// The end.
    pub until: i64,
    /// The word of the client.
    pub said: Standing,
    /// The status of the task. None: there is no task yet.
    pub shown: Option<Standing>,
}

impl Disagreement {
    fn length(&self) -> i64 {
        self.until - self.from
    }
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { session, from, until, said, shown } = self;
        write!(f, "{session} {from}..{until} said {said:?} shown {shown:?} ({:.1} s)", seconds(self.length()))
    }
}

/// The comparison of a whole recording.
#[derive(Debug, Default)]
pub struct Comparison {
    /// The compared time, in milliseconds.
    pub observed: i64,
    /// The times of disagreement, in order.
    pub disagreements: Vec<Disagreement>,
}

impl Comparison {
    /// The time of disagreement, in milliseconds.
    pub fn disagreed(&self) -> i64 {
        self.disagreements.iter().map(Disagreement::length).sum()
    }

    /// The disagreements that need a reason.
    pub fn long(&self) -> impl Iterator<Item = &Disagreement> {
        self.disagreements.iter().filter(|one| one.length() > SHORT)
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.disagreements.iter().try_for_each(|one| writeln!(f, "{one}"))
    }
}

fn seconds(ms: i64) -> f64 {
    ms as f64 / 1_000.0
}

/// The time between two looks of the server at the words of the client, in milliseconds.
const LOOK_EVERY: i64 = 250;
/// How long after a hook or a word the looks can change a status, in milliseconds.
const LOOKS_FOR: i64 = 6_000;

/// A moment of the replay.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    Hook(usize),
    Word(usize),
    Look,
}

/// Replays the recording. `between` runs at the time of each word of the client, after the hooks up to that time: there
/// a test can show the word to the server. It runs without a word at each time at which the server looks.
pub async fn compare(store: &Store, mut between: impl AsyncFnMut(&Store, Option<&Value>, i64)) -> Comparison {
    let lines = |file: &str| -> Vec<Value> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/real").join(file);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        text.lines().map(|line| serde_json::from_str(line).expect("a line")).collect()
    };
    let (hooks, words) = (lines(RECORDING), lines(WORDS));
    let at = |line: &Value| line["at_ms"].as_i64().expect("a time");
    let mut moments: BTreeSet<(i64, Moment)> = BTreeSet::new();
    moments.extend(hooks.iter().enumerate().map(|(place, line)| (at(line), Moment::Hook(place))));
    moments.extend(words.iter().enumerate().map(|(place, line)| (at(line), Moment::Word(place))));
    let looks = |(at, _): &(i64, Moment)| {
        let first = at.div_euclid(LOOK_EVERY) + 1;
        (first..=first + LOOKS_FOR / LOOK_EVERY).map(|place| (place * LOOK_EVERY, Moment::Look))
    };
    let looks: Vec<_> = moments.iter().flat_map(looks).collect();
    moments.extend(looks);

    let mut said: BTreeMap<String, Standing> = BTreeMap::new();
    let mut shown: BTreeMap<String, Standing> = BTreeMap::new();
    let mut comparison = Comparison::default();
    let mut before = 0;
    for (now, moment) in moments {
        comparison.pass(&said, &shown, before, now);
        before = now;
        match moment {
            Moment::Hook(place) => {
                let body = &hooks[place]["body"];
                store.take_at(AgentRuntime::ClaudeCode, body.to_string().as_bytes(), START + now).await.expect("taken");
                let begins = body["hook_event_name"] == "SessionStart" && body["source"] != "compact";
                if begins || body["hook_event_name"] == "SessionEnd" {
                    said.remove(body["session_id"].as_str().expect("a session"));
                }
            }
            Moment::Word(place) => {
                let word = &words[place];
                let session = word["session_id"].as_str().expect("a session").to_owned();
                match Standing::of_word(word) {
                    Some(standing) => drop(said.insert(session, standing)),
                    None => drop(said.remove(&session)),
                }
                between(store, Some(word), START + now).await;
            }
            Moment::Look => between(store, None, START + now).await,
        }
        shown = store.standings().await;
    }
    comparison
}

impl Store {
    async fn standings(&self) -> BTreeMap<String, Standing> {
        let tasks = task::Entity::find().all(&self.db).await.expect("tasks");
        let standing = |task: &task::Model| Standing::of_task(&task.status, task.status_reason.as_deref());
        let id = |task: &task::Model| task.external_id.clone().map(StoredText::into).expect("a session");
        tasks.iter().map(|task| (id(task), standing(task))).collect()
    }
}

impl Comparison {
    /// Adds the time from `from` to `until`, in which neither the words nor the tasks changed.
    fn pass(&mut self, said: &BTreeMap<String, Standing>, shown: &BTreeMap<String, Standing>, from: i64, until: i64) {
        for (session, said) in said {
            self.observed += until - from;
            let (session, shown) = (session[..8].to_owned(), shown.get(session).copied());
            if shown == Some(*said) || from == until {
                continue;
            }
            let next = Disagreement { session, from, until, said: *said, shown };
            let is_continued = |last: &&mut Disagreement| {
                (&last.session, last.until, last.said, last.shown) == (&next.session, from, next.said, next.shown)
            };
            match self.disagreements.iter_mut().rev().find(is_continued) {
                Some(last) => last.until = until,
                None => self.disagreements.push(next),
            }
        }
    }
}

/// The disagreements of more than three seconds, and why no hook can tell better.
const NO_HOOK_CAN_TELL: [(&str, i64, i64, &str); 9] = [
    ("270b4e57", 130_448, 217_082, "Esc while a command runs: the client runs no hook until the next prompt"),
    ("270b4e57", 222_983, 240_592, "Esc at a permission: the client runs no hook until the next prompt"),
    ("270b4e57", 247_539, 269_049, "an approval runs no hook until the approved command ends"),
    ("270b4e57", 293_653, 301_820, "Esc at a permission: the client runs no hook until the next prompt"),
    ("270b4e57", 338_669, 342_636, "the hook of the answer ran, and the client wrote its word four seconds later"),
    (
        "270b4e57",
        364_562,
        370_408,
        "the permission to write a plan runs no `PermissionRequest`, only a late notification",
    ),
    ("270b4e57", 582_546, 587_177, "Esc while the model answers: the client runs no hook until the next prompt"),
    ("4c6eed4d", 1_110_186, 1_113_234, "the hook of the end ran, and the client wrote its word three seconds later"),
    ("4c6eed4d", 1_318_511, 1_323_632, "a `!` command begins a turn without the hook of a prompt"),
];

/// In thousandths: the short disagreements together, in which a hook comes a moment before or after the word.
const MOST_SHORT: i64 = 30;

#[tokio::test]
async fn hooks_alone_disagree_with_the_client_only_where_no_hook_can_tell() {
    let store = Store::open().await;
    let comparison = compare(&store, async |_, _, _| {}).await;
    let named: i64 = NO_HOOK_CAN_TELL.iter().map(|(_, from, until, _)| until - from).sum();
    let (observed, disagreed) = (comparison.observed, comparison.disagreed());
    println!(
        "disagreement: {:.1} of {:.1} s ({:.1} %), of which no hook can tell {:.1} s",
        seconds(disagreed),
        seconds(observed),
        100.0 * disagreed as f64 / observed as f64,
        seconds(named)
    );
    let long: Vec<_> = comparison.long().map(|one| (one.session.as_str(), one.from, one.until)).collect();
    assert_eq!(long, NO_HOOK_CAN_TELL.map(|(session, from, until, _)| (session, from, until)), "{comparison}");
    assert!((disagreed - named) * 1_000 <= observed * MOST_SHORT, "{comparison}");
}

/// The same replay with the file of the session beside the hooks, as the client writes it.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn with_the_word_of_the_client_the_status_disagrees_for_at_most_a_hundredth_of_the_time() {
    let store = Store::open().await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    let client = tokio::process::Command::new("sleep").arg("600").stdout(Stdio::null()).kill_on_drop(true).spawn();
    let client = client.expect("a process");
    let process = Process::running(client.id().expect("it runs")).expect("there");
    let mut heard_before = BTreeSet::new();
    let comparison = compare(&store, async |store, word, now_ms| {
        if let Some(word) = word {
            let mut file = json!({
                "pid": process.id(), "procStart": process.began().to_string(), "kind": "interactive",
                "sessionId": word["session_id"], "name": word["name"], "status": word["status"],
                "statusUpdatedAt": now_ms,
            });
            if !word["waiting_for"].is_null() {
                file["waitingFor"] = word["waiting_for"].clone();
            }
            std::fs::write(path.join(format!("{}.json", process.id())), file.to_string()).expect("written");
            return;
        }
        let sessions = speaking_sessions(path).expect("readable");
        let speaking = sessions.iter().map(|session| session.session_id.clone()).collect();
        let heard_before = std::mem::replace(&mut heard_before, speaking);
        let signs = OutsideSigns { sessions, heard_before, commands: BTreeMap::new(), now_ms };
        let answered = agents::find_answered(&store.db, &signs).await.expect("found");
        for one in &answered {
            agents::carry_out_answer(&store.db, one, now_ms).await.expect("written");
        }
    })
    .await;
    drop(client);
    let (observed, disagreed) = (comparison.observed, comparison.disagreed());
    println!(
        "disagreement with the word of the client: {:.1} of {:.1} s ({:.2} %)\n{comparison}",
        seconds(disagreed),
        seconds(observed),
        100.0 * disagreed as f64 / observed as f64
    );
    assert_eq!(comparison.long().count(), 0, "{comparison}");
    assert!(disagreed * 100 <= observed, "{comparison}");
}
