//! A server that plays a script: a TCP listener on port 0 that speaks just enough HTTP, WebSocket and server-sent
//! events to break the contract at any place.
//!
//! Each connection to a stream plays the next part of the script, and the last part plays again and again. Answers to
//! fetches are a queue for each path; the last one repeats.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_util::sync::{CancellationToken, DropGuard};

/// What a connection to a stream gets.
#[derive(Clone)]
pub enum Part {
    /// A reset in the place of an answer.
    Reset,
    /// This status with these header lines, and no stream.
    Refused(u16, String),
    /// A stream with these steps. Afterwards it is open and silent.
    Stream(Vec<Step>),
}

#[derive(Clone)]
pub enum Step {
    /// Sends a message.
    Say(String),
    /// Waits for the client's `watch`, and confirms these read models, or those of the client.
    Confirm(Option<Vec<&'static str>>),
    /// Waits.
    Wait(Duration),
    /// Ends the connection with a reset.
    Cut,
    /// Ends the connection in order.
    Close,
    /// The same with this close code.
    CloseWith(u16),
    /// Confirms each `watch` from here on, and sends each message of [`Peer::say`].
    Serve,
}

/// The answer to a fetch.
#[derive(Clone)]
pub struct Answer {
    pub status: u16,
    /// The number of the cursor. None: the answer has no cursor.
    pub at: Option<u64>,
    pub headers: String,
    pub body: Value,
    pub after: Duration,
}

/// A request or a message of the client, or the end of a connection.
#[derive(Clone, Debug)]
pub struct Seen {
    pub at: Instant,
    /// `ws`, `sse`, `watch`, `close`, `gone`, or the path of a fetch.
    pub event: String,
    /// The number of `Requery-At-Least` or of `since`, or the list of a `watch`.
    pub detail: String,
}

pub struct Peer {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    _end: DropGuard,
}

struct Shared {
    websocket: Mutex<VecDeque<Part>>,
    events: Mutex<VecDeque<Part>>,
    answers: Mutex<BTreeMap<String, VecDeque<Answer>>>,
    seen: Mutex<Vec<Seen>>,
    said: broadcast::Sender<String>,
    /// The cursor of answers without a script and of `watching`.
    at: Mutex<u64>,
}

impl Peer {
    /// A server whose streams play these parts.
    pub async fn start(websocket: impl Into<VecDeque<Part>>, events: impl Into<VecDeque<Part>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            websocket: Mutex::new(websocket.into()),
            events: Mutex::new(events.into()),
            answers: Mutex::default(),
            seen: Mutex::default(),
            said: broadcast::channel(256).0,
            at: Mutex::new(1),
        });
        let end = CancellationToken::new();
        let (serving, ending) = (Arc::clone(&shared), end.clone());
        tokio::spawn(end.clone().run_until_cancelled_owned(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let connection = Arc::clone(&serving).connection(socket);
                tokio::spawn(ending.clone().run_until_cancelled_owned(connection));
            }
        }));
        Self { address, shared, _end: end.drop_guard() }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sends a message on each stream that [`Step::Serve`] plays.
    pub fn say(&self, message: impl Into<String>) {
        let _ = self.shared.said.send(message.into());
    }

    /// Answers without a script, and `watching`, have this cursor from now on.
    pub fn set_cursor(&self, at: u64) {
        *self.shared.at.lock().unwrap() = at;
    }

    /// The next answers to fetches of `path`. The last one repeats.
    pub fn answer(&self, path: &str, answers: impl Into<VecDeque<Answer>>) {
        self.shared.answers.lock().unwrap().insert(path.to_owned(), answers.into());
    }

    /// All events with this name.
    pub fn seen(&self, event: &str) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().iter().filter(|seen| seen.event == event).cloned().collect()
    }

    pub fn count(&self, event: &str) -> usize {
        self.seen(event).len()
    }

    /// Waits until `count` events with this name were seen.
    pub async fn until(&self, event: &str, count: usize) {
        for _ in 0..2000 {
            if self.count(event) >= count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{event} came {} times in ten seconds, not {count}", self.count(event));
    }
}

impl Answer {
    /// A body at this cursor.
    pub fn fresh(at: u64, body: Value) -> Self {
        Self { status: 200, at: Some(at), headers: String::new(), body, after: Duration::ZERO }
    }

