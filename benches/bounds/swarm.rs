//! Many cheap WebSockets on one thread: they count what arrives, and note when.
//!
//! A connection has no buffer of its own while no frame is half read, and reads into one buffer of its thread. So
//! thousands of connections cost the generator less than the server under test. Only the length, the kind, the count
//! and the cursor of a frame are looked at; no JSON is parsed.

use std::cell::RefCell;
use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::thread::JoinHandle;
use std::time::Duration;

use requery::protocol::Cursor;
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::machine;

/// How many connections are opened concurrently, unless the opening says more.
const AT_ONCE: usize = 200;
/// How many connections share one local address: a local address has some 28,000 ports.
const PER_ADDRESS: usize = 5_000;
/// The longest time for all connections to open.
const OPEN_TIMEOUT: Duration = Duration::from_secs(120);
/// The bytes that one read takes at most.
const READ: usize = 64 * 1024;
/// An empty pong, masked with zeros.
const PONG: [u8; 6] = [0x8a, 0x80, 0, 0, 0, 0];

/// How the connections of a swarm open.
#[derive(Clone)]
pub struct Opening {
    pub address: SocketAddr,
    pub count: usize,
    /// The path with its query.
    pub path: String,
    /// A message that each connection sends at once.
    pub message: Option<String>,
    /// Whether the server sends a first frame. A connection is live when it has that frame, or else the handshake.
    pub has_first_frame: bool,
    /// How many connections are opened concurrently.
    pub at_once: usize,
}

impl Opening {
    pub fn requery(address: SocketAddr, count: usize) -> Self {
        Self { address, count, path: "/ws".to_owned(), message: None, has_first_frame: true, at_once: AT_ONCE }
    }

    pub fn bare(address: SocketAddr, count: usize) -> Self {
        Self { has_first_frame: false, ..Self::requery(address, count) }
    }
}

/// A cursor that reached a connection.
#[derive(Clone, Copy)]
pub struct Arrival {
    connection: u32,
    cursor: u64,
    at: u64,
}

/// The figures of all connections.
#[derive(Default)]
pub struct Seen {
    pub live: AtomicUsize,
    live_at: AtomicU64,
    pub ended: AtomicUsize,
    pub frames: AtomicU64,
    pub bytes: AtomicU64,
    /// The events that the frames announce.
    pub events: AtomicU64,
    /// The frames that are the last of their flush.
    pub flushes: AtomicU64,
    /// The spread of the last frame that was no heartbeat; 0 if the frame has none.
    pub spread_ms: AtomicU64,
    notes_spread: AtomicBool,
    reached: Vec<AtomicU64>,
    keeps_cursors: AtomicBool,
    /// The text of the newest cursor of each connection, from the moment at which they are kept.
    cursors: Mutex<Vec<String>>,
    records: AtomicBool,
    arrivals: Mutex<Vec<Arrival>>,
    sample: Mutex<String>,
}

/// Open connections. A drop closes them.
pub struct Swarm {
    pub seen: Arc<Seen>,
    /// The time until the last connection was live.
    pub took: Duration,
    count: usize,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Swarm {
    /// Opens the connections on a thread of its own, which stays on the cores of the caller.
    pub fn open(opening: Opening) -> Self {
        let (began, count) = (machine::now(), opening.count);
        let mut swarm = Self::begin(opening);
        wait_until("all connections are live", OPEN_TIMEOUT, || swarm.seen.live.load(Ordering::SeqCst) == count);
        swarm.took = Duration::from_nanos(swarm.seen.live_at.load(Ordering::SeqCst) - began);
        swarm
    }

    /// Begins to open the connections.
    pub fn begin(opening: Opening) -> Self {
        let reached = (0..opening.count).map(|_| AtomicU64::new(0)).collect();
        let seen = Arc::new(Seen { reached, ..Seen::default() });
        let (stop, count) = (CancellationToken::new(), opening.count);
        let (seen_there, stop_there) = (seen.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let all = tokio::task::LocalSet::new();
            all.block_on(&runtime, async {
                stop_there.run_until_cancelled(open_all(opening, seen_there)).await;
            });
        });
        Self { seen, took: Duration::ZERO, count, stop, thread: Some(thread) }
    }

    /// The number of connections that do not have the changes of this cursor yet.
    pub fn behind(&self, cursor: u64) -> usize {
        self.seen.reached.iter().filter(|reached| reached.load(Ordering::Relaxed) < cursor).count()
    }

    /// The cursor that this connection has reached.
    pub fn reached(&self, connection: usize) -> u64 {
        self.seen.reached[connection].load(Ordering::Relaxed)
    }

    /// Keeps the newest cursor of each connection from now on: on Postgres a cursor is more than one number.
    pub fn keep_cursors(&self) {
        self.seen.cursors.lock().unwrap().resize(self.count, String::new());
        self.seen.keeps_cursors.store(true, Ordering::SeqCst);
    }

