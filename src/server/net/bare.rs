//! A bare broadcast on the listener of the server: the baseline of `requery bench`.
//!
//! It accepts WebSockets as the server does, and sends each text to all of them: no database, no cursor, no filter, no
//! heartbeat. So the difference to a server is the cost of the rest, and no second WebSocket library is compiled.

use std::net::SocketAddr;

use bytes::{BufMut, Bytes, BytesMut};
use poem::{Endpoint, IntoResponse, Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::frames::text_frame;
use super::{listen, ws};

/// How many texts wait for one connection at most. A connection that lags further ends.
const WAITING: usize = 1024;
/// The size of the buffer for messages of the client, which are read and dropped.
const READ_BUFFER: usize = 256;

/// A running broadcast. It ends with [`BareBroadcast::stop`].
pub struct BareBroadcast {
    /// The address of the listener.
    pub address: SocketAddr,
    frames: broadcast::Sender<Bytes>,
    shutdown: CancellationToken,
    serving: JoinHandle<()>,
}

impl BareBroadcast {
    /// Listens on a free port of the loopback address.
    pub async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, shutdown) = (listener.local_addr()?, CancellationToken::new());
        let (frames, _) = broadcast::channel(WAITING);
        let endpoint = Websockets { frames: frames.clone(), tasks: TaskTracker::new(), ending: shutdown.clone() };
        let serving = tokio::spawn(listen::serve(listener, endpoint, shutdown.clone()));
        Ok(Self { address, frames, shutdown, serving })
    }

    /// Sends the text to every connection.
    pub fn send(&self, text: &str) {
        // Without a connection there is no receiver.
        let _ = self.frames.send(text_frame(text).into());
    }

    /// Ends all connections and waits for the end of the listener.
    pub async fn stop(self) {
        self.shutdown.cancel();
        let _ = self.serving.await;
    }
}

struct Websockets {
    frames: broadcast::Sender<Bytes>,
    tasks: TaskTracker,
    ending: CancellationToken,
}

impl Endpoint for Websockets {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        let upgrade = match ws::Upgrade::of(&request) {
            Ok(upgrade) => upgrade,
            Err(error) => return Ok(error.to_string().into_response()),
        };
        let (frames, ending) = (self.frames.subscribe(), self.ending.clone());
        Ok(upgrade.accept(&self.tasks, move |socket| async move {
            ending.run_until_cancelled(pass(socket, frames)).await;
        }))
    }
}

/// Writes the frames to the socket until one of them ends. All frames that wait are written at once.
async fn pass(socket: ws::UpgradedSocket, mut frames: broadcast::Receiver<Bytes>) {
    let mut dropped = [0; READ_BUFFER];
    let mut socket = socket.without_early_bytes();
    loop {
        tokio::select! {
            frame = frames.recv() => {
                let Ok(first) = frame else { return };
                let written = match frames.try_recv() {
                    Err(_) => socket.write_all(&first).await,
                    Ok(second) => {
                        let mut all = BytesMut::from(&first[..]);
                        all.put(second);
                        while let Ok(next) = frames.try_recv() {
                            all.put(next);
                        }
                        socket.write_all(&all).await
                    }
                };
                if written.is_err() || socket.flush().await.is_err() {
                    return;
                }
            }
            read = socket.read(&mut dropped) => {
                if !matches!(read, Ok(1..)) {
                    return;
                }
            }
        }
    }
}
