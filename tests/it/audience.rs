//! The hub and its streams in random orders: streams begin, narrow, stall, take what waits and leave, while changes are
//! handed out. No order leaves a stream without a change that it watches, and no cursor goes out before its changes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use requery::engine::invalidation;
use requery::protocol::{Cursor, FrameKind, Notice, NoticeColumns, Watched};
use requery::server::access::scope::Scope;
use requery::server::hub::{self, Burst, DirectWriter, FeedLine, Hub, HubInput, HubStream, Offered, Taken};
use requery::server::metrics::Metrics;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::engine::watched;
use crate::random_cases::cases;

const EPOCH: &str = "0190b0a0000070008000000000000001";
const MODELS: [&str; 6] = ["overview", "bookmarks", "task:t1", "task:t2", "task:t3", "task:*"];
const PROJECTS: [&str; 3] = ["", "p", "q"];

#[derive(Clone, Debug)]
enum Step {
    /// A stream begins, in the project with this number or in all projects.
    Join(Option<usize>),
    /// A stream watches the read models of this mask.
    Watch(usize, u8),
    /// The socket of a stream takes this much of what comes.
    Mood(usize, Mood),
    /// The task of a stream takes what waits.
    Take(usize),
    Leave(usize),
    /// So many different changes: of a task, or of a bookmark, in a project.
    Change(Vec<(usize, usize)>),
    /// The hub runs on for a moment.
    Run(u8),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mood {
    All,
    Part,
    Nothing,
}

/// What one stream received, with the state of its socket.
#[derive(Debug)]
struct Received {
    mood: Mood,
    /// The stream left the hub.
    has_left: bool,
    /// The cursor of each frame, and the read models that the frame reports: none for all.
    frames: Vec<(Cursor, Option<BTreeSet<Watched>>)>,
}

impl Received {
    fn new() -> Self {
        Self { mood: Mood::All, has_left: false, frames: Vec::new() }
    }

    fn take(&mut self, burst: &Burst) {
        for line in burst.lines() {
            let frame: requery::protocol::Frame = serde_json::from_str(&line.text).unwrap();
            assert!(frame.cursor.covers(burst.cursor()) && burst.cursor().covers(&frame.cursor));
            let models = match frame.kind {
                FrameKind::Notice(notice) => Some(invalidation::stale(&notice).collect()),
                FrameKind::Stale(stale) => Some(stale.read_models.into_iter().collect()),
                FrameKind::Resync(_) => None,
                other => panic!("{other:?}"),
            };
            self.frames.push((frame.cursor, models));
        }
        let FeedLine { cursor, .. } = burst.lines().last().expect("a frame");
        assert!(cursor.is_some(), "a client can resume after each burst");
    }
}

struct Socket(Arc<Mutex<Received>>);

impl DirectWriter for Socket {
    fn offer(&self, burst: &Burst) -> Offered {
        let mut received = self.0.lock().unwrap();
        assert!(!received.has_left, "the hub writes to a stream that left");
        match received.mood {
            Mood::Nothing => Offered::Nothing,
            Mood::Part => {
                received.take(burst);
                // The socket is full until the task of the stream has written the rest.
                received.mood = Mood::Nothing;
                Offered::Begun
            }
            Mood::All => {
                received.take(burst);
                Offered::All
            }
        }
    }
}

struct Client {
    stream: HubStream,
    scope: Scope,
    received: Arc<Mutex<Received>>,
    /// The read models that the stream has watched, each time with the cursor from which on. None: all.
    watched: Vec<(u64, Option<BTreeSet<Watched>>)>,
}

impl Client {
    /// Takes all that waits, until the stream is idle.
    fn take(&mut self) {
        let mut context = Context::from_waker(Waker::noop());
        while let Poll::Ready(taken) = self.stream.poll_take(&mut context) {
            match taken {
                Taken::Burst(burst) => self.received.lock().unwrap().take(&burst),
                Taken::Rest => {}
                Taken::Closing(_) => panic!("the hub closes no stream"),
            }
        }
    }

    fn leave(self) {
        drop(self.stream);
        self.received.lock().unwrap().has_left = true;
    }

