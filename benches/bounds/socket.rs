//! Raw WebSockets, without the client module.

use std::net::{SocketAddr, TcpStream};

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// A WebSocket that blocks its thread. No scheduler of a runtime delays the reader when a frame arrives.
pub struct Blocking(tungstenite::WebSocket<TcpStream>);

impl Blocking {
    pub fn open(address: SocketAddr) -> Self {
        Self::try_open(address).unwrap().0
    }

    /// Returns the text of the first frame too. `None`: there is no server, or it takes no stream.
    pub fn try_open(address: SocketAddr) -> Option<(Self, tungstenite::Utf8Bytes)> {
        let stream = TcpStream::connect(address).ok()?;
        stream.set_nodelay(true).unwrap();
        let (socket, _) = tungstenite::client(format!("ws://{address}/ws"), stream).ok()?;
        let mut socket = Self(socket);
        let first = socket.frame()?;
        Some((socket, first))
    }

    /// The text of the next frame. `None` at the end of the stream. Answers pings.
    pub fn frame(&mut self) -> Option<tungstenite::Utf8Bytes> {
        loop {
            match self.0.read().ok()? {
                Message::Text(text) => return Some(text),
                Message::Ping(_) => self.0.flush().ok()?,
                Message::Close(_) => return None,
                _ => {}
            }
        }
    }
}

/// The number of events that a frame announces.
pub fn events_of(frame: &str) -> usize {
    let frame: Value = serde_json::from_str(frame).unwrap();
    match frame["type"].as_str() {
        Some("event.logged") => frame["count"].as_u64().map_or(1, |count| count as usize),
        _ => 0,
    }
}

/// A WebSocket on a shared runtime, for many connections.
pub struct Shared(WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>);

impl Shared {
    pub async fn open(address: SocketAddr) -> Self {
        let small = WebSocketConfig::default().read_buffer_size(4096).write_buffer_size(0);
        let url = format!("ws://{address}/ws");
        let (socket, _) = tokio_tungstenite::connect_async_with_config(url, Some(small), true).await.unwrap();
        let mut socket = Self(socket);
        socket.frame().await.unwrap();
        socket
    }

    /// The text of the next frame. `None` at the end of the stream. Answers pings.
    pub async fn frame(&mut self) -> Option<tungstenite::Utf8Bytes> {
        loop {
            match self.0.next().await?.ok()? {
                Message::Text(text) => return Some(text),
                Message::Ping(_) => self.0.flush().await.ok()?,
                Message::Close(_) => return None,
                _ => {}
            }
        }
    }
}
