//! A network between a server and Postgres that can fail.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::server::runtime;

/// The state of the network.
#[derive(Clone, Copy, PartialEq)]
pub enum Network {
    /// All bytes pass.
    Open,
    /// No byte passes, and connections stay open.
    Silent,
    /// The connections are closed, and so is each new one.
    Closed,
}

/// A proxy on threads of its own. A drop closes all connections.
pub struct Proxy {
    pub address: SocketAddr,
    network: watch::Sender<Network>,
    _runtime: Runtime,
}

impl Proxy {
    /// Starts a proxy to this port.
    pub fn start(port: u16) -> Self {
        let runtime = runtime();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (network, state) = watch::channel(Network::Open);
        runtime.spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                tokio::spawn(pass(client, port, state.clone()));
            }
        });
        Self { address, network, _runtime: runtime }
    }

    pub fn set(&self, network: Network) {
        self.network.send_replace(network);
    }
}

async fn pass(client: TcpStream, port: u16, mut state: watch::Receiver<Network>) {
    if !is_open(&mut state).await {
        return;
    }
    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    // The end of one direction is the end of the connection.
    tokio::select! {
        () = copy(from_client, to_server, state.clone()) => {}
        () = copy(from_server, to_client, state.clone()) => {}
    }
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut state: watch::Receiver<Network>) {
    let mut closed = state.clone();
    let copying = async {
        let mut part = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = from.read(&mut part).await {
            if !is_open(&mut state).await || to.write_all(&part[..read]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = copying => {}
        _ = closed.wait_for(|network| *network == Network::Closed) => {}
    }
}

/// Waits while the network is silent. Returns whether it is open then.
async fn is_open(state: &mut watch::Receiver<Network>) -> bool {
    state.wait_for(|network| *network != Network::Silent).await.is_ok_and(|network| *network == Network::Open)
}
