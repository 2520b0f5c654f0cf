//! The stream over WebSocket.

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::client_async_with_config;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::link::{Closed, Events, MAX_MESSAGE, PATIENCE, incoming};
use crate::client::fetch::Target;
use crate::protocol::{Cursor, Incoming, WatchFrame};

/// Tungstenite clears its read buffer before each read: a small one is faster, and enough for notices.
const READ_BUFFER: usize = 4 * 1024;

/// Opens a stream and hands on what comes until it ends.
pub(super) async fn run(
    target: Target,
    since: Option<Cursor>,
    events: Events,
    mut outgoing: mpsc::Receiver<WatchFrame>,
) -> Closed {
    let mut url = target.url("ws");
    if let Some(since) = since {
        url.query_pairs_mut().append_pair("since", &since.to_string());
    }
    let (Some(host), Some(port)) = (url.host_str().map(str::to_owned), url.port_or_known_default()) else {
        return Closed::lost("no host");
    };
    // The URL is http, and says ws in a handshake.
    let request = match format!("ws{}", url.as_str().trim_start_matches("http")).into_client_request() {
        Ok(request) => request,
        Err(error) => return Closed::lost(error),
    };
    let host = host.trim_matches(['[', ']']);
    let tcp = match timeout(PATIENCE, TcpStream::connect((host, port))).await {
        Ok(Ok(tcp)) => tcp,
        Ok(Err(error)) => return Closed::lost(error),
        Err(_) => return Closed::lost("no answer"),
    };
    if let Err(error) = tcp.set_nodelay(true) {
        return Closed::lost(error);
    }
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE));
    let mut socket = match timeout(PATIENCE, client_async_with_config(request, tcp, Some(config))).await {
        Ok(Ok((socket, _))) => socket,
        Ok(Err(Error::Http(response))) => {
            return match response.status().as_u16() {
                401 | 403 => Closed::Refused(response.status().to_string()),
                // The server itself, and it has no room now.
                429 | 503 => Closed::lost(response.status()),
                _ => Closed::NotUpgraded(response.status().to_string()),
            };
        }
        Ok(Err(Error::Io(error))) => return Closed::lost(error),
        Ok(Err(error)) => return Closed::NotUpgraded(error.to_string()),
        Err(_) => return Closed::NotUpgraded("no answer".into()),
    };
    if !events.connected(true).await {
        return Closed::lost("given up");
    }
    loop {
        tokio::select! {
            message = socket.next() => {
                let incoming = match message {
                    Some(Ok(Message::Text(text))) => incoming(text.as_bytes()),
                    Some(Ok(Message::Binary(_))) => Incoming::Unknown(serde::de::IgnoredAny),
                    Some(Ok(Message::Close(Some(close)))) if close.code == CloseCode::Policy => {
                        return Closed::Refused(close.reason.to_string());
                    }
                    Some(Ok(Message::Close(_))) | None => return Closed::lost("the server closed the connection"),
                    Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                    Some(Err(error)) => return Closed::lost(error),
                };
                if !events.message(incoming).await {
                    return Closed::lost("given up");
                }
            }
            frame = outgoing.recv() => {
                let Some(frame) = frame else {
                    // Nobody listens any more: say so, but do not wait for it.
                    let _ = timeout(PATIENCE, socket.close(None)).await;
                    return Closed::lost("given up");
                };
                let text = match serde_json::to_string(&frame) {
                    Ok(text) => text,
                    Err(error) => return Closed::lost(error),
                };
                match timeout(PATIENCE, socket.send(Message::text(text))).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => return Closed::lost(error),
                    Err(_) => return Closed::lost("the server takes nothing"),
                }
            }
        }
    }
}
