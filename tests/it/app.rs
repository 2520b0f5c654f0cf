//! A real server on a free port with a database of its own, and clients for HTTP, WebSockets and server-sent events.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use requery::server::config::ServerConfig;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::store::Store;

pub use crate::store::{Engine, by_engine, engine, now_ms, on_sqlite_only, sqlite3};

/// The longest time that a test waits for one condition before it fails. It is a bound and not an expected time.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// The same for work in the background, which gives way: beside five other tests it takes ten times as long as alone.
pub const BACKGROUND_PATIENCE: Duration = Duration::from_secs(90);

/// A running server.
pub struct App {
    pub address: SocketAddr,
    pub folder: Arc<TempDir>,
    shutdown: CancellationToken,
    crash: CancellationToken,
    /// Ends the server with the test and its clients: the connections count against the limit of the cluster.
    pub ends: Arc<DropGuard>,
    thread: JoinHandle<()>,
}

impl App {
    /// A server with an empty database.
    pub async fn start() -> Self {
        Self::start_with(|_| ()).await
    }

    /// The same, with other settings.
    pub async fn start_with(change: impl FnOnce(&mut ServerConfig)) -> Self {
        Self::start_in(Arc::new(TempDir::new().unwrap()), change).await
    }

    /// A server on the database in `folder`.
    pub async fn start_in(folder: Arc<TempDir>, change: impl FnOnce(&mut ServerConfig)) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), folder, change).await
    }

    /// The same at an address, so that a restarted server has the address of its predecessor.
    pub async fn start_at(address: SocketAddr, folder: Arc<TempDir>, change: impl FnOnce(&mut ServerConfig)) -> Self {
        let mut config = ServerConfig::new(Store::of(folder.path()).location());
        change(&mut config);
        // The server has threads of its own, since a test may block its thread while another process writes.
        let listener = bind(address).await;
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (shutdown, crash) = (CancellationToken::new(), CancellationToken::new());
        let (ready, is_ready) = tokio::sync::oneshot::channel();
        let (ending, crashing) = (shutdown.clone(), crash.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(crashing.run_until_cancelled(async {
                let listener = TcpListener::from_std(listener).unwrap();
                let ready = || ready.send(()).unwrap();
                requery::server::run(listener, config, ending, ready).await.unwrap();
            }));
        });
        timeout(PATIENCE, is_ready).await.unwrap().unwrap();
        let ends = Arc::new(shutdown.clone().drop_guard());
        Self { address, folder, shutdown, crash, ends, thread }
    }

    /// Ends the server as Ctrl-C does and gives back its folder.
    pub async fn stop(self) -> Arc<TempDir> {
        self.shutdown.cancel();
        self.ended().await
    }

    /// Cancels the tasks of the server wherever they are and gives back its folder.
    pub async fn crash(self) -> Arc<TempDir> {
        self.crash.cancel();
        self.ended().await
    }

    async fn ended(self) -> Arc<TempDir> {
        let thread = self.thread;
        tokio::task::spawn_blocking(move || thread.join().unwrap()).await.unwrap();
        self.folder
    }

    /// Starts the shutdown and does not wait for its end.
    pub fn begin_stop(&self) {
        self.shutdown.cancel();
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The file of the database, for a test that is about SQLite.
    pub fn path(&self) -> PathBuf {
        assert_eq!(engine(), Engine::Sqlite, "a test about a file runs on SQLite only");
        self.folder.path().join("requery.db")
    }

    /// The database.
    pub fn store(&self) -> Store {
        Store::of(self.folder.path())
    }

    /// Runs SQL in another process: `sqlite3` with its default pragmas, or `psql`.
    pub fn sql(&self, sql: &str) -> String {
        self.store().sql(sql)
    }

    /// Runs SQL in another process, and shows the write to the server: all later answers contain it. Without that, an
    /// answer from memory can lack the write until the server has noticed it.
    pub fn sql_seen(&self, sql: &str) -> String {
        let output = self.sql(sql);
        let mut socket = std::net::TcpStream::connect(self.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        // The server has no answer for a new id in memory, so it reads the database.
        let (host, id) = (self.address, uuid::Uuid::now_v7());
        let request = format!("GET /api/v1/tasks/{id} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).unwrap();
        socket.read_to_end(&mut Vec::new()).unwrap();
        output
    }

    /// Waits until all changes are folded: a change that another program deletes before is a doubt about the file.
    pub async fn until_folded(&self) {
        let store = self.store();
        let folded = async {
            while !store.is_folded() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(BACKGROUND_PATIENCE, folded).await.expect("the changes are folded in time");
    }

    /// Lets the server read its database, so that it knows each write of another program. The first frame of a stream can
    /// lack a write that the server does not know.
    pub async fn know_writes(&self) {
        static READS: AtomicU64 = AtomicU64::new(0);
        // No answer for this task is kept.
        let task = format!("0190b0a0-0000-7000-9000-{:012}", READS.fetch_add(1, Ordering::Relaxed));
        let answer = reqwest::get(self.url(&format!("/api/v1/tasks/{task}"))).await.unwrap();
        assert_eq!(answer.status(), 404);
    }

    /// Opens a WebSocket with a `query` such as `?project=p`.
    pub async fn ws(&self, query: &str) -> Ws {
        let (socket, _) = connect_async(format!("ws://{}/ws{query}", self.address)).await.unwrap();
        Ws(socket)
    }

    /// Opens a stream of server-sent events.
    pub async fn sse(&self, query: &str, headers: &str) -> Sse {
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        let host = self.address;
        let request = format!("GET /api/v1/stream{query} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut sse = Sse(BufReader::new(socket));
        while !sse.line().await.is_empty() {}
        sse
    }
}

/// Runs the cases of a test side by side, for cases that mostly wait. Each has a thread of its own, which it may block.
pub fn side_by_side<C: Send, R: Send>(cases: impl IntoIterator<Item = C>, run: impl AsyncFn(C) -> R + Sync) -> Vec<R> {
    let run = |case| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(case))
    };
    std::thread::scope(|scope| {
        let started: Vec<_> = cases.into_iter().map(|case| scope.spawn(|| run(case))).collect();
        started.into_iter().map(|case| case.join().expect("a case failed")).collect()
    })
}

/// Overwrites the first page of a table. No process may have the file open.
pub fn overwrite_first_page(path: &Path, table: &str) {
    sqlite3(path, "pragma wal_checkpoint(truncate)");
    let page: u64 =
        sqlite3(path, &format!("select rootpage from sqlite_schema where name = '{table}'")).parse().unwrap();
    let size: u64 = sqlite3(path, "pragma page_size").parse().unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &vec![0xff; size as usize], (page - 1) * size).unwrap();
}

/// A WebSocket client.
pub struct Ws(pub WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Ws {
    /// The next frame that is text.
    pub async fn frame(&mut self) -> Value {
        match self.next().await {
            Message::Text(text) => serde_json::from_str(&text).unwrap(),
            other => panic!("not a frame: {other:?}"),
        }
    }

    /// The next message other than a ping.
    pub async fn next(&mut self) -> Message {
        loop {
            match timeout(PATIENCE, self.0.next())
                .await
                .expect("no message in time")
                .expect("the stream ended")
                .unwrap()
            {
                Message::Ping(_) => {}
                other => return other,
            }
        }
    }

    pub async fn send(&mut self, message: Message) {
        self.0.send(message).await.unwrap();
    }

    pub async fn watch(&mut self, models: &[&str]) -> Value {
        let text = serde_json::json!({"type": "watch", "payload": {"read_models": models}}).to_string();
        self.send(Message::Text(text.into())).await;
        self.frame().await
    }

    /// The code and reason of the close frame that comes next.
    pub async fn closed(&mut self) -> (u16, String) {
        match self.next().await {
            Message::Close(Some(frame)) => (frame.code.into(), frame.reason.to_string()),
            other => panic!("not closed: {other:?}"),
        }
    }
}

/// A reader of server-sent events from the raw bytes of the connection.
pub struct Sse(BufReader<TcpStream>);

impl Sse {
    /// The next line without its line end. The sizes of the chunked coding come as lines too, and `event` skips them.
    async fn line(&mut self) -> String {
        let mut line = String::new();
        timeout(PATIENCE, self.0.read_line(&mut line)).await.expect("no line in time").unwrap();
        line.trim_end_matches(['\r', '\n']).to_owned()
    }

    /// The next event's frame and id.
    pub async fn event(&mut self) -> (Value, Option<String>) {
        let (mut data, mut id) = (None, None);
        loop {
            let line = self.line().await;
            if let Some(text) = line.strip_prefix("data: ") {
                data = Some(serde_json::from_str(text).unwrap());
            } else if let Some(text) = line.strip_prefix("id: ") {
                id = Some(text.to_owned());
            } else if line.is_empty()
                && let Some(data) = data.take()
            {
                return (data, id);
            }
        }
    }
}

/// The listener at an address. A connection of another test can have taken the port of a stopped server for a moment.
async fn bind(address: SocketAddr) -> std::net::TcpListener {
    let bound = async {
        loop {
            match std::net::TcpListener::bind(address) {
                Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                bound => return bound.unwrap(),
            }
        }
    };
    timeout(PATIENCE, bound).await.expect("the port is free in time")
}
