//! A faulty network: a TCP proxy that cuts, resets, stalls and delays connections, loses answers, refuses streams and
//! answers 404 by itself. It records the requests, and the frames that it passed on if a test wants them.

mod frame_reader;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use frame_reader::FrameReader;

/// A proxy in front of one server.
pub struct Proxy {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    ended: CancellationToken,
}

struct Shared {
    target: SocketAddr,
    state: watch::Sender<State>,
    /// Cancelling this token ends all open connections.
    connections: Mutex<CancellationToken>,
    requests: Mutex<Vec<String>>,
    answers: AtomicUsize,
    /// The frames that were passed on to the client, each with the time after that. None: no test wants them.
    frames: Mutex<Option<Vec<(Instant, Value)>>>,
}

#[derive(Clone, Copy, Default)]
struct State {
    upgrades: bool,
    stalled: bool,
    /// Each answer of this number is lost together with its connection. Zero loses none.
    lossy: usize,
    delay: Duration,
    /// Connections end with a reset.
    resets: bool,
    /// New connections get 404 from the proxy itself.
    missing: bool,
    /// No stream passes.
    streams_blocked: bool,
}

impl Proxy {
    /// Starts a proxy to `target` that lets WebSockets through only if `upgrades` is true.
    pub async fn start(target: SocketAddr, upgrades: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (state, _) = watch::channel(State { upgrades, ..State::default() });
        let (connections, requests, answers, frames) = Default::default();
        let shared = Arc::new(Shared { target, state, connections, requests, answers, frames });
        let ended = CancellationToken::new();
        let (serving, ending) = (shared.clone(), ended.clone());
        tokio::spawn(ending.run_until_cancelled_owned(async move {
            loop {
                let Ok((client, _)) = listener.accept().await else { continue };
                let shared = serving.clone();
                let open = shared.connections.lock().unwrap().clone();
                tokio::spawn(open.run_until_cancelled_owned(async move { shared.connect(client).await }));
            }
        }));
        Self { address, shared, ended }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Ends all open connections.
    pub fn cut(&self) {
        std::mem::take(&mut *self.shared.connections.lock().unwrap()).cancel();
    }

    /// Holds back all bytes, or lets them through again.
    pub fn stall(&self, stalled: bool) {
        self.shared.state.send_modify(|state| state.stalled = stalled);
    }

    /// Delays each piece that the server sends.
    pub fn delay(&self, delay: Duration) {
        self.shared.state.send_modify(|state| state.delay = delay);
    }

    /// Ends connections with a reset in place of an orderly end.
    pub fn reset_connections(&self, resets: bool) {
        self.shared.state.send_modify(|state| state.resets = resets);
    }

    /// Answers 404 by itself on each new connection.
    pub fn answer_missing(&self, missing: bool) {
        self.shared.state.send_modify(|state| state.missing = missing);
    }

    /// Lets no stream through.
    pub fn block_streams(&self, blocked: bool) {
        self.shared.state.send_modify(|state| state.streams_blocked = blocked);
    }

    /// The frames that were passed on to the client since the last call. The first call begins the record.
    pub fn take_frames(&self) -> Vec<(Instant, Value)> {
        self.shared.frames.lock().unwrap().replace(Vec::new()).unwrap_or_default()
    }

    /// Loses one of every `answers` answers: the server has done the request, and the client gets no answer.
    pub fn lose_one_answer_of(&self, answers: usize) {
        self.shared.state.send_modify(|state| state.lossy = answers);
    }

    /// The method and the path of each request so far. The requests of one connection are in their order.
    pub fn requests(&self) -> Vec<String> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// The number of streams opened so far.
    pub fn streams(&self) -> usize {
        let opens = |request: &&String| request.starts_with("GET /ws") || request.starts_with("GET /api/v1/stream");
        self.shared.requests.lock().unwrap().iter().filter(opens).count()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.ended.cancel();
        self.cut();
    }
}

impl Shared {
    async fn connect(&self, mut client: TcpStream) {
        let mut first = [0; 8];
        let upgrade = matches!(client.peek(&mut first).await, Ok(read) if first[..read].starts_with(b"GET /ws"));
        let State { upgrades, missing, resets, .. } = *self.state.borrow();
        if resets {
            let _ = client.set_zero_linger();
        }
        if missing {
            let _ = client.read(&mut [0; 4096]).await;
            let _ = client.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
            return;
        }
        if upgrade && !upgrades {
            let _ = client.read(&mut [0; 4096]).await;
            let _ =
                client.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
            return;
        }
        let Ok(server) = TcpStream::connect(self.target).await else { return };
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let upstream = self.pump(from_client, to_server, |bytes| self.admits(bytes), |_| (), false);
        let mut reader = FrameReader::default();
        let downstream =
            self.pump(from_server, to_client, |_| true, |bytes| self.note_frames(&mut reader, bytes), true);
        // The end of one direction ends the connection, since neither side half-closes.
        tokio::select! {
            () = upstream => {}
            () = downstream => {}
        }
    }

    async fn pump(
        &self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
        admits: impl Fn(&[u8]) -> bool,
        mut passed: impl FnMut(&[u8]),
        is_answer: bool,
    ) {
        let mut state = self.state.subscribe();
        let mut piece = vec![0; 16 * 1024];
        loop {
            let Ok(read @ 1..) = from.read(&mut piece).await else { return };
            if !admits(&piece[..read]) {
                return;
            }
            if state.wait_for(|state| !state.stalled).await.is_err() {
                return;
            }
            let State { delay, lossy, .. } = *state.borrow();
            if is_answer && lossy > 0 && self.answers.fetch_add(1, Ordering::Relaxed) % lossy == lossy - 1 {
                return;
            }
            if is_answer && !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            if to.write_all(&piece[..read]).await.is_err() {
                return;
            }
            passed(&piece[..read]);
        }
    }

    fn note_frames(&self, reader: &mut FrameReader, piece: &[u8]) {
        if let Some(frames) = &mut *self.frames.lock().unwrap() {
            let now = Instant::now();
            frames.extend(reader.read(piece).into_iter().map(|frame| (now, frame)));
        }
    }

    /// Records the request that a piece begins with, and says whether it passes. Each request of the clients fits into
    /// one piece.
    fn admits(&self, piece: &[u8]) -> bool {
        if let Some(request) = piece.split(|byte| *byte == b'\r').next().filter(|line| line.ends_with(b" HTTP/1.1")) {
            let request = String::from_utf8_lossy(request);
            let request = request.trim_end_matches(" HTTP/1.1").split('?').next().unwrap_or_default();
            let stream = request.starts_with("GET /ws") || request.starts_with("GET /api/v1/stream");
            self.requests.lock().unwrap().push(request.to_owned());
            return !(stream && self.state.borrow().streams_blocked);
        }
        true
    }
}
