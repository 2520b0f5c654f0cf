//! A feed over WebSocket.
//!
//! This module answers the handshake, and tungstenite reads the client's messages. Frames are not sent through
//! tungstenite: the frames of a burst are written to the socket in one call, from a buffer that is freed afterwards. So
//! a frame costs a fraction of a system call, and an idle connection costs kilobytes. (Tungstenite either writes each
//! frame on its own or keeps a buffer as large as the largest frame, which is the first.)
//!
//! A client that breaks a rule gets the close code for that rule. The connection ends if the peer does not accept
//! frames in time, or sends no message for two and a half heartbeats. Pongs count as messages.

use std::borrow::Cow;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use poem::http::{HeaderValue, StatusCode, Version, header};
use poem::{OnUpgrade, Request, Response};
use serde_json::value::RawValue;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::CapacityError;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::task::TaskTracker;

use crate::protocol::Watch;
use crate::protocol::limits;
use crate::server::feed::{Burst, Feed, FeedLine};

/// The size of the read buffer. Clients send very little, and every connection holds one.
const READ_BUFFER: usize = 1024;
/// The size of tungstenite's write buffer. Tungstenite writes only pongs, and only the newest pong waits.
const MAX_WRITE_BUFFER: usize = 4 * 1024;

/// The first byte of a frame that is one complete message (RFC 6455, 5.2).
mod frame {
    pub(super) const TEXT: u8 = 0x81;
    pub(super) const CLOSE: u8 = 0x88;
    pub(super) const PING: u8 = 0x89;
}

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