    /// An error without a cursor.
    pub fn error(status: u16, headers: &str) -> Self {
        Self { status, at: None, headers: headers.to_owned(), body: json!({}), after: Duration::ZERO }
    }

    pub fn after(self, after: Duration) -> Self {
        Self { after, ..self }
    }
}

/// An empty page of bookmarks whose text differs for each number.
pub fn page(number: u64) -> Value {
    json!({"items": [], "next": number.to_string(), "previous": null})
}

pub fn cursor(at: u64) -> String {
    format!("run:{at}:{at}:")
}

/// The next of a script whose last part repeats.
fn take<T: Clone>(script: &mut VecDeque<T>) -> Option<T> {
    if script.len() > 1 { script.pop_front() } else { script.front().cloned() }
}

impl Shared {
    fn note(&self, event: &str, detail: impl Into<String>) {
        let seen = Seen { at: Instant::now(), event: event.to_owned(), detail: detail.into() };
        self.seen.lock().unwrap().push(seen);
    }

    /// Serves the requests of one connection, one after the other. A stream is the last of them.
    async fn connection(self: Arc<Self>, mut socket: TcpStream) {
        let _ = socket.set_nodelay(true);
        while let Some(head) = peek_head(&socket).await {
            let (path, since) = target(&head);
            if path == "/ws" {
                self.note("ws", since);
                let part = take(&mut self.websocket.lock().unwrap());
                return self.websocket(socket, part).await;
            }
            discard(&mut socket, head.len()).await;
            if path == "/api/v1/stream" {
                self.note("sse", since);
                let part = take(&mut self.events.lock().unwrap());
                return self.events(socket, part).await;
            }
            if !self.fetch(&mut socket, &head, &path).await {
                return;
            }
        }
    }

    async fn websocket(&self, mut socket: TcpStream, part: Option<Part>) {
        let steps = match part {
            None | Some(Part::Reset) => return reset(&socket),
            Some(Part::Refused(status, headers)) => return refuse(&mut socket, status, &headers).await,
            Some(Part::Stream(steps)) => steps,
        };
        let mut said = self.said.subscribe();
        let Ok(mut stream) = tokio_tungstenite::accept_async(socket).await else { return };
        for step in steps {
            match step {
                Step::Say(message) => drop(stream.send(Message::text(message)).await),
                Step::Confirm(list) => {
                    let Some(asked) = self.next_watch(&mut stream).await else { return };
                    let list = list.map_or(asked, |list| json!(list));
                    drop(stream.send(Message::text(self.watching(&list))).await);
                }
                Step::Wait(time) => tokio::time::sleep(time).await,
                Step::Cut => return reset(stream.get_ref()),
                Step::Close | Step::CloseWith(_) => {
                    let frame = match step {
                        Step::CloseWith(code) => Some(CloseFrame { code: code.into(), reason: "no".into() }),
                        _ => None,
                    };
                    let _ = stream.close(frame).await;
                    while let Some(Ok(_)) = stream.next().await {}
                    return;
                }
                Step::Serve => loop {
                    tokio::select! {
                        asked = self.next_watch(&mut stream) => {
                            let Some(asked) = asked else { return };
                            drop(stream.send(Message::text(self.watching(&asked))).await);
                        }
                        message = said.recv() => {
                            let Ok(message) = message else { return };
                            drop(stream.send(Message::text(message)).await);
                        }
                    }
                },
            }
        }
        while self.next_watch(&mut stream).await.is_some() {}
    }

