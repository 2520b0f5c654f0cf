//! The watchers: open streams that count their frames and note when each cursor arrives.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use futures_util::{SinkExt, StreamExt};
use requery::protocol::Cursor;
use reqwest::Url;
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

/// How many streams open at the same time.
const AT_ONCE: usize = 64;
/// How long one stream may take to open.
const OPEN_TIMEOUT: Duration = Duration::from_secs(30);
/// How many watchers note times at most. The others only count, so that the notes of a long run stay small.
const NOTING: u32 = 1_000;
/// The size of the read buffer. Notices fit into it.
const READ_BUFFER: usize = 4 * 1024;

/// The streams, which stay open until [`Watchers::end`] or a drop.
pub struct Watchers {
    streams: JoinSet<()>,
    seen: Arc<Seen>,
    took: Duration,
}

/// The figures of all streams.
#[derive(Default)]
struct Seen {
    frames: AtomicU64,
    bytes: AtomicU64,
    lost: AtomicU64,
    notes: Mutex<Notes>,
}

#[derive(Default)]
struct Notes {
    places: HashMap<Box<str>, u32>,
    cursors: Vec<Cursor>,
    arrivals: Vec<Arrival>,
    /// The text of the last notice.
    sample: String,
}

/// The arrival of a cursor at a watcher.
#[derive(Clone, Copy)]
struct Arrival {
    watcher: u32,
    cursor: u32,
    at: Instant,
}

/// The figures after the streams ended.
pub struct WatchedFigures {
    /// The time until all streams were open and had their first frame.
    pub connect: Duration,
    pub frames: u64,
    pub bytes: u64,
    /// The streams that ended by themselves.
    pub lost: u64,
    /// The text of a notice.
    pub sample: String,
    cursors: Vec<Cursor>,
    arrivals: Vec<Arrival>,
}

/// The envelope of a frame.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    cursor: &'a str,
    #[serde(default)]
    more: bool,
}

impl Watchers {
    /// Opens `count` streams. `has_first_frame` says whether a stream counts as open only with its first frame.
    pub async fn open(url: &Url, count: u32, has_first_frame: bool) -> anyhow::Result<Self> {
        let (seen, turns) = (Arc::new(Seen::default()), Arc::new(Semaphore::new(AT_ONCE)));
        let began = Instant::now();
        let mut opening = JoinSet::new();
        for watcher in 0..count {
            let (url, turns) = (url.clone(), turns.clone());
            opening.spawn(async move {
                let _turn = turns.acquire().await;
                let opened = async {
                    let mut socket = connect(&url).await?;
                    if has_first_frame {
                        socket.next().await.context("the server ended the stream")??;
                    }
                    anyhow::Ok(socket)
                };
                let opened = tokio::time::timeout(OPEN_TIMEOUT, opened).await;
                (watcher, opened.context("no answer").and_then(|opened| opened))
            });
        }
        let mut streams = JoinSet::new();
        while let Some(opened) = opening.join_next().await {
            let (watcher, socket) = opened.context("a stream was not opened")?;
            let socket = socket.with_context(|| format!("could not open stream {} of {count}", watcher + 1))?;
            // Noting watchers are spread over all of them: the first ones may be served first.
            let is_noting = watcher % count.div_ceil(NOTING) == 0;
            streams.spawn(follow(socket, is_noting.then_some(watcher), seen.clone()));
        }
        Ok(Self { streams, seen, took: began.elapsed() })
    }

    /// Waits until each noting watcher has the changes of this cursor, but not for longer than `timeout`.
    pub async fn wait_for(&self, cursor: &Cursor, timeout: Duration) {
        let end = Instant::now() + timeout;
        while Instant::now() < end && !self.seen.notes().have_all(cursor) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Closes the streams.
    pub fn end(mut self) -> WatchedFigures {
        self.streams.abort_all();
        let notes = std::mem::take(&mut *self.seen.notes());
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        WatchedFigures {
            connect: self.took,
            frames: count(&self.seen.frames),
            bytes: count(&self.seen.bytes),
            lost: count(&self.seen.lost),
            sample: notes.sample,
            cursors: notes.cursors,
            arrivals: notes.arrivals,
        }
    }
}

impl Seen {
    fn notes(&self) -> std::sync::MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Notes {
    fn have_all(&self, cursor: &Cursor) -> bool {
        let mut last = HashMap::new();
        for arrival in &self.arrivals {
            last.insert(arrival.watcher, arrival.cursor);
        }
        !last.is_empty() && last.values().all(|reached| self.cursors[*reached as usize].covers(cursor))
    }

    fn note(&mut self, watcher: u32, envelope: &Envelope<'_>, text: &str, at: Instant) {
        let cursor = match self.places.get(envelope.cursor) {
            Some(place) => *place,
            None => {
                let Ok(cursor) = envelope.cursor.parse::<Cursor>() else { return };
                let place = self.cursors.len() as u32;
                self.places.insert(envelope.cursor.into(), place);
                self.cursors.push(cursor);
                if envelope.kind == "event.logged" {
                    text.clone_into(&mut self.sample);
                }
                place
            }
        };
        self.arrivals.push(Arrival { watcher, cursor, at });
    }
}

impl WatchedFigures {
    /// For each change and each noting watcher the milliseconds from the change to the first frame that contains the
    /// change. `changes` are in the order of their times.
    pub fn delays(&self, changes: &[(Cursor, Instant)]) -> Vec<f64> {
        let mut arrivals = self.arrivals.clone();
        arrivals.sort_by_key(|arrival| arrival.watcher);
        let mut delays = Vec::new();
        for of_one in arrivals.chunk_by(|a, b| a.watcher == b.watcher) {
            let mut waiting = changes.iter().peekable();
            for arrival in of_one {
                let reached = &self.cursors[arrival.cursor as usize];
                while let Some((_, at)) = waiting.next_if(|(cursor, _)| reached.covers(cursor)) {
                    delays.push(arrival.at.saturating_duration_since(*at).as_secs_f64() * 1e3);
                }
            }
        }
        delays
    }

    /// The number of different cursors that arrived: the flushes that the watchers saw.
    pub fn flushes(&self) -> usize {
        self.cursors.len()
    }
}

async fn connect(url: &Url) -> anyhow::Result<WebSocketStream<TcpStream>> {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let request = format!("ws{}", url.as_str().trim_start_matches("http")).into_client_request()?;
    let tcp = TcpStream::connect((host.as_str(), url.port_or_known_default().unwrap_or(80))).await?;
    tcp.set_nodelay(true)?;
    let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER).write_buffer_size(0);
    Ok(client_async_with_config(request, tcp, Some(config)).await?.0)
}

async fn follow(mut socket: WebSocketStream<TcpStream>, noting: Option<u32>, seen: Arc<Seen>) {
    while let Some(Ok(message)) = socket.next().await {
        let at = Instant::now();
        match message {
            Message::Text(text) => {
                seen.frames.fetch_add(1, Ordering::Relaxed);
                seen.bytes.fetch_add(text.len() as u64, Ordering::Relaxed);
                let Some(watcher) = noting else { continue };
                let Ok(envelope) = serde_json::from_str::<Envelope<'_>>(&text) else { continue };
                if !envelope.more && envelope.kind != "heartbeat" {
                    seen.notes().note(watcher, &envelope, &text, at);
                }
            }
            // The answer to a ping waits in the socket.
            Message::Ping(_) => {
                let _ = socket.flush().await;
            }
            Message::Close(_) => break,
            _ => {}
        }
    }
    seen.lost.fetch_add(1, Ordering::Relaxed);
}
