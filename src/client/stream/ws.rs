//! The stream over WebSocket.

use std::time::SystemTime;

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::link::{CLOSE_TIMEOUT, MAX_STREAM_MESSAGE, STREAM_STEP_TIMEOUT, StreamEnd, StreamSender};
use crate::client::error_text;
use crate::client::fetch::ServerEndpoint;
use crate::client::retry_after::retry_after;
use crate::client::source::Source;
use crate::engine::Loss;
use crate::protocol::Cursor;

/// The size of the read buffer, in bytes. Tungstenite clears the buffer before each read, so a small one is faster.
/// Notices fit into it.
const CLIENT_READ_BUFFER: usize = 4 * 1024;

type Socket = WebSocketStream<TcpStream>;

/// Opens a stream and delivers its items until it ends.
pub(super) async fn run<S: Source>(
    source: S,
    endpoint: ServerEndpoint,
    since: Option<Cursor>,
    items: StreamSender<S>,
    outgoing: mpsc::Receiver<String>,
) -> StreamEnd {
    let opened = tokio::select! {
        opened = open(&source, &endpoint, since) => opened,
        () = items.unwanted() => return StreamEnd::unwanted(),
    };
    let mut socket = match opened {
        Ok(socket) => socket,
        Err(end) => return end,
    };
    let end = deliver(&source, &mut socket, &items, outgoing).await;
    // After an error or a close frame of the server this does nothing. The result is of no use.
    let _ = timeout(CLOSE_TIMEOUT, close(&mut socket)).await;
    end
}

async fn open<S: Source>(source: &S, endpoint: &ServerEndpoint, since: Option<Cursor>) -> Result<Socket, StreamEnd> {
    let mut url = endpoint.url(source.websocket_path());
    if let Some(since) = since {
        url.query_pairs_mut().append_pair("since", &since.to_string());
    }
    let (Some(host), Some(port)) = (url.host_str().map(str::to_owned), url.port_or_known_default()) else {
        return Err(StreamEnd::not_reached("the address has no host"));
    };
    // The handshake needs the scheme `ws`. The endpoint's scheme is always `http`.
    let request = format!("ws{}", url.as_str().trim_start_matches("http")).into_client_request();
    let request = request.map_err(|error| StreamEnd::failed(&error))?;
    let host = host.trim_matches(['[', ']']);
    let tcp = match timeout(STREAM_STEP_TIMEOUT, TcpStream::connect((host, port))).await {
        Ok(Ok(tcp)) => tcp,
        Ok(Err(error)) => {
            let causes = error_text::with_causes(&error);
            return Err(StreamEnd::not_reached(format!("could not connect to {host}:{port}: {causes}")));
        }
        Err(_) => return Err(StreamEnd::not_reached(format!("could not connect to {host}:{port}: no answer"))),
    };
    tcp.set_nodelay(true).map_err(|error| StreamEnd::failed(&error))?;
    let config = WebSocketConfig::default()
        .read_buffer_size(CLIENT_READ_BUFFER)
        .max_message_size(Some(MAX_STREAM_MESSAGE))
        .max_frame_size(Some(MAX_STREAM_MESSAGE));
    // An error from here on says that the server was reached and that the upgrade failed.
    match timeout(STREAM_STEP_TIMEOUT, client_async_with_config(request, tcp, Some(config))).await {
        Ok(Ok((socket, _))) => Ok(socket),
        Ok(Err(Error::Http(response))) => {
            Err(StreamEnd::by_status(response.status(), retry_after(response.headers(), SystemTime::now())))
        }
        Ok(Err(error)) => Err(StreamEnd::ended(format!("no WebSocket: {}", error_text::with_causes(&error)))),
        Err(_) => Err(StreamEnd::ended("no WebSocket: no answer")),
    }
}

async fn deliver<S: Source>(
    source: &S,
    socket: &mut Socket,
    items: &StreamSender<S>,
    mut outgoing: mpsc::Receiver<String>,
) -> StreamEnd {
    if !items.connected(true).await {
        return StreamEnd::unwanted();
    }
    loop {
        tokio::select! {
            message = socket.next() => {
                let message = match message {
                    Some(Ok(Message::Text(text))) => source.message(text.as_bytes()),
                    // The contract has no binary messages: this one is unknown.
                    Some(Ok(Message::Binary(bytes))) => source.message(&bytes),
                    Some(Ok(Message::Close(Some(frame)))) if frame.code == CloseCode::Policy => {
                        let reason = error_text::cut(&frame.reason);
                        let text = format!("the server closed the connection: {reason}");
                        return StreamEnd { loss: Loss::Refused(reason), text };
                    }
                    Some(Ok(Message::Close(_))) | None => return StreamEnd::ended("the server closed the connection"),
                    Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                    Some(Err(error)) => return StreamEnd::failed(&error),
                };
                if !items.message(message).await {
                    return StreamEnd::unwanted();
                }
            }
            message = outgoing.recv() => {
                let Some(message) = message else { return StreamEnd::unwanted() };
                match timeout(STREAM_STEP_TIMEOUT, socket.send(Message::text(message))).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => return StreamEnd::failed(&error),
                    Err(_) => return StreamEnd::ended("the server does not read"),
                }
            }
        }
    }
}

/// Sends a close frame, and reads until the server has closed the connection.
async fn close(socket: &mut Socket) {
    let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
    if socket.close(Some(frame)).await.is_ok() {
        while let Some(Ok(_)) = socket.next().await {}
    }
}
