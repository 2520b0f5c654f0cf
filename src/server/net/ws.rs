//! A feed over WebSocket.
//!
//! This module answers the handshake, and tungstenite reads the client's messages. Frames are not sent through
//! tungstenite: while the task of a stream waits, the hub writes the frames of a burst to the socket in one call, from
//! bytes that all streams share (see [`super::pipe`]). So a frame costs a fraction of a system call and wakes no task,
//! and an idle connection costs kilobytes. (Tungstenite either writes each frame on its own or keeps a buffer as large
//! as the largest frame, which is the first.)
//!
//! A client that breaks a rule gets the close code for that rule. The connection ends if the peer does not accept
//! frames in time, or sends no message for two and a half heartbeats. Pongs count as messages.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use poem::http::{HeaderValue, StatusCode, Version, header};
use poem::{Request, Response};
use serde_json::value::RawValue;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::task::TaskTracker;

use super::frames::{PING, close_frame, text_frame, text_header, websocket_bytes};
use super::pipe::{Direct, Duplex, Pipe};
use super::socket::{Socket, Upgrading};
use crate::protocol::Watch;
use crate::protocol::limits;
use crate::server::feed::{Feed, Outgoing};

/// The size of the read buffer. Clients send very little, and every connection holds one.
const READ_BUFFER: usize = 512;
/// The size of tungstenite's write buffer. Tungstenite writes only pongs, and only the newest pong waits.
const MAX_WRITE_BUFFER: usize = 4 * 1024;

/// Close codes (RFC 6455, 7.4.1).
mod code {
    pub(super) const PROTOCOL: u16 = 1002;
    pub(super) const UNSUPPORTED: u16 = 1003;
    pub(super) const NOT_TEXT: u16 = 1007;
    pub(super) const POLICY: u16 = 1008;
    pub(super) const TOO_BIG: u16 = 1009;
    pub(super) const SERVER_FAULT: u16 = 1011;
    pub(super) const RESTART: u16 = 1012;
}

