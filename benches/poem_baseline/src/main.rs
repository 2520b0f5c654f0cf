//! The bare server that the bounds compare requery with: it sends a text to every WebSocket, and does nothing else.
//!
//! The server is what a program gets from the same version of poem with its own feature `websocket`: poem's accept
//! loop, poem's router, one task for each connection and one broadcast channel of tokio. Three choices make the server
//! as fast as poem can be: TCP_NODELAY, read and write buffers of 4 KiB instead of 128 KiB, and one flush for all
//! messages that wait. There is no database, no cursor, no filter, no heartbeat and no check of the host.
//!
//! - `GET /ws` opens a WebSocket.
//! - `POST /broadcast?times=N` sends the body N times to every WebSocket. The server answers as soon as the messages
//!   are in the channel.
//! - `POST /nothing` reads the body and answers.

use std::io::Write;

use futures_util::{SinkExt, StreamExt};
use poem::http::{StatusCode, uri::Scheme};
use poem::listener::{Acceptor, TcpAcceptor};
use poem::web::websocket::{Message, WebSocket, WebSocketConfig};
use poem::web::{Data, LocalAddr, Query, RemoteAddr};
use poem::{EndpointExt, IntoResponse, Route, Server, get, handler, post};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;

/// The size of the buffers of a connection. Tungstenite fills a larger one with zeros before each read.
const BUFFER: usize = 4 * 1024;
/// How many messages wait for a connection at most. A connection that lags further loses the oldest of them; the bounds
/// send far fewer at once.
const WAITING: usize = 4 * 1024;

/// The channel to every connection.
type Broadcast = broadcast::Sender<String>;

/// Sends each message of the channel to the socket until one of them ends.
#[handler]
fn websocket(socket: WebSocket, Data(broadcast): Data<&Broadcast>) -> impl IntoResponse {
    let mut messages = broadcast.subscribe();
    let small = WebSocketConfig::default().read_buffer_size(BUFFER).write_buffer_size(BUFFER);
    socket.config(small).on_upgrade(|mut socket| async move {
        loop {
            tokio::select! {
                message = messages.recv() => {
                    let Ok(message) = message else { return };
                    if socket.feed(Message::Text(message)).await.is_err() {
                        return;
                    }
                    while let Ok(message) = messages.try_recv() {
                        if socket.feed(Message::Text(message)).await.is_err() {
                            return;
                        }
                    }
                    if socket.flush().await.is_err() {
                        return;
                    }
                }
                received = socket.next() => {
                    if !matches!(received, Some(Ok(_))) {
                        return;
                    }
                }
            }
        }
    })
}

#[handler]
fn send(text: String, Query(parameters): Query<Vec<(String, u32)>>, Data(broadcast): Data<&Broadcast>) -> StatusCode {
    let times = parameters.iter().find(|(name, _)| name == "times").map_or(1, |(_, times)| *times);
    for _ in 0..times {
        // Without a connection there is no receiver.
        let _ = broadcast.send(text.clone());
    }
    StatusCode::NO_CONTENT
}

#[handler]
fn nothing(_: String) -> StatusCode {
    StatusCode::NO_CONTENT
}

/// poem's acceptor, with TCP_NODELAY.
struct WithoutDelay(TcpAcceptor);

impl Acceptor for WithoutDelay {
    type Io = TcpStream;

    fn local_addr(&self) -> Vec<LocalAddr> {
        self.0.local_addr()
    }

    async fn accept(&mut self) -> std::io::Result<(TcpStream, LocalAddr, RemoteAddr, Scheme)> {
        let accepted = self.0.accept().await?;
        accepted.0.set_nodelay(true)?;
        Ok(accepted)
    }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("the bare server listens on http://{}", listener.local_addr()?);
    std::io::stdout().flush()?;
    let app = Route::new()
        .at("/ws", get(websocket))
        .at("/broadcast", post(send))
        .at("/nothing", post(nothing))
        .data(Broadcast::new(WAITING));
    Server::new_with_acceptor(WithoutDelay(TcpAcceptor::from_tokio(listener)?)).run(app).await
}
