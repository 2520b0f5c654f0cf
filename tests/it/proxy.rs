//! A network that can be made bad: a TCP proxy that cuts, stalls, delays and refuses upgrades, and writes down what is
//! asked for.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The way to one server.
pub struct Proxy {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    ended: CancellationToken,
}

struct Shared {
    target: SocketAddr,
    state: watch::Sender<State>,
    /// The connections there are; cancelled, they end.
    connections: Mutex<CancellationToken>,
    asked: Mutex<Vec<String>>,
    answers: AtomicUsize,
}

#[derive(Clone, Copy, Default)]
struct State {
    upgrades: bool,
    stalled: bool,
    /// Of so many answers one is lost together with its connection; none if zero.
    lossy: usize,
    delay: Duration,
}

impl Proxy {
    /// The way to `target`, with WebSockets let through or not.
    pub async fn start(target: SocketAddr, upgrades: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (state, _) = watch::channel(State { upgrades, ..State::default() });
        let (connections, asked, answers) = Default::default();
        let shared = Arc::new(Shared { target, state, connections, asked, answers });
        let ended = CancellationToken::new();
        let (serving, ending) = (shared.clone(), ended.clone());
        tokio::spawn(ending.run_until_cancelled_owned(async move {
            loop {
                let Ok((client, _)) = listener.accept().await else { continue };
                let shared = serving.clone();
                let open = shared.connections.lock().unwrap().clone();
                tokio::spawn(open.run_until_cancelled_owned(async move { shared.connect(client).await }));
            }
        }));
        Self { address, shared, ended }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Ends every connection there is.
    pub fn cut(&self) {
        std::mem::take(&mut *self.shared.connections.lock().unwrap()).cancel();
    }

    /// Nothing goes through any more, or everything that waited.
    pub fn stall(&self, stalled: bool) {
        self.shared.state.send_modify(|state| state.stalled = stalled);
    }

    /// Each piece takes this long to come back from the server.
    pub fn delay(&self, delay: Duration) {
        self.shared.state.send_modify(|state| state.delay = delay);
    }

    /// Of so many answers one never comes: what was asked for is done, and who asked does not know.
    pub fn lose_one_of(&self, answers: usize) {
        self.shared.state.send_modify(|state| state.lossy = answers);
    }

    /// What was asked for so far: the method and the path of each request, in order of each connection.
    pub fn asked(&self) -> Vec<String> {
        self.shared.asked.lock().unwrap().clone()
    }

    /// How many streams were opened so far.
    pub fn streams(&self) -> usize {
        let opens = |request: &&String| request.starts_with("GET /ws") || request.starts_with("GET /api/v1/stream");
        self.shared.asked.lock().unwrap().iter().filter(opens).count()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.ended.cancel();
        self.cut();
    }
}

impl Shared {
    async fn connect(&self, mut client: TcpStream) {
        let mut first = [0; 8];
        let upgrade = matches!(client.peek(&mut first).await, Ok(read) if first[..read].starts_with(b"GET /ws"));
        if upgrade && !self.state.borrow().upgrades {
            let _ = client.read(&mut [0; 4096]).await;
            let _ =
                client.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
            return;
        }
        let Ok(server) = TcpStream::connect(self.target).await else { return };
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let there = self.pump(from_client, to_server, |bytes| self.note(bytes), false);
        let back = self.pump(from_server, to_client, |_| (), true);
        // A connection whose one half ended is over: nobody here half-closes.
        tokio::select! {
            () = there => {}
            () = back => {}
        }
    }

    async fn pump(
        &self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
        note: impl Fn(&[u8]),
        back: bool,
    ) {
        let mut state = self.state.subscribe();
        let mut piece = vec![0; 16 * 1024];
        loop {
            let Ok(read @ 1..) = from.read(&mut piece).await else { return };
            note(&piece[..read]);
            if state.wait_for(|state| !state.stalled).await.is_err() {
                return;
            }
            let State { delay, lossy, .. } = *state.borrow();
            if back && lossy > 0 && self.answers.fetch_add(1, Ordering::Relaxed) % lossy == lossy - 1 {
                return;
            }
            if back && !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            if to.write_all(&piece[..read]).await.is_err() {
                return;
            }
        }
    }

    /// A request of the client fits one piece.
    fn note(&self, piece: &[u8]) {
        if let Some(request) = piece.split(|byte| *byte == b'\r').next().filter(|line| line.ends_with(b" HTTP/1.1")) {
            let request = String::from_utf8_lossy(request);
            let request = request.trim_end_matches(" HTTP/1.1").split('?').next().unwrap_or_default();
            self.asked.lock().unwrap().push(request.to_owned());
        }
    }
}