    /// Every change up to `cursor` that the stream watches was reported by a frame of its cursor or of a later one.
    fn check(&self, cursor: &Cursor, changes: &BTreeMap<u64, Vec<Notice>>) {
        let received = self.received.lock().unwrap();
        let mut last = 0;
        for (cursor, _) in &received.frames {
            let number = cursor.snapshot().xmax();
            assert!(number >= last, "the cursors of a stream do not step back");
            last = number;
        }
        let mut from = self.watched.iter().peekable();
        while let Some((begin, models)) = from.next() {
            let end = from.peek().map_or(cursor.snapshot().xmax(), |(next, _)| *next);
            for (number, notices) in changes.range(begin + 1..end + 1) {
                let in_scope = notices.iter().filter(|notice| self.scope.contains(notice.project()));
                for stale in in_scope.flat_map(invalidation::stale) {
                    let meets = |entries: &BTreeSet<Watched>| entries.iter().any(|entry| entry.meets(&stale));
                    if !models.as_ref().is_none_or(meets) {
                        continue;
                    }
                    let reports = |(cursor, reported): &(Cursor, Option<BTreeSet<Watched>>)| {
                        cursor.snapshot().xmax() >= *number
                            && reported.as_ref().is_none_or(|reported| reported.contains(&stale))
                    };
                    assert!(received.frames.iter().any(reports), "{number} {stale} of {:?}", received.frames);
                }
            }
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let mood = prop_oneof![Just(Mood::All), Just(Mood::Part), Just(Mood::Nothing)];
    let step = prop_oneof![
        2 => proptest::option::of(0..PROJECTS.len()).prop_map(Step::Join),
        3 => (any::<usize>(), 0..64_u8).prop_map(|(at, mask)| Step::Watch(at, mask)),
        3 => (any::<usize>(), mood).prop_map(|(at, mood)| Step::Mood(at, mood)),
        4 => any::<usize>().prop_map(Step::Take),
        1 => any::<usize>().prop_map(Step::Leave),
        6 => proptest::collection::vec((0..4_usize, 0..PROJECTS.len()), 1..6).prop_map(Step::Change),
        1 => (0..4_usize, 0..PROJECTS.len(), 60..80_usize).prop_map(|(what, project, times)| Step::Change(
            vec![(what, project); times]
        )),
        4 => (0..4_u8).prop_map(Step::Run),
    ];
    proptest::collection::vec(step, 1..120)
}

fn change((what, project): (usize, usize), unique: usize) -> Notice {
    let id = |name: String| watched(&format!("task:{name}")).to_string()["task:".len()..].to_owned();
    let (task, bookmark) = (id(format!("t{}", what.max(1))), id(format!("t{}", 100 + unique)));
    let columns = NoticeColumns {
        kind: if what == 0 { "bookmark.saved" } else { "task.updated" },
        project: PROJECTS[project],
        task_id: Some(&task),
        object_id: (what == 0).then_some(&bookmark),
        status_changed: Some(0),
        ..NoticeColumns::default()
    };
    Notice::from_columns(&columns).expect("a notice")
}

#[test]
fn no_order_leaves_a_stream_without_a_change() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let config = ProptestConfig { cases: cases(100), failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(steps in steps())| runtime.block_on(run(steps)));
}

/// The hub lets other tasks run while it writes a flush. The streams that leave meanwhile get none of it: a close frame
/// can be behind them already.
#[tokio::test]
async fn a_stream_that_leaves_during_a_flush_gets_no_frame() {
    let cursor = |number: u64| Cursor::counter(EPOCH, number);
    let hub = Hub::new(cursor(1), Arc::new(Metrics::default()));
    let (inputs, receiver) = mpsc::channel(2);
    tokio::spawn(hub::run(hub.clone(), receiver, Duration::ZERO, CancellationToken::new()));
    let mut clients = Vec::new();
    for _ in 0..200 {
        let (stream, received) = (hub.join(&Scope::All), Arc::new(Mutex::new(Received::new())));
        stream.write_directly(Box::new(Socket(received.clone())));
        let mut client = Client { stream, scope: Scope::All, received, watched: Vec::new() };
        client.take();
        clients.push(client);
    }
    inputs.send(HubInput::Notices { notices: vec![change((1, 0), 1)], read_at: Instant::now() }).await.unwrap();
    inputs.send(HubInput::Complete(cursor(2))).await.unwrap();
    let served =
        |clients: &[Client]| clients.iter().filter(|client| !client.received.lock().unwrap().frames.is_empty()).count();
    while served(&clients) == 0 {
        tokio::task::yield_now().await;
    }
    let before = served(&clients);
    assert!(before < clients.len(), "the flush runs");
    let left: Vec<_> = clients.iter().map(|client| client.received.clone()).collect();
    clients.into_iter().for_each(Client::leave);
    // The flush ends before the hub takes the next input.
    for number in 3..6 {
        inputs.send(HubInput::Complete(cursor(number))).await.expect("the hub runs");
    }
    assert_eq!(left.iter().filter(|received| !received.lock().unwrap().frames.is_empty()).count(), before);
}

async fn run(steps: Vec<Step>) {
    let cursor = |number: u64| Cursor::counter(EPOCH, number);
    let hub = Hub::new(cursor(1), Arc::new(Metrics::default()));
    let (inputs, receiver) = mpsc::channel(1_000);
    let stop = CancellationToken::new();
    let running = tokio::spawn(hub::run(hub.clone(), receiver, Duration::ZERO, stop.clone()));
    let mut clients: Vec<Client> = Vec::new();
    let mut changes: BTreeMap<u64, Vec<Notice>> = BTreeMap::new();
    let mut number = 1;
    let join = |clients: &mut Vec<Client>, scope: Scope| {
        let begin = hub.latest();
        let stream = hub.join(&scope);
        let received = Arc::new(Mutex::new(Received::new()));
        stream.write_directly(Box::new(Socket(received.clone())));
        clients.push(Client { stream, scope, received, watched: vec![(begin.snapshot().xmax(), None)] });
    };
    // More streams than the hub writes to in one go.
    (0..40).for_each(|_| join(&mut clients, Scope::All));
    for (at, step) in steps.into_iter().enumerate() {
        let count = clients.len();
        match step {
            Step::Join(project) => join(&mut clients, project.map(|at| PROJECTS[at].to_owned()).into()),
            Step::Watch(client, mask) => {
                let client = &mut clients[client % count];
                let chosen = MODELS.iter().enumerate().filter(|(at, _)| mask & 1 << at != 0);
                let models: BTreeSet<Watched> = chosen.map(|(_, model)| watched(model)).collect();
                let (before, cursor) = client.stream.watch(models.clone());
                for taken in before {
                    if let Taken::Burst(burst) = taken {
                        client.received.lock().unwrap().take(&burst);
                    }
                }
                client.watched.push((cursor.snapshot().xmax(), Some(models)));
                client.check(&cursor, &changes);
            }
            Step::Mood(client, mood) => clients[client % count].received.lock().unwrap().mood = mood,
            Step::Take(client) => clients[client % count].take(),
            Step::Leave(client) if count > 40 => clients.swap_remove(client % count).leave(),
            Step::Leave(_) => {}
            Step::Change(all) => {
                number += 1;
                let notices: Vec<_> = all.into_iter().enumerate().map(|(n, one)| change(one, at * 100 + n)).collect();
                changes.insert(number, notices.clone());
                inputs.send(HubInput::Notices { notices, read_at: Instant::now() }).await.unwrap();
                inputs.send(HubInput::Complete(cursor(number))).await.unwrap();
            }
            Step::Run(times) => {
                for _ in 0..times {
                    tokio::task::yield_now().await;
                }
            }
        }
        let client = &clients[at % clients.len()];
        client.check(&client.stream.cursor(), &changes);
    }
    while !hub.latest().covers(&cursor(number)) {
        tokio::task::yield_now().await;
    }
    for client in &mut clients {
        client.take();
        client.check(&cursor(number), &changes);
    }
    stop.cancel();
    running.await.unwrap();
}