/// The close code and the reason with which the server ends a connection. None: the connection ends without a close
/// frame.
type End = Option<(u16, &'static str)>;

/// The request is not a valid WebSocket upgrade (RFC 6455, 4.2.1). The text names the missing part.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a WebSocket upgrade: {0}")]
pub struct NotAnUpgrade(&'static str);

impl NotAnUpgrade {
    /// The method is another one than `GET`.
    pub const OTHER_METHOD: Self = Self("the method is not GET");
}

/// A valid request for an upgrade.
pub struct Upgrade {
    connection: OnUpgrade,
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
        let connection = request.take_upgrade().map_err(|_| NotAnUpgrade("the connection cannot be upgraded"))?;
        Ok(Self { connection, key })
    }

    /// Answers 101. Once the connection is upgraded, a task of `tasks` calls `run` with the socket.
    pub fn accept<F>(self, tasks: &TaskTracker, run: impl FnOnce(poem::Upgraded) -> F + Send + 'static) -> Response
    where
        F: Future<Output = ()> + Send,
    {
        let Self { connection, key } = self;
        tasks.spawn(async move {
            match connection.await {
                Ok(socket) => run(socket).await,
                Err(error) => tracing::debug!(%error, "a connection was not upgraded to a WebSocket"),
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
pub async fn run<S: AsyncRead + AsyncWrite + Unpin>(socket: S, mut feed: Feed, heartbeat: Duration) {
    let mut socket = server_side(socket).await;
    if let Some((code, reason)) = exchange(&mut socket, &mut feed, heartbeat).await {
        close(&mut socket, code, reason).await;
    }
}

/// Tells the client that its stream has no first frame. A page in a browser sees this close code. It would not see the
/// status of an answer that refuses the upgrade.
pub async fn fail<S: AsyncRead + AsyncWrite + Unpin>(socket: S) {
    close(&mut server_side(socket).await, code::SERVER_FAULT, "the first frame could not be read").await;
}

async fn server_side<S: AsyncRead + AsyncWrite + Unpin>(socket: S) -> WebSocketStream<S> {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(MAX_WRITE_BUFFER)
        .max_message_size(Some(limits::CLIENT_MESSAGE_BYTES))
        .max_frame_size(Some(limits::CLIENT_MESSAGE_BYTES));
    WebSocketStream::from_raw_socket(socket, Role::Server, Some(config)).await
}

async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut WebSocketStream<S>,
    feed: &mut Feed,
    heartbeat: Duration,
) -> End {
    let mut last_message = Instant::now();
    let mut ping = tokio::time::interval_at(last_message + heartbeat, heartbeat);
    loop {
        tokio::select! {
            burst = feed.next() => match burst {
                Some(Burst::Lines(lines)) => {
                    if !send(socket, frames(&lines)).await {
                        return None;
                    }
                }
                Some(Burst::Last(line)) => return come_back_later(socket, line).await,
                None => return Some((code::SERVER_FAULT, "the stream ended")),
            },
            message = socket.next() => {
                last_message = Instant::now();
                match message {
                    Some(Ok(message)) => match parse_watch(&message) {
                        Ok(Some(watch)) => {
                            let lines = match feed.watch(watch).await {
                                Ok(lines) => lines,
                                Err(error) => {
                                    tracing::warn!(%error, "could not look up the tasks that a stream watches");
                                    return come_back_later(socket, feed.closing()).await;
                                }
                            };
                            if !send(socket, frames(&lines)).await {
                                return None;
                            }
                            // A client may send many messages at once. Other tasks run between two of them.
                            tokio::task::yield_now().await;
                        }
                        Ok(None) => {}
                        Err(end) => return Some(end),
                    },
                    Some(Err(error)) => return end_after(&error),
                    None => return None,
                }
            }
            _ = ping.tick() => {
                if last_message.elapsed() > heartbeat * 5 / 2 || !send(socket, vec![frame::PING, 0]).await {
                    return None;
                }
            }
        }
    }
}

/// Sends the frame `closing`.
async fn come_back_later<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut WebSocketStream<S>, closing: FeedLine) -> End {
    send(socket, frames(&[closing])).await;
    Some((code::RESTART, "come back later"))
}

/// The bytes of these lines, each as one text frame.
fn frames(lines: &[FeedLine]) -> Vec<u8> {
    /// The longest header of a frame from a server, in bytes.
    const HEADER: usize = 10;
    let mut bytes = Vec::with_capacity(lines.iter().map(|line| HEADER + line.text.len()).sum());
    for line in lines {
        bytes.push(frame::TEXT);
        match line.text.len() {
            short @ ..126 => bytes.push(short as u8),
            medium @ ..0x1_0000 => {
                bytes.push(126);
                bytes.extend((medium as u16).to_be_bytes());
            }
            long => {
                bytes.push(127);
                bytes.extend((long as u64).to_be_bytes());
            }
        }
        bytes.extend_from_slice(line.text.as_bytes());
    }
    bytes
}

/// Writes complete frames, after flushing a pong that tungstenite may have begun to write. Returns false if the peer
/// does not accept them in time.
async fn send<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut WebSocketStream<S>, frames: Vec<u8>) -> bool {
    let written = async {
        socket.flush().await?;
        let raw = socket.get_mut();
        raw.write_all(&frames).await?;
        raw.flush().await?;
        Ok::<_, Error>(())
    };
    matches!(timeout(limits::FRAME_ACCEPT_TIME, written).await, Ok(Ok(())))
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
        Error::Capacity(CapacityError::MessageTooLong { .. }) | Error::Capacity(_) => {
            Some((code::TOO_BIG, "a message is at most 16 KiB"))
        }
        Error::Utf8(_) => Some((code::NOT_TEXT, "not UTF-8")),
        Error::Protocol(_) => Some((code::PROTOCOL, "not the WebSocket protocol")),
        _ => None,
    }
}

/// Sends a close frame and waits a moment for the peer to read it. Input is read until then: closing a socket with
/// unread input resets the connection, and the peer would lose the reason.
async fn close<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut WebSocketStream<S>, code: u16, reason: &str) {
    let mut frame = vec![frame::CLOSE, 2 + reason.len().min(123) as u8];
    frame.extend(code.to_be_bytes());
    frame.extend(reason.bytes().take(123));
    let linger = async {
        let _ = socket.flush().await;
        let raw = socket.get_mut();
        raw.write_all(&frame).await?;
        raw.shutdown().await?;
        let mut sink = [0; 1024];
        while raw.read(&mut sink).await? > 0 {}
        std::io::Result::Ok(())
    };
    let _ = timeout(limits::CLOSE_FRAME_TIME, linger).await;
}

#[cfg(test)]
mod tests {
    use tokio_tungstenite::tungstenite::protocol::{Role, WebSocket};

    use super::{FeedLine, Message, frames};

    #[test]
    fn frames_of_every_length_can_be_read() {
        let texts =
            [0, 1, 125, 126, 65_535, 65_536, 300_000].map(|length| "é".repeat(length / 2) + &"x".repeat(length % 2));
        let lines: Vec<_> = texts.iter().map(|text| FeedLine { text: text.as_str().into(), cursor: None }).collect();
        let mut client = WebSocket::from_raw_socket(std::io::Cursor::new(frames(&lines)), Role::Client, None);
        for text in texts {
            assert_eq!(client.read().expect("a frame"), Message::Text(text.into()));
        }
    }
}
