//! A pipe: the writing side of a socket that the hub and the task of a stream share.
//!
//! The bytes that the peer does not take at once wait in the pipe, and no other bytes overtake them. Only the task of
//! the stream waits for the peer.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::frames::websocket_bytes;
use crate::protocol::limits;
use crate::server::hub::{Burst, DirectWriter, Offered};

/// How many bytes of answers to pings wait for the peer. A peer that sends pings and reads no answer is cut off there.
const ANSWERS: usize = 4 * 1024;

/// How many parts are written with one call. A first frame has four.
const PARTS_AT_ONCE: usize = 4;

/// The writing side of a socket.
pub(super) struct Pipe {
    socket: TcpStream,
    waiting: Mutex<VecDeque<Bytes>>,
}

impl Pipe {
    pub(super) fn new(socket: TcpStream) -> Self {
        Self { socket, waiting: Mutex::default() }
    }

    /// Writes these parts after all that wait. Fails if the peer does not take them in time.
    pub(super) async fn send(&self, parts: impl IntoIterator<Item = Bytes>) -> io::Result<()> {
        if self.push(parts)? {
            return Ok(());
        }
        let accepted = async {
            loop {
                self.socket.writable().await?;
                if self.push([])? {
                    return Ok(());
                }
            }
        };
        timeout(limits::FRAME_ACCEPT_TIME, accepted).await.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
    }

    /// Whether bytes wait for the peer.
    pub(super) fn is_behind(&self) -> bool {
        !self.waiting().is_empty()
    }

    /// Ends the writing side.
    pub(super) fn shut_down(&self) {
        #[cfg(unix)]
        let _ = rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Write);
    }

    /// Adds these parts and writes as much as the peer takes. Returns whether no byte waits.
    fn push(&self, parts: impl IntoIterator<Item = Bytes>) -> io::Result<bool> {
        let mut waiting = self.waiting();
        waiting.extend(parts.into_iter().filter(|part| !part.is_empty()));
        while !waiting.is_empty() {
            let mut slices = [IoSlice::new(&[]); PARTS_AT_ONCE];
            slices.iter_mut().zip(waiting.iter()).for_each(|(slice, part)| *slice = IoSlice::new(part));
            match self.socket.try_write_vectored(&slices[..waiting.len().min(PARTS_AT_ONCE)]) {
                Ok(written) => remove(&mut waiting, written),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
        }
        // A queue that is empty keeps no memory: most streams are idle most of the time.
        waiting.shrink_to_fit();
        Ok(true)
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Bytes>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes so many bytes from the front.
fn remove(waiting: &mut VecDeque<Bytes>, mut bytes: usize) {
    while let Some(front) = waiting.front_mut().filter(|_| bytes > 0) {
        let of_front = bytes.min(front.len());
        front.advance(of_front);
        bytes -= of_front;
        if front.is_empty() {
            waiting.pop_front();
        }
    }
}

/// The pipe as the hub sees it.
pub(super) struct Direct(pub(super) Arc<Pipe>);

impl DirectWriter for Direct {
    fn offer(&self, burst: &Burst) -> Offered {
        let mut waiting = self.0.waiting();
        if !waiting.is_empty() {
            return Offered::Nothing;
        }
        let mut bytes = websocket_bytes(burst);
        match self.0.socket.try_write(&bytes) {
            Ok(written) if written == bytes.len() => Offered::All,
            Ok(written) => {
                bytes.advance(written);
                waiting.push_back(bytes);
                Offered::Begun
            }
            // The task of the stream meets the error too, and ends the stream.
            Err(_) => Offered::Nothing,
        }
    }
}

/// The socket as tungstenite sees it: it reads messages, and writes whole frames that answer them.
pub(super) struct Duplex {
    pub(super) pipe: Arc<Pipe>,
    /// The bytes that the client sent together with its request.
    pub(super) early: Bytes,
}

impl AsyncRead for Duplex {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.early.is_empty() {
            let length = self.early.len().min(buffer.remaining());
            buffer.put_slice(&self.early.split_to(length));
            if self.early.is_empty() {
                self.early = Bytes::new();
            }
            return Poll::Ready(Ok(()));
        }
        loop {
            ready!(self.pipe.socket.poll_read_ready(context))?;
            match self.pipe.socket.try_read(buffer.initialize_unfilled()) {
                Ok(read) => {
                    buffer.advance(read);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Duplex {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let waits: usize = self.pipe.waiting().iter().map(Bytes::len).sum();
        if waits > ANSWERS + limits::OWED_BYTES {
            return Poll::Ready(Err(ErrorKind::TimedOut.into()));
        }
        Poll::Ready(self.pipe.push([Bytes::copy_from_slice(bytes)]).map(|_| bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pipe.shut_down();
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpListener, TcpStream};

    use super::Pipe;

    /// More parts than one call writes, and more bytes than a socket takes at once.
    #[tokio::test]
    async fn parts_arrive_whole_and_in_order() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (mut client, pipe) = (client.expect("a client"), Pipe::new(accepted.expect("a connection").0));
        let parts: Vec<_> = (0..40_u8).map(|at| Bytes::from(vec![at; usize::from(at) * 10_000])).collect();
        let reading = async {
            let mut read = Vec::new();
            client.read_to_end(&mut read).await.expect("all bytes");
            read
        };
        let sending = async {
            pipe.send(parts.clone()).await.expect("a peer that reads");
            assert!(!pipe.is_behind());
            pipe.shut_down();
        };
        let (read, ()) = tokio::join!(reading, sending);
        assert!(read == parts.concat(), "{} bytes", read.len());
    }
}