/// How a connection ends.
enum End {
    /// The peer is gone, or takes no bytes.
    Lost,
    /// The client sent a close frame.
    ByClient,
    /// The server sends a close frame with this code and this reason.
    ByServer(u16, &'static str),
}

/// The end behind the frame `closing`.
const COME_BACK_LATER: End = End::ByServer(code::RESTART, "come back later");

/// The request is not a valid WebSocket upgrade (RFC 6455, 4.2.1). The text names the missing part.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a WebSocket upgrade: {0}")]
pub struct NotAnUpgrade(&'static str);

impl NotAnUpgrade {
    /// The method is another one than `GET`.
    pub const OTHER_METHOD: Self = Self("the method is not GET");
}

/// The socket of an upgraded connection, with the bytes that the client sent early.
pub struct UpgradedSocket {
    socket: TcpStream,
    early: Bytes,
}

impl UpgradedSocket {
    /// The socket alone, for a connection on which the messages of the client have no meaning.
    pub(super) fn without_early_bytes(self) -> TcpStream {
        self.socket
    }
}

/// A valid request for an upgrade.
pub struct Upgrade {
    connection: Upgrading,
    key: HeaderValue,
}

impl Upgrade {
    /// Checks the request.
    pub fn of(request: &Request) -> Result<Self, NotAnUpgrade> {
        let headers = request.headers();
        let has = |name, word: &str| {
            let values = headers.get_all(name).iter().filter_map(|value: &HeaderValue| value.to_str().ok());
            values.flat_map(|value| value.split(',')).any(|value| value.trim().eq_ignore_ascii_case(word))
        };
        // A proxy that speaks HTTP/1.0 to the server, as nginx does by default, cannot pass an upgrade on.
        if request.version() < Version::HTTP_11 {
            return Err(NotAnUpgrade(
                "it needs HTTP/1.1, and the request is HTTP/1.0 (nginx needs `proxy_http_version 1.1`)",
            ));
        }
        if !has(header::CONNECTION, "upgrade") || !has(header::UPGRADE, "websocket") {
            return Err(NotAnUpgrade("Connection: Upgrade and Upgrade: websocket are missing"));
        }
        if !has(header::SEC_WEBSOCKET_VERSION, "13") {
            return Err(NotAnUpgrade("Sec-WebSocket-Version is not 13"));
        }
        let mut keys = headers.get_all(header::SEC_WEBSOCKET_KEY).iter();
        let key = keys.next().cloned().ok_or(NotAnUpgrade("Sec-WebSocket-Key is missing"))?;
        if keys.next().is_some() || !is_16_bytes(key.as_bytes()) {
            return Err(NotAnUpgrade("Sec-WebSocket-Key is not one text of 16 bytes in base64"));
        }
        let connection = Socket::take(request).ok_or(NotAnUpgrade("the connection cannot be upgraded"))?;
        Ok(Self { connection, key })
    }

    /// Answers 101. Once the connection is upgraded, a task of `tasks` calls `run` with the socket.
    pub fn accept<F>(self, tasks: &TaskTracker, run: impl FnOnce(UpgradedSocket) -> F + Send + 'static) -> Response
    where
        F: Future<Output = ()> + Send,
    {
        let Self { connection, key } = self;
        tasks.spawn(async move {
            match connection.socket().await {
                Some((socket, early)) => run(UpgradedSocket { socket, early }).await,
                None => tracing::debug!("a connection was not upgraded to a WebSocket"),
            }
        });
        Response::builder()
            .status(StatusCode::SWITCHING_PROTOCOLS)
            .header(header::CONNECTION, "upgrade")
            .header(header::UPGRADE, "websocket")
            .header(header::SEC_WEBSOCKET_ACCEPT, derive_accept_key(key.as_bytes()))
            .finish()
    }
}

/// Whether the text is the base64 of 16 bytes.
fn is_16_bytes(base64: &[u8]) -> bool {
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    base64.strip_suffix(b"==").is_some_and(|digits| digits.len() == 22 && digits.iter().all(is_digit))
}

/// Sends `feed` to `socket` until one of them ends.
///
/// The steps of a stream that is not idle are boxed, here and in [`exchange`]: an idle stream keeps no room for them.
pub async fn run(socket: UpgradedSocket, mut feed: Feed, heartbeat: Duration) {
    let (pipe, mut messages) = server_side(socket).await;
    feed.write_directly(Box::new(Direct(pipe.clone())));
    let end = exchange(&pipe, &mut messages, &mut feed, heartbeat).await;
    // The hub writes nothing behind the close frame: a stream that left is not written to.
    drop(feed);
    match end {
        End::Lost => {}
        End::ByClient => Box::pin(answer_close(&pipe, messages)).await,
        End::ByServer(code, reason) => Box::pin(close(&pipe, messages, code, reason)).await,
    }
}

/// Tells the client that its stream has no first frame. A page in a browser sees this close code. It would not see the
/// status of an answer that refuses the upgrade.
pub async fn fail(socket: UpgradedSocket) {
    let (pipe, messages) = server_side(socket).await;
    close(&pipe, messages, code::SERVER_FAULT, "the first frame could not be read").await;
}

type Messages = WebSocketStream<Duplex>;

async fn server_side(socket: UpgradedSocket) -> (Arc<Pipe>, Messages) {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(MAX_WRITE_BUFFER)
        .max_message_size(Some(limits::CLIENT_MESSAGE_BYTES))
        .max_frame_size(Some(limits::CLIENT_MESSAGE_BYTES));
    let pipe = Arc::new(Pipe::new(socket.socket));
    let duplex = Duplex { pipe: pipe.clone(), early: socket.early };
    (pipe, WebSocketStream::from_raw_socket(duplex, Role::Server, Some(config)).await)
}

async fn exchange(pipe: &Pipe, messages: &mut Messages, feed: &mut Feed, heartbeat: Duration) -> End {
    let mut last_message = Instant::now();
    loop {
        tokio::select! {
            next = feed.next() => {
                let is_silent = last_message.elapsed() > heartbeat * 5 / 2;
                match next {
                    Some(Outgoing::Heartbeat(_)) if is_silent => return End::Lost,
                    Some(outgoing) => {
                        if let Some(end) = Box::pin(write(pipe, outgoing)).await {
                            return end;
                        }
                    }
                    // A feed ends behind its last part only, and that part ends the exchange.
                    None => return COME_BACK_LATER,
                }
            }
            message = messages.next() => {
                last_message = Instant::now();
                match message {
                    Some(Ok(Message::Close(_))) => return End::ByClient,
                    Some(Ok(message)) => match parse_watch(&message) {
                        Ok(Some(watch)) => {
                                                        for outgoing in Box::pin(feed.watch(watch)).await {
                                if let Some(end) = Box::pin(write(pipe, outgoing)).await {
                                    return end;
                                }
                            }
                            // A client may send many messages at once. Other tasks run between two of them.
                            tokio::task::yield_now().await;
                        }
                        // The answer to a ping can wait for the peer.
                        Ok(None) if messages.flush().await.is_err() => return End::Lost,
                        Ok(None) if pipe.is_behind() && pipe.send([]).await.is_err() => return End::Lost,
                        Ok(None) => {}
                        Err((code, reason)) => return End::ByServer(code, reason),
                    },
                    Some(Err(error)) => return end_after(&error),
                    None => return End::Lost,
                }
            }
        }
    }
}

/// Sends a part of a feed. Returns how the connection ends, if it ends with this part.
async fn write(pipe: &Pipe, outgoing: Outgoing) -> Option<End> {
    let is_last = matches!(outgoing, Outgoing::Last(..));
    let sent = match outgoing {
        Outgoing::First(first) => {
            pipe.send(std::iter::once(text_header(first.text_bytes())).chain(first.parts())).await
        }
        Outgoing::Burst(burst) => pipe.send([websocket_bytes(&burst)]).await,
        // The pipe has the rest of the burst, and writes it before any other byte.
        Outgoing::Rest => pipe.send([]).await,
        Outgoing::Line(line) | Outgoing::Last(line, _) => pipe.send([text_frame(&line.text).into()]).await,
        Outgoing::Heartbeat(line) => pipe.send([text_frame(&line.text).into(), Bytes::from_static(&PING)]).await,
    };
    match sent {
        _ if is_last => Some(COME_BACK_LATER),
        Ok(()) => None,
        Err(_) => Some(End::Lost),
    }
}

/// A message of a client, before its payload is read. A full list of read models is then parsed once and never copied.
#[derive(serde::Deserialize)]
struct ClientMessage<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    payload: &'a RawValue,
}

fn parse_watch(message: &Message) -> Result<Option<Watch>, (u16, &'static str)> {
    let text = match message {
        Message::Text(text) => text,
        Message::Binary(_) => return Err((code::UNSUPPORTED, "text frames only")),
        Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_) => return Ok(None),
    };
    let invalid = (code::POLICY, "expected {type: watch, payload: {read_models: [overview, bookmarks, task:<id>]}}");
    let parsed = serde_json::from_str::<&RawValue>(text).map_err(|_| (code::NOT_TEXT, "not JSON"))?;
    // serde also reads a struct from a JSON array, but the contract allows only objects.
    let is_object = |json: &RawValue| json.get().starts_with('{');
    let message = is_object(parsed).then(|| serde_json::from_str::<ClientMessage<'_>>(parsed.get()).ok()).flatten();
    let message = message.filter(|message| message.kind == "watch" && is_object(message.payload)).ok_or(invalid)?;
    let watch: Watch = serde_json::from_str(message.payload.get()).map_err(|_| invalid)?;
    if watch.read_models.len() > limits::WATCHED_READ_MODELS {
        return Err((code::POLICY, "payload.read_models: at most 256"));
    }
    Ok(Some(watch))
}

fn end_after(error: &Error) -> End {
    match error {
        Error::Capacity(_) => End::ByServer(code::TOO_BIG, "a message is at most 16 KiB"),
        Error::Utf8(_) => End::ByServer(code::NOT_TEXT, "not UTF-8"),
        Error::Protocol(_) => End::ByServer(code::PROTOCOL, "not the WebSocket protocol"),
        _ => End::Lost,
    }
}

/// Lets tungstenite answer the close frame of the client. No frame follows the answer.
async fn answer_close(pipe: &Pipe, mut messages: Messages) {
    let answer = async {
        // Tungstenite tells a good end as an error.
        let _ = messages.flush().await;
        pipe.send([]).await?;
        pipe.shut_down();
        std::io::Result::Ok(())
    };
    let _ = timeout(limits::CLOSE_FRAME_TIME, answer).await;
}

/// Sends a close frame and waits a moment for the peer to read it. Input is read until then: closing a socket with
/// unread input resets the connection, and the peer would lose the reason.
async fn close(pipe: &Pipe, mut messages: Messages, code: u16, reason: &str) {
    let linger = async {
        pipe.send([close_frame(code, reason)]).await?;
        pipe.shut_down();
        let mut sink = [0; 1024];
        while messages.get_mut().read(&mut sink).await? > 0 {}
        std::io::Result::Ok(())
    };
    let _ = timeout(limits::CLOSE_FRAME_TIME, linger).await;
}
