//! The socket of an upgraded connection.
//!
//! The framework hides the socket behind a trait object, through which only one task can write. A socket that is shared
//! can be written to by the hub while the task of the stream waits for messages.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::UPGRADE;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use poem::Request;
use tokio::net::TcpStream;

/// The socket that a request can be upgraded to, as an extension of the request.
#[derive(Clone)]
pub struct Socket(Option<Arc<Mutex<Option<OnUpgrade>>>>);

impl Socket {
    /// Takes the right to upgrade from a request, if it asks for an upgrade.
    pub(super) fn of(request: &mut hyper::Request<Incoming>) -> Self {
        let asks = request.headers().contains_key(UPGRADE);
        Self(asks.then(|| Arc::new(Mutex::new(Some(hyper::upgrade::on(request))))))
    }

    /// The upgrade of a request. It can be taken once.
    pub(super) fn take(request: &Request) -> Option<Upgrading> {
        let socket = request.extensions().get::<Self>()?.0.as_ref()?;
        socket.lock().unwrap_or_else(PoisonError::into_inner).take().map(Upgrading)
    }
}

/// An upgrade that the server has not answered yet.
pub struct Upgrading(OnUpgrade);

impl Upgrading {
    /// The socket after the answer, and the bytes that the client sent early. None if the connection ended.
    pub(super) async fn socket(self) -> Option<(TcpStream, Bytes)> {
        let upgraded = self.0.await.ok()?;
        let parts = upgraded.downcast::<TokioIo<TcpStream>>().ok()?;
        // Even an empty part of the buffer of the HTTP library would keep its 8 KiB for as long as the connection
        // lasts.
        let early = if parts.read_buf.is_empty() { Bytes::new() } else { parts.read_buf };
        Some((parts.io.into_inner(), early))
    }
}
