//! A thousand clients that watch the overview, and fetch it again after each notice.
//!
//! Each client is a WebSocket and an HTTP connection. It fetches as the rules of a client demand: after a debounce and
//! a share of the spread, one fetch at a time, and both requests of the read model: the overview with the tag of its
//! last answer, and the first page of tasks with `since` and the tag of the last whole page. Each request names the
//! cursor of the client's newest notice.

use std::cell::RefCell;
use std::io::Read;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use flate2::read::GzDecoder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::exchange::header_of;
use crate::machine::{is_quick, now, rounds};
use crate::swarm::{Opening, Swarm, number_of_cursor};
use crate::table::{Limit, Row};

use super::projects::{offered, write_at};
use super::{Requery, percentile, ratios};

const CLIENTS: usize = 1_000;
const CHANGES: usize = 50;
const TASKS: usize = 20;
/// The debounce of a client, in nanoseconds.
const QUIET: u64 = 50_000_000;
const MAX_WAIT: u64 = 250_000_000;
const QUERIES: &str = "requery_queries_total";
/// The operations of the two requests.
const OVERVIEW: &str = "operation=\"overview\"";
const PAGE: &str = "operation=\"tasks\"";

/// The begin of an answer with changes alone.
const CHANGES_ALONE: [u8; 13] = *br#"{"full":false"#;

/// The figures, one for each round.
#[derive(Default)]
struct Figures {
    overviews: Vec<f64>,
    pages: Vec<f64>,
    /// The changes a second that the server took.
    rates: Vec<f64>,
    wanted: Vec<f64>,
    done: Vec<f64>,
    delays: Vec<Vec<f64>>,
    share: Vec<f64>,
}

pub fn measure() -> Vec<Row> {
    super::on_load_core(|| {
        let seconds = if is_quick() { 6 } else { 10 };
        let mut figures = Figures::default();
        for _ in 0..rounds() {
            figures.note(seconds);
        }
        let answered = ratios(&figures.done, &figures.wanted);
        let name = |figure: &str| format!("{CLIENTS} clients watch the overview, {CHANGES} changes a second: {figure}");
        vec![
            Row::new(name("queries of the overview a second"), figures.overviews, "", Limit::AtMost(25.0)),
            Row::new(name("queries of the page of tasks a second"), figures.pages, "", Limit::AtMost(25.0)),
            Row::new(name("changes taken"), figures.rates, " /s", offered(CHANGES)),
            Row::new(name("fetches a second that the rules want"), figures.wanted, "", Limit::Open),
            Row::new(name("fetches a second that were answered"), figures.done, "", Limit::Open),
            // A server that answers late meets fewer fetches than the rules want, and has fewer queries.
            Row::new(
                name("fetches that were answered, of those that the rules want"),
                answered,
                "x",
                Limit::AtLeast(0.8),
            ),
            Row::new(name("due to both answers, p50"), percentile(&figures.delays, 0.5), " ms", Limit::Open),
            Row::new(name("due to both answers, p99"), percentile(&figures.delays, 0.99), " ms", Limit::Open),
            Row::new(name("share of the server's core"), figures.share, " %", Limit::Open),
        ]
    })
}