    /// The number of connections whose newest cursor does not satisfy this.
    pub fn lacking(&self, has: impl Fn(&Cursor) -> bool) -> usize {
        let is_lacking = |text: &&String| !text.parse().is_ok_and(|cursor| has(&cursor));
        self.seen.cursors.lock().unwrap().iter().filter(is_lacking).count()
    }

    /// The text of a frame that announced an event.
    pub fn sample(&self) -> String {
        self.seen.sample.lock().unwrap().clone()
    }

    /// Notes the spread of the frames from now on.
    pub fn note_spread(&self) {
        self.seen.notes_spread.store(true, Ordering::SeqCst);
    }

    /// Notes arrivals from now on.
    pub fn record(&self) {
        self.seen.arrivals.lock().unwrap().clear();
        self.seen.records.store(true, Ordering::SeqCst);
    }

    /// Stops to note arrivals. Returns for each connection and each change the time from the change to the first frame
    /// that contains the change, in milliseconds. `changes` are the cursors of the changes with their times, ascending.
    pub fn delays(&self, changes: &[(u64, u64)]) -> Vec<f64> {
        self.seen.records.store(false, Ordering::SeqCst);
        let mut arrivals = std::mem::take(&mut *self.seen.arrivals.lock().unwrap());
        arrivals.sort_by_key(|arrival| arrival.connection);
        let mut delays = Vec::with_capacity(changes.len() * self.count);
        for of_one in arrivals.chunk_by(|a, b| a.connection == b.connection) {
            let mut next = 0;
            for arrival in of_one {
                while let Some((_, at)) = changes.get(next).filter(|(cursor, _)| *cursor <= arrival.cursor) {
                    delays.push((arrival.at as f64 - *at as f64) / 1e6);
                    next += 1;
                }
            }
        }
        delays
    }
}

impl Drop for Swarm {
    fn drop(&mut self) {
        self.stop.cancel();
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Waits for a condition, and panics with its name if it does not come.
pub fn wait_until(name: &str, timeout: Duration, mut holds: impl FnMut() -> bool) {
    let end = machine::now() + timeout.as_nanos() as u64;
    while !holds() {
        assert!(machine::now() < end, "not within {timeout:?}: {name}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

async fn open_all(opening: Opening, seen: Arc<Seen>) {
    let turns = Arc::new(Semaphore::new(opening.at_once));
    let opening = Arc::new(opening);
    for number in 0..opening.count {
        let turn = turns.clone().acquire_owned().await.unwrap();
        let (opening, seen) = (opening.clone(), seen.clone());
        tokio::task::spawn_local(async move {
            let connection = Connection { number, rest: Vec::new(), is_open: false, is_live: false, pings: 0, seen };
            let seen = connection.seen.clone();
            if let Err(error) = connection.run(&opening, turn).await {
                eprintln!("a connection ended: {error}");
            }
            seen.ended.fetch_add(1, Ordering::SeqCst);
        });
    }
    std::future::pending::<()>().await;
}

struct Connection {
    number: usize,
    /// The bytes of a part that is not complete yet.
    rest: Vec<u8>,
    /// Whether the handshake is over.
    is_open: bool,
    is_live: bool,
    /// The pings that have no answer yet.
    pings: usize,
    seen: Arc<Seen>,
}

impl Connection {
    async fn run(mut self, opening: &Opening, turn: tokio::sync::OwnedSemaphorePermit) -> std::io::Result<()> {
        let socket = TcpSocket::new_v4()?;
        // A reset leaves no connection behind that waits for a minute. With some 40,000 of them the next ones take ten
        // times as long to open.
        socket.set_zero_linger()?;
        socket.set_nodelay(true)?;
        let last = 2 + (self.number / PER_ADDRESS) as u8;
        socket.bind(SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0)))?;
        let mut stream = socket.connect(opening.address).await?;
        let (path, host) = (&opening.path, opening.address);
        let mut asked = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        .into_bytes();
        if let Some(message) = &opening.message {
            asked.extend(masked_text(message));
        }
        stream.write_all(&asked).await?;
        drop(asked);
        let mut turn = Some(turn);
        loop {
            if read(&mut stream, |bytes| self.take(bytes, opening.has_first_frame)).await? == 0 {
                return Ok(());
            }
            if self.is_live {
                turn.take();
            }
            for _ in 0..std::mem::take(&mut self.pings) {
                let _ = stream.try_write(&PONG);
            }
        }
    }

    fn take(&mut self, bytes: &[u8], has_first_frame: bool) {
        if self.rest.is_empty() {
            let used = self.parse(bytes, has_first_frame);
            self.rest.extend_from_slice(&bytes[used..]);
        } else {
            let mut all = std::mem::take(&mut self.rest);
            all.extend_from_slice(bytes);
            let used = self.parse(&all, has_first_frame);
            self.rest.extend_from_slice(&all[used..]);
        }
    }

    /// Handles all complete parts. Returns their length.
    fn parse(&mut self, bytes: &[u8], has_first_frame: bool) -> usize {
        let mut at = 0;
        if !self.is_open {
            let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return 0 };
            let head = String::from_utf8_lossy(&bytes[..end]);
            assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
            (self.is_open, at) = (true, end + 4);
            if !has_first_frame {
                self.become_live();
            }
        }
        while let Some((kind, payload)) = frame(&bytes[at..]) {
            match kind {
                0x81 => {
                    self.handle_text(&bytes[at..][payload.clone()]);
                    if !self.is_live {
                        self.become_live();
                    }
                }
                0x89 => self.pings += 1,
                _ => {}
            }
            at += payload.end;
        }
        at
    }

    fn become_live(&mut self) {
        self.is_live = true;
        self.seen.live_at.fetch_max(machine::now(), Ordering::SeqCst);
        self.seen.live.fetch_add(1, Ordering::SeqCst);
    }

    fn handle_text(&self, text: &[u8]) {
        let seen = &self.seen;
        seen.frames.fetch_add(1, Ordering::Relaxed);
        seen.bytes.fetch_add(text.len() as u64, Ordering::Relaxed);
        let is_event = text.starts_with(br#"{"type":"event.logged""#);
        let events = if is_event { number_after(text, b"\"count\":").unwrap_or(1) } else { 0 };
        if is_event && seen.events.fetch_add(events, Ordering::Relaxed) == 0 {
            *seen.sample.lock().unwrap() = String::from_utf8_lossy(text).into_owned();
        }
        if find_last(text, b"\"more\":true").is_some() {
            return;
        }
        if !text.starts_with(br#"{"type":"heartbeat""#) {
            seen.flushes.fetch_add(1, Ordering::Relaxed);
            if seen.notes_spread.load(Ordering::Relaxed) {
                let spread = number_after(text, b"\"spread_ms\":").unwrap_or(0);
                seen.spread_ms.store(spread, Ordering::Relaxed);
            }
        }
        if seen.keeps_cursors.load(Ordering::Relaxed)
            && let Some(start) = find_last(text, b"\"cursor\":\"")
        {
            let cursor = text[start..].split(|byte| *byte == b'"').next().unwrap_or_default();
            let kept = &mut seen.cursors.lock().unwrap()[self.number];
            kept.clear();
            kept.push_str(&String::from_utf8_lossy(cursor));
        }
        let Some(cursor) = cursor_of(text) else { return };
        let before = seen.reached[self.number].fetch_max(cursor, Ordering::Relaxed);
        if before < cursor && seen.records.load(Ordering::Relaxed) {
            let connection = self.number as u32;
            seen.arrivals.lock().unwrap().push(Arrival { connection, cursor, at: machine::now() });
        }
    }
}

/// The kind of the first frame and the place of its payload. None: the frame is not complete.
fn frame(bytes: &[u8]) -> Option<(u8, std::ops::Range<usize>)> {
    let (kind, short) = (*bytes.first()?, usize::from(*bytes.get(1)?));
    let (head, length) = match short {
        126 => (4, usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?))),
        127 => (10, u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?) as usize),
        short => (2, short),
    };
    (bytes.len() >= head + length).then_some((kind, head..head + length))
}

