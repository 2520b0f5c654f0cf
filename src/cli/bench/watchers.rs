//! The watchers: open streams that count their frames and note when each cursor arrives.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
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

use super::delays::{Arrived, Delays};

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
struct Seen {
    frames: AtomicU64,
    bytes: AtomicU64,
    lost: AtomicU64,
    delays: Arc<Delays>,
}

/// The figures after the streams ended.
pub struct WatchedFigures {
    /// The time until all streams were open and had their first frame.
    pub connect: Duration,
    pub frames: u64,
    pub bytes: u64,
    /// The streams that ended by themselves.
    pub lost: u64,
    pub arrived: Arrived,
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
    /// Opens `count` streams for a run with so many changes. `has_first_frame` says whether a stream counts as open
    /// only with its first frame.
    pub async fn open(url: &Url, count: u32, has_first_frame: bool, changes: u64) -> anyhow::Result<Self> {
        // Noting watchers are spread over all of them: the first ones may be served first.
        let step = count.div_ceil(NOTING);
        let delays = Arc::new(Delays::new(count.div_ceil(step) as usize, changes));
        let (seen, turns) = (Arc::new(Seen::new(delays)), Arc::new(Semaphore::new(AT_ONCE)));
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
            let noting = (watcher % step == 0).then_some((watcher / step) as usize);
            streams.spawn(follow(socket, noting, seen.clone()));
        }
        Ok(Self { streams, seen, took: began.elapsed() })
    }

    /// The times from the changes to the watchers.
    pub fn delays(&self) -> &Arc<Delays> {
        &self.seen.delays
    }

    /// Waits until each noting watcher has the changes of this cursor, but not for longer than `timeout`.
    pub async fn wait_for(&self, cursor: &Cursor, timeout: Duration) {
        let end = Instant::now() + timeout;
        while Instant::now() < end && !self.seen.delays.have_all(cursor) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Closes the streams.
    pub fn end(mut self) -> WatchedFigures {
        self.streams.abort_all();
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        WatchedFigures {
            connect: self.took,
            frames: count(&self.seen.frames),
            bytes: count(&self.seen.bytes),
            lost: count(&self.seen.lost),
            arrived: self.seen.delays.finish(),
        }
    }
}

impl Seen {
    fn new(delays: Arc<Delays>) -> Self {
        Self { frames: AtomicU64::new(0), bytes: AtomicU64::new(0), lost: AtomicU64::new(0), delays }
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

async fn follow(mut socket: WebSocketStream<TcpStream>, noting: Option<usize>, seen: Arc<Seen>) {
    while let Some(Ok(message)) = socket.next().await {
        let at = Instant::now();
        match message {
            Message::Text(text) => {
                seen.frames.fetch_add(1, Ordering::Relaxed);
                seen.bytes.fetch_add(text.len() as u64, Ordering::Relaxed);
                let Some(watcher) = noting else { continue };
                let Ok(envelope) = serde_json::from_str::<Envelope<'_>>(&text) else { continue };
                if !envelope.more && envelope.kind != "heartbeat" {
                    let is_sample = envelope.kind == "event.logged";
                    seen.delays.note(watcher, envelope.cursor, &text, is_sample, at);
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