impl Figures {
    /// One round.
    fn note(&mut self, seconds: u64) {
        let mut requery = Requery::start(&[]);
        let address = requery.server.address;
        let tasks = requery.tasks(TASKS, "acme-web");
        let watch = r#"{"type":"watch","payload":{"read_models":["overview"]}}"#.to_owned();
        let swarm = Swarm::open(Opening { message: Some(watch), ..Opening::requery(address, CLIENTS) });
        swarm.note_spread();
        let overview = requery.writer.done("GET", "/api/v1/overview", "");
        let epoch = overview.header("requery-cursor").unwrap().split(':').next().unwrap().to_owned();
        assert!(requery.counter(QUERIES, OVERVIEW) > 0.0, "this server does not count its queries");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let screens = runtime.block_on(Screen::open_all(address, &swarm));
        let is_over = AtomicBool::new(false);
        let (overviews, pages) = (requery.counter(QUERIES, OVERVIEW), requery.counter(QUERIES, PAGE));
        let busy = requery.busy();
        let (fetched, rate) = std::thread::scope(|scope| {
            let written = scope.spawn(|| write_at(address, &tasks, CHANGES, &is_over));
            scope.spawn(|| {
                std::thread::sleep(Duration::from_secs(seconds));
                is_over.store(true, Ordering::SeqCst);
            });
            let all = tokio::task::LocalSet::new();
            let fetched = all.block_on(&runtime, fetch_all(screens, &epoch, &swarm, &is_over));
            (fetched, written.join().unwrap())
        });
        let each_second = |figure: f64| figure / seconds as f64;
        self.share.push(each_second(requery.busy() - busy) * 100.0);
        self.overviews.push(each_second(requery.counter(QUERIES, OVERVIEW) - overviews));
        self.pages.push(each_second(requery.counter(QUERIES, PAGE) - pages));
        self.rates.push(rate);
        self.wanted.push(each_second(fetched.wanted as f64));
        self.done.push(each_second(fetched.delays.len() as f64));
        self.delays.push(fetched.delays);
    }
}

/// When a client fetches: rules 2, 3 and 9 of the contract.
#[derive(Clone, Copy, Default)]
struct Plan {
    /// The cursor of the newest notice.
    noticed: u64,
    /// The times of the first and of the last notice that no fetch was begun for.
    first: Option<u64>,
    last: u64,
    /// The share of the spread.
    wait: u64,
    /// The time of the last fetch.
    fetched: u64,
    in_flight: bool,
}

impl Plan {
    /// Returns the time at which a fetch was due, if it is to begin now.
    fn due(&mut self, reached: u64, now: u64, spread_ms: u64) -> Option<u64> {
        if reached > self.noticed {
            self.noticed = reached;
            if self.first.is_none() {
                // After a quiet time the first notice makes the read model due at once.
                let is_quiet = now.saturating_sub(self.last.max(self.fetched)) > MAX_WAIT;
                self.first = Some(if is_quiet { now.saturating_sub(MAX_WAIT) } else { now });
                self.wait = fastrand::u64(..=spread_ms * 1_000_000);
            }
            self.last = now;
        }
        let due = (self.last + QUIET).min(self.first? + MAX_WAIT) + self.wait;
        if self.in_flight || due > now {
            return None;
        }
        (self.in_flight, self.first) = (true, None);
        Some(due)
    }

    /// The answer has the changes of this cursor.
    fn end(&mut self, held: u64, now: u64) {
        (self.in_flight, self.fetched) = (false, now);
        self.first = if held >= self.noticed { None } else { self.first.or(Some(now)) };
    }
}

/// The fetches of all clients.
#[derive(Default)]
struct Fetched {
    /// The fetches of clients whose every fetch is answered at once.
    wanted: usize,
    /// For each fetch that was answered the milliseconds since it was due.
    delays: Vec<f64>,
}

/// One client.
struct Screen {
    plan: Plan,
    /// The same client if every fetch were answered at once.
    wanted: Plan,
    /// None while a fetch is in flight.
    connection: Option<Connection>,
}

impl Screen {
    /// All clients, each with an open connection.
    async fn open_all(address: SocketAddr, swarm: &Swarm) -> Vec<Self> {
        let mut screens = Vec::with_capacity(CLIENTS);
        for number in 0..CLIENTS {
            let plan = Plan { noticed: swarm.reached(number), fetched: now(), ..Plan::default() };
            let connection = Some(Connection::open(address).await);
            screens.push(Self { plan, wanted: plan, connection });
        }
        screens
    }
}

