//! The time of a search among a million events, and the cost of the search index for writers.
//!
//! All events are written first. After that the benchmark waits until they are indexed, which takes some minutes.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use requery::protocol::EventId;
use requery::server::database::WriteTransaction;
use requery_entities::event;
use sea_orm::ActiveValue::Set;
use sea_orm::{ConnectionTrait, EntityTrait};

use crate::rows;
use crate::server::{Inside, runtime};
use crate::table::{Limit, Row, quantile};

const EVENTS: usize = 1_000_000;
/// The number of events in one transaction. Each statement inserts a hundred of them.
const AT_ONCE: usize = 5_000;
const TASKS: usize = 1_000;
const ROUNDS: usize = 5;
const ASKED: usize = 200;
/// The bound of the 99th percentile, for every query.
const SLOWEST: Limit = Limit::AtMost(100.0);
/// The turns, and the events in each turn, that measure the cost of the index.
const TURNS: usize = 10;
const WRITTEN: usize = 1_000;

pub fn measure() -> Vec<Row> {
    let mut all = runtime().block_on(cost());
    // No other program writes here. With the default pause the server would index a million events in a quarter of an
    // hour, because it rests between its steps.
    let server = Inside::start_with(|config| config.background_pause = Duration::ZERO);
    all.extend(runtime().block_on(async {
        let text = Text::new();
        fill(&server, &text).await;
        let began = Instant::now();
        let slowest = build(&server).await;
        let built = began.elapsed().as_secs_f64();
        let mut rows = vec![
            Row::new("building the search index of a million events", vec![built], " s", Limit::Open),
            Row::new("the longest that a write waited meanwhile", vec![slowest], " ms", Limit::Open),
        ];
        rows.extend(ask(server.address, "the commonest word", "q=the", [Limit::AtMost(20.0), SLOWEST]).await);
        let (common, rare) = (&text.words[0], &text.words[text.words.len() / 2]);
        for (kind, query) in [
            ("three common words", format!("q=the+{common}+{}", text.words[1])),
            ("a phrase of common words", format!("q=%22{common}+{}%22", text.words[1])),
            ("a rare word", format!("q={rare}")),
            ("all words with the prefix `th`", "q=th*".to_owned()),
            ("the commonest word in another project", "q=the&project=other".to_owned()),
        ] {
            rows.extend(ask(server.address, kind, &query, [Limit::Open, SLOWEST]).await);
        }
        rows
    }));
    all
}

/// Random texts in which some words are common and most are rare, as in real texts.
struct Text {
    words: Vec<String>,
}

impl Text {
    fn new() -> Self {
        fastrand::seed(1);
        let word = |_| (0..fastrand::usize(3..11)).map(|_| fastrand::lowercase()).collect();
        Self { words: (0..50_000).map(word).collect() }
    }

    fn word(&self) -> &str {
        // A word at half the rank is twice as frequent (Zipf's law). The first word is in nine of ten events.
        let place = (self.words.len() as f64).powf(fastrand::f64()) as usize;
        &self.words[place.clamp(1, self.words.len()) - 1]
    }

    fn event(&self, task_id: &str) -> event::ActiveModel {
        let words = |count| (0..count).map(|_| self.word()).collect::<Vec<_>>().join(" ");
        event::ActiveModel {
            id: Set(EventId::new_at(chrono::Utc::now().timestamp_millis()).to_string().into()),
            title: Set(format!("cargo test -p {}", self.word()).into()),
            body: Set(Some(format!("{}: the {} in src/{}.rs", self.word(), words(40), self.word()).into())),
            ..rows::event(task_id)
        }
    }
}

async fn fill(server: &Inside, text: &Text) {
    let (tasks, _) = server
        .write(async |tx| {
            let tasks = rows::tasks(tx, TASKS).await;
            tx.execute_unprepared("update tasks set project = 'other' where rowid = 1").await.unwrap();
            tasks
        })
        .await;
    for _ in 0..EVENTS / AT_ONCE {
        let insert = async |tx: &WriteTransaction| {
            for _ in 0..AT_ONCE / rows::BATCH {
                let events = (0..rows::BATCH).map(|_| text.event(&tasks[fastrand::usize(..TASKS)]));
                event::Entity::insert_many(events).exec_without_returning(tx).await.unwrap();
            }
        };
        server.write(insert).await;
    }
}

/// Waits until all events are indexed. Returns the longest time that the write of one event took meanwhile, in ms.
async fn build(server: &Inside) -> f64 {
    let client = reqwest::Client::new();
    let (task, _) = server.write(async |tx| rows::tasks(tx, 1).await.remove(0)).await;
    let mut slowest = Duration::ZERO;
    loop {
        for _ in 0..20 {
            let began = Instant::now();
            server.write(async |tx| rows::insert(tx, &task).await).await;
            slowest = slowest.max(began.elapsed());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let found = get(&client, server.address, "q=the").await;
        if found.ends_with("\"complete\":true}") {
            return slowest.as_secs_f64() * 1e3;
        }
    }
}

async fn get(client: &reqwest::Client, address: SocketAddr, query: &str) -> String {
    let answer = client.get(format!("http://{address}/api/v1/search?{query}")).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.text().await.unwrap()
}

/// Measures one query over HTTP, one request after the other.
async fn ask(address: SocketAddr, kind: &str, query: &str, limits: [Limit; 2]) -> Vec<Row> {
    let client = reqwest::Client::new();
    let mut rounds = Vec::new();
    for round in 0..=ROUNDS {
        let mut times = Vec::new();
        for _ in 0..ASKED {
            let began = Instant::now();
            get(&client, address, query).await;
            times.push(began.elapsed().as_secs_f64() * 1e3);
        }
        // The first round warms up the caches.
        if round > 0 {
            rounds.push(times);
        }
    }
    let row = |share: f64, limit| {
        let values = rounds.iter().map(|times| quantile(times, share)).collect();
        Row::new(format!("search among a million events, {kind}, p{:.0}", share * 100.0), values, " ms", limit)
    };
    let [usual, slowest] = limits;
    vec![row(0.5, usual), row(0.99, slowest)]
}

/// The rate of writes with the search index and without it. The two servers take turns.
async fn cost() -> Vec<Row> {
    let (with, without) = (Inside::start(), Inside::start());
    // Without this table the server cannot update the index.
    without.write(async |tx| tx.execute_unprepared("drop table searched").await.unwrap()).await;
    let text = Text::new();
    let mut tasks = Vec::new();
    for server in [&with, &without] {
        tasks.push(server.write(async |tx| rows::tasks(tx, 20).await).await.0);
    }
    let (mut one_by_one, mut ratios) = (Vec::new(), Vec::new());
    for turn in 0..=TURNS {
        let mut rates = [0.0; 2];
        for side in [turn % 2, 1 - turn % 2] {
            let server = [&with, &without][side];
            let began = Instant::now();
            for task in tasks[side].iter().cycle().take(WRITTEN) {
                let event = text.event(task);
                let write = async |tx: &WriteTransaction| {
                    event::Entity::insert(event).exec_without_returning(tx).await.unwrap();
                };
                server.write(write).await;
            }
            rates[side] = WRITTEN as f64 / began.elapsed().as_secs_f64();
            // The pause lets one server finish its indexing, so that it does not slow down the other.
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        if turn > 0 {
            one_by_one.push(rates[0] / 1e3);
            ratios.push(rates[0] / rates[1]);
        }
    }
    vec![
        Row::new("one event a transaction in a server, rate with the search index to without", ratios, "", Limit::Open),
        Row::new("one event a transaction in a server, with the search index", one_by_one, "k/s", Limit::Open),
    ]
}
