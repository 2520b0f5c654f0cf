//! The accept loop: it accepts connections and hands their requests to an endpoint. Each resource that a peer can hold
//! has a bound.
//!
//! poem brings a loop of its own. This loop also sets TCP_NODELAY, ends connections that never finish their headers or
//! never read their answers, backs off instead of spinning when the process runs out of files, and waits for running
//! requests when the server ends. It speaks only HTTP/1.1: browsers speak HTTP/2 only over TLS, and detecting the
//! version would wait for the first bytes of a connection without a bound.
//!
//! hyper answers bytes that are no request, such as a URL with a raw `"`, by itself and without a body: it offers no
//! place for a problem document there. Rewriting the bytes before hyper reads them would need a parser of HTTP here.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use poem::endpoint::{DynEndpoint, ToDynEndpoint};
use poem::http::uri::Scheme;
use poem::web::{LocalAddr, RemoteAddr};
use poem::{Addr, Endpoint, Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::socket::Socket;
use crate::protocol::limits;

/// How long to wait after an accept that failed, so that running out of files does not take a core.
const BACK_OFF: Duration = Duration::from_millis(100);

/// Serves `endpoint` until `shutdown`, then waits a moment for running requests.
pub async fn serve(
    listener: TcpListener,
    endpoint: impl Endpoint<Output = Response> + 'static,
    shutdown: CancellationToken,
) {
    let endpoint: Arc<dyn DynEndpoint<Output = Response>> = Arc::new(ToDynEndpoint(endpoint));
    let permits = Arc::new(Semaphore::new(limits::CONNECTIONS));
    let connections = TaskTracker::new();
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(limits::HEADER_TIME).max_buf_size(limits::HEADER_BYTES);
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = accept(&listener, &permits) => accepted,
        };
        let (socket, remote, permit) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection");
                tokio::time::sleep(BACK_OFF).await;
                continue;
            }
        };
        let _ = socket.set_nodelay(true);
        // Other systems have no such option: there the system's limit on retransmissions ends the connection.
        #[cfg(target_os = "linux")]
        let _ = rustix::net::sockopt::set_tcp_user_timeout(&socket, limits::UNREAD_TIME.as_millis() as u32);
        let local = socket.local_addr().unwrap_or(remote);
        let endpoint = endpoint.clone();
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            let endpoint = endpoint.clone();
            let socket = Socket::of(&mut request);
            let mut request = Request::from((
                request,
                LocalAddr(Addr::SocketAddr(local)),
                RemoteAddr(Addr::SocketAddr(remote)),
                Scheme::HTTP,
            ));
            request.extensions_mut().insert(socket);
            async move { Ok::<_, std::convert::Infallible>(endpoint.get_response(request).await.into()) }
        });
        let connection = builder.serve_connection(TokioIo::new(socket), service).with_upgrades();
        let ending = shutdown.clone();
        connections.spawn(async move {
            let mut connection = std::pin::pin!(connection);
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = ending.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection ended with an error");
            }
            drop(permit);
        });
    }
    drop(listener);
    connections.close();
    let _ = tokio::time::timeout(limits::SHUTDOWN_TIME, connections.wait()).await;
}

async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, std::net::SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let permit = permits.clone().acquire_owned().await.map_err(std::io::Error::other)?;
    let (socket, remote) = listener.accept().await?;
    Ok((socket, remote, permit))
}