    /// The list of the client's next `watch`. None: the connection ended.
    async fn next_watch(&self, stream: &mut tokio_tungstenite::WebSocketStream<TcpStream>) -> Option<Value> {
        loop {
            match stream.next().await {
                Some(Ok(Message::Text(message))) => {
                    let list = serde_json::from_str::<Value>(&message).unwrap()["payload"]["read_models"].take();
                    self.note("watch", list.to_string());
                    return Some(list);
                }
                Some(Ok(Message::Close(frame))) => {
                    let code = frame.map_or(0, |CloseFrame { code, .. }| code.into());
                    self.note("close", u16::to_string(&code));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => {
                    self.note("gone", "");
                    return None;
                }
            }
        }
    }

    fn watching(&self, list: &Value) -> String {
        let at = cursor(*self.at.lock().unwrap());
        json!({"type": "watching", "cursor": at, "payload": {"read_models": list}}).to_string()
    }

    async fn events(&self, mut socket: TcpStream, part: Option<Part>) {
        let steps = match part {
            None | Some(Part::Reset) => return reset(&socket),
            Some(Part::Refused(status, headers)) => return refuse(&mut socket, status, &headers).await,
            Some(Part::Stream(steps)) => steps,
        };
        let mut said = self.said.subscribe();
        let _ = socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n").await;
        for step in steps {
            match step {
                Step::Say(message) => drop(socket.write_all(format!("data: {message}\n\n").as_bytes()).await),
                Step::Confirm(_) => {}
                Step::Wait(time) => tokio::time::sleep(time).await,
                Step::Cut => return reset(&socket),
                Step::Close | Step::CloseWith(_) => return,
                Step::Serve => loop {
                    let mut byte = [0];
                    tokio::select! {
                        message = said.recv() => {
                            let Ok(message) = message else { return };
                            drop(socket.write_all(format!("data: {message}\n\n").as_bytes()).await);
                        }
                        _ = socket.read(&mut byte) => return,
                    }
                },
            }
        }
        while let Ok(1..) = socket.read(&mut [0; 64]).await {}
    }

    /// Answers a fetch. Returns whether the connection goes on.
    async fn fetch(&self, socket: &mut TcpStream, head: &str, path: &str) -> bool {
        let at_least = header(head, "requery-at-least").unwrap_or_default();
        self.note(path, at_least.split(':').nth(1).unwrap_or_default());
        let scripted = self.answers.lock().unwrap().get_mut(path).and_then(take);
        let answer = scripted.unwrap_or_else(|| Answer::fresh(*self.at.lock().unwrap(), page(0)));
        let mut ended = [0];
        tokio::select! {
            biased;
            () = tokio::time::sleep(answer.after) => {}
            // The client gave the request up.
            _ = socket.peek(&mut ended) => {
                self.note("given up", path);
                return false;
            }
        }
        let body = if answer.status == 304 { String::new() } else { answer.body.to_string() };
        let cursor = answer.at.map(|at| format!("requery-cursor: {}\r\n", cursor(at))).unwrap_or_default();
        let (status, headers, length) = (answer.status, &answer.headers, body.len());
        let head = format!("HTTP/1.1 {status} X\r\n{cursor}{headers}content-length: {length}\r\n\r\n");
        socket.write_all(format!("{head}{body}").as_bytes()).await.is_ok()
    }
}

/// The head of the next request, which stays in the socket. None: the connection ended.
async fn peek_head(socket: &TcpStream) -> Option<String> {
    let mut bytes = vec![0; 16 * 1024];
    for _ in 0..1000 {
        let read = socket.peek(&mut bytes).await.ok().filter(|read| *read > 0)?;
        if let Some(end) = bytes[..read].windows(4).position(|four| four == b"\r\n\r\n") {
            return Some(String::from_utf8_lossy(&bytes[..end + 4]).into_owned());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    None
}

async fn discard(socket: &mut TcpStream, length: usize) {
    let _ = socket.read_exact(&mut vec![0; length]).await;
}

/// The path of a request, and the number of its `since`.
fn target(head: &str) -> (String, String) {
    let target = head.split(' ').nth(1).unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let since = query.split('&').find_map(|pair| pair.strip_prefix("since=")).unwrap_or_default();
    let since = since.replace("%3A", ":");
    (path.to_owned(), since.split(':').nth(1).unwrap_or_default().to_owned())
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let lines = head.split("\r\n").filter_map(|line| line.split_once(": "));
    lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
}

async fn refuse(socket: &mut TcpStream, status: u16, headers: &str) {
    let answer = format!("HTTP/1.1 {status} X\r\n{headers}content-length: 0\r\nconnection: close\r\n\r\n");
    let _ = socket.write_all(answer.as_bytes()).await;
}

/// Ends the connection with a reset, once the socket is dropped.
fn reset(socket: &TcpStream) {
    let _ = socket.set_zero_linger();
}
