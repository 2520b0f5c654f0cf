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

use super::link::{MAX_STREAM_MESSAGE, STREAM_STEP_TIMEOUT, StreamEnd, StreamSender, frame_from_json};
use crate::client::fetch::ServerEndpoint;
use crate::protocol::{Cursor, Incoming, UnknownFrame, WatchFrame};

/// The size of the read buffer, in bytes. Tungstenite clears the buffer before each read, so a small one is faster.
/// Notices fit into it.
const CLIENT_READ_BUFFER: usize = 4 * 1024;

/// Opens a stream and delivers its items until it ends.
pub(super) async fn run(
    endpoint: ServerEndpoint,
    since: Option<Cursor>,
    items: StreamSender,
    mut outgoing: mpsc::Receiver<WatchFrame>,
) -> StreamEnd {
    let mut url = endpoint.url("ws");
    if let Some(since) = since {
        url.query_pairs_mut().append_pair("since", &since.to_string());
    }
    let (Some(host), Some(port)) = (url.host_str().map(str::to_owned), url.port_or_known_default()) else {
        return StreamEnd::lost("the address has no host");
    };
    // The handshake needs the scheme `ws`. The endpoint's scheme is always `http`.
    let request = match format!("ws{}", url.as_str().trim_start_matches("http")).into_client_request() {
        Ok(request) => request,
        Err(error) => return StreamEnd::lost(error),
    };
    let host = host.trim_matches(['[', ']']);
    let tcp = match timeout(STREAM_STEP_TIMEOUT, TcpStream::connect((host, port))).await {
        Ok(Ok(tcp)) => tcp,
        Ok(Err(error)) => return StreamEnd::lost(error),
        Err(_) => return StreamEnd::lost("no answer"),
    };
    if let Err(error) = tcp.set_nodelay(true) {
        return StreamEnd::lost(error);
    }
    let config = WebSocketConfig::default()
        .read_buffer_size(CLIENT_READ_BUFFER)
        .max_message_size(Some(MAX_STREAM_MESSAGE))
        .max_frame_size(Some(MAX_STREAM_MESSAGE));
    let mut socket = match timeout(STREAM_STEP_TIMEOUT, client_async_with_config(request, tcp, Some(config))).await {
        Ok(Ok((socket, _))) => socket,
        Ok(Err(Error::Http(response))) => {
            return match response.status().as_u16() {
                401 | 403 => StreamEnd::Refused(response.status().to_string()),
                // These come from the server itself when it is full. They do not mean that upgrades fail.
                429 | 503 => StreamEnd::lost(response.status()),
                _ => StreamEnd::NotUpgraded(response.status().to_string()),
            };
        }
        Ok(Err(Error::Io(error))) => return StreamEnd::lost(error),
        Ok(Err(error)) => return StreamEnd::NotUpgraded(error.to_string()),
        Err(_) => return StreamEnd::NotUpgraded("no answer".into()),
    };
    if !items.connected(true).await {
        return StreamEnd::lost("the client ended the stream");
    }
    loop {
        tokio::select! {
            message = socket.next() => {
                let incoming = match message {
                    Some(Ok(Message::Text(text))) => frame_from_json(text.as_bytes()),
                    Some(Ok(Message::Binary(_))) => Incoming::Unknown(UnknownFrame::default()),
                    Some(Ok(Message::Close(Some(close)))) if close.code == CloseCode::Policy => {
                        return StreamEnd::Refused(close.reason.to_string());
                    }
                    Some(Ok(Message::Close(_))) | None => return StreamEnd::lost("the server closed the connection"),
                    Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                    Some(Err(error)) => return StreamEnd::lost(error),
                };
                if !items.frame(incoming).await {
                    return StreamEnd::lost("the client ended the stream");
                }
            }
            frame = outgoing.recv() => {
                let Some(frame) = frame else {
                    // The driver has dropped the stream. Close it, and ignore the result.
                    let _ = timeout(STREAM_STEP_TIMEOUT, socket.close(None)).await;
                    return StreamEnd::lost("the client ended the stream");
                };
                let text = match serde_json::to_string(&frame) {
                    Ok(text) => text,
                    Err(error) => return StreamEnd::lost(error),
                };
                match timeout(STREAM_STEP_TIMEOUT, socket.send(Message::text(text))).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => return StreamEnd::lost(error),
                    Err(_) => return StreamEnd::lost("the server does not read"),
                }
            }
        }
    }
}