/// The number of the cursor in a frame or in a header.
pub fn cursor_of(text: &[u8]) -> Option<u64> {
    let start = find_last(text, b"\"cursor\":\"")?;
    number_of_cursor(&text[start..])
}

/// The number of a cursor, which is `epoch:n:n:` on SQLite.
pub fn number_of_cursor(cursor: &[u8]) -> Option<u64> {
    let colon = cursor.iter().position(|byte| *byte == b':')?;
    let digits = cursor[colon + 1..].iter().take_while(|byte| byte.is_ascii_digit());
    Some(digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

fn number_after(text: &[u8], name: &[u8]) -> Option<u64> {
    let digits = text[find_last(text, name)?..].iter().take_while(|byte| byte.is_ascii_digit());
    Some(digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

/// The place behind the last occurrence of `name` in the last 200 bytes: the fields of the envelope stand at the end.
fn find_last(text: &[u8], name: &[u8]) -> Option<usize> {
    let from = text.len().saturating_sub(200);
    text[from..].windows(name.len()).rposition(|part| part == name).map(|place| from + place + name.len())
}

fn masked_text(text: &str) -> Vec<u8> {
    let mut bytes = vec![0x81];
    match text.len() {
        short @ ..126 => bytes.push(0x80 | short as u8),
        long => {
            bytes.push(0x80 | 126);
            bytes.extend(u16::try_from(long).unwrap().to_be_bytes());
        }
    }
    bytes.extend([0; 4]);
    bytes.extend(text.as_bytes());
    bytes
}

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ]);
}

/// Reads once, and hands the bytes on. Returns their number; 0 at the end.
async fn read(stream: &mut TcpStream, mut take: impl FnMut(&[u8])) -> std::io::Result<usize> {
    poll_fn(|context| {
        BUFFER.with_borrow_mut(|buffer| {
            let mut buffer = ReadBuf::new(buffer);
            match Pin::new(&mut *stream).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) => {
                    take(buffer.filled());
                    Poll::Ready(Ok(buffer.filled().len()))
                }
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                Poll::Pending => Poll::Pending,
            }
        })
    })
    .await
}
