//! WebSockets without a client behind them.

use std::net::{SocketAddr, TcpStream};

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// One that blocks its thread, so that nothing but the kernel is between the frame and whoever takes its time.
pub struct Blocking(tungstenite::WebSocket<TcpStream>);

impl Blocking {
    pub fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        let (socket, _) = tungstenite::client(format!("ws://{address}/ws"), stream).unwrap();
        let mut socket = Self(socket);
        socket.frame().unwrap();
        socket
    }

    /// The next frame's text; none at the end. Pings are answered.
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

/// How many events a frame tells of.
pub fn events_of(frame: &str) -> usize {
    let frame: Value = serde_json::from_str(frame).unwrap();
    match frame["type"].as_str() {
        Some("event.logged") => frame["count"].as_u64().map_or(1, |count| count as usize),
        _ => 0,
    }
}

/// One of many.
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

    /// The next frame's text; none at the end. Pings are answered.
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