/// Fetches for all clients until `is_over`. It runs in a `LocalSet`.
async fn fetch_all(screens: Vec<Screen>, epoch: &str, swarm: &Swarm, is_over: &AtomicBool) -> Fetched {
    let (screens, fetched) = (Rc::new(RefCell::new(screens)), Rc::new(RefCell::new(Fetched::default())));
    while !is_over.load(Ordering::SeqCst) {
        let (at, spread) = (now(), swarm.seen.spread_ms.load(Ordering::Relaxed));
        for (number, screen) in screens.borrow_mut().iter_mut().enumerate() {
            let reached = swarm.reached(number);
            if screen.wanted.due(reached, at, spread).is_some() {
                screen.wanted.end(reached, at);
                fetched.borrow_mut().wanted += 1;
            }
            let Some(due) = screen.plan.due(reached, at, spread) else { continue };
            let mut connection = screen.connection.take().expect("one fetch in flight");
            let cursor = format!("{epoch}:{reached}:{reached}:");
            let (screens, fetched) = (screens.clone(), fetched.clone());
            tokio::task::spawn_local(async move {
                let held = connection.fetch(&cursor).await;
                fetched.borrow_mut().delays.push((now() - due) as f64 / 1e6);
                let screen = &mut screens.borrow_mut()[number];
                screen.plan.end(held, now());
                screen.connection = Some(connection);
            });
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    fetched.take()
}

/// An HTTP connection, with what its client holds.
struct Connection {
    stream: TcpStream,
    host: SocketAddr,
    overview_tag: Option<String>,
    page_tag: Option<String>,
    page_cursor: Option<String>,
    bytes: Vec<u8>,
}

impl Connection {
    async fn open(host: SocketAddr) -> Self {
        let stream = TcpStream::connect(host).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, host, overview_tag: None, page_tag: None, page_cursor: None, bytes: Vec::new() }
    }

    /// Fetches the read model. Returns the older of its two cursors.
    async fn fetch(&mut self, at_least: &str) -> u64 {
        let tag = self.overview_tag.take();
        let overview = self.ask("/api/v1/overview", tag.as_deref(), at_least).await;
        self.overview_tag = overview.tag;
        let since = self.page_cursor.take().map(|cursor| format!("?since={cursor}")).unwrap_or_default();
        let tag = self.page_tag.take();
        let page = self.ask(&format!("/api/v1/tasks{since}"), tag.as_deref(), at_least).await;
        // The tag of an answer with changes names no page.
        self.page_tag = page.tag.filter(|_| !page.has_changes);
        let number = |cursor: &str| number_of_cursor(cursor.as_bytes()).expect("a cursor");
        let held = number(&overview.cursor).min(number(&page.cursor));
        self.page_cursor = Some(page.cursor);
        held
    }

    async fn ask(&mut self, path: &str, tag: Option<&str>, at_least: &str) -> Answer {
        let (host, tag) = (self.host, tag.map(|tag| format!("If-None-Match: {tag}\r\n")).unwrap_or_default());
        let asked = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\n{tag}Requery-At-Least: {at_least}\r\nAccept-Encoding: gzip\r\n\r\n"
        );
        self.stream.write_all(asked.as_bytes()).await.unwrap();
        self.bytes.clear();
        let end = loop {
            if let Some(end) = self.bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            assert!(self.stream.read_buf(&mut self.bytes).await.unwrap() > 0, "the server ended the connection");
        };
        let head = String::from_utf8_lossy(&self.bytes[..end]).into_owned();
        let is_unchanged = head.starts_with("HTTP/1.1 304 ");
        assert!(is_unchanged || head.starts_with("HTTP/1.1 200 "), "{path}: {head}");
        let length =
            header_of(&head, "content-length").filter(|_| !is_unchanged).map_or(0, |text| text.parse().unwrap());
        while self.bytes.len() < end + length {
            assert!(self.stream.read_buf(&mut self.bytes).await.unwrap() > 0, "the server ended the connection");
        }
        let body = &self.bytes[end..];
        let has_changes = match header_of(&head, "content-encoding") {
            Some(_) => {
                let mut begin = [0; CHANGES_ALONE.len()];
                GzDecoder::new(body).read_exact(&mut begin).is_ok() && begin == CHANGES_ALONE
            }
            None => body.starts_with(&CHANGES_ALONE),
        };
        Answer {
            tag: header_of(&head, "etag").map(str::to_owned),
            cursor: header_of(&head, "requery-cursor").expect("an answer with a cursor").to_owned(),
            has_changes,
        }
    }
}

struct Answer {
    tag: Option<String>,
    cursor: String,
    /// Whether the answer has the changes alone.
    has_changes: bool,
}
