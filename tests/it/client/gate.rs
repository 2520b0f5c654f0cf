//! A gate in front of a server: it decides about each request, and records it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

/// What happens to a request.
pub enum Verdict {
    /// The server answers.
    Pass,
    /// The server answers a request without this header.
    PassWithout(&'static str),
    /// The connection is reset.
    Reset,
    /// No answer comes, and the connection stays open.
    Mute,
    /// This is the answer, byte for byte.
    Answer(String),
    /// The upgrade succeeds, and no frame comes.
    MuteSocket,
}

type Rule = Box<dyn FnMut(&str) -> Verdict + Send>;

pub struct Gate {
    pub address: SocketAddr,
    rule: Arc<Mutex<Rule>>,
    requests: Arc<Mutex<Vec<String>>>,
    ended: Arc<Mutex<Vec<String>>>,
    _serving: AbortOnDropHandle<()>,
}

impl Gate {
    /// A gate to `target`. `rule` gets the head of each request.
    pub async fn start(target: SocketAddr, rule: impl FnMut(&str) -> Verdict + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let rule: Arc<Mutex<Rule>> = Arc::new(Mutex::new(Box::new(rule)));
        let (requests, ended) = (Arc::default(), Arc::default());
        let serving = serve(listener, target, Arc::clone(&rule), Arc::clone(&requests), Arc::clone(&ended));
        let serving = AbortOnDropHandle::new(tokio::spawn(serving));
        Self { address, rule, requests, ended, _serving: serving }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Replaces the rule for later requests.
    pub fn set(&self, rule: impl FnMut(&str) -> Verdict + Send + 'static) {
        *self.rule.lock().unwrap() = Box::new(rule);
    }

    /// The requests so far that begin with this text, such as `GET /api`.
    pub fn requests(&self, text: &str) -> usize {
        self.requests.lock().unwrap().iter().filter(|request| request.starts_with(text)).count()
    }

    /// The muted requests that begin with this text and whose connection the client has closed.
    pub fn given_up(&self, text: &str) -> usize {
        self.ended.lock().unwrap().iter().filter(|request| request.starts_with(text)).count()
    }
}

async fn serve(
    listener: TcpListener,
    target: SocketAddr,
    rule: Arc<Mutex<Rule>>,
    requests: Arc<Mutex<Vec<String>>>,
    ended: Arc<Mutex<Vec<String>>>,
) {
    // Dropping the set ends the connections together with the gate.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let (rule, requests, ended) = (Arc::clone(&rule), Arc::clone(&requests), Arc::clone(&ended));
        connections.spawn(async move {
            let Some(head) = head(&client).await else { return };
            let request = head.lines().next().unwrap_or_default().to_owned();
            requests.lock().unwrap().push(request.clone());
            let verdict = (*rule.lock().unwrap())(&head);
            if decide(client, target, &head, verdict).await {
                ended.lock().unwrap().push(request);
            }
        });
    }
}

/// Returns whether the client closed the connection of a muted request.
async fn decide(mut client: TcpStream, target: SocketAddr, head: &str, verdict: Verdict) -> bool {
    let without = match verdict {
        Verdict::Pass => None,
        Verdict::PassWithout(header) => Some(header),
        // The unread request makes the system send a reset.
        Verdict::Reset => return false,
        Verdict::Mute => {
            let mut bytes = [0; 4096];
            while matches!(client.read(&mut bytes).await, Ok(1..)) {}
            return true;
        }
        Verdict::Answer(answer) => {
            let _ = client.read(&mut [0; 4096]).await;
            let _ = client.write_all(answer.as_bytes()).await;
            return false;
        }
        Verdict::MuteSocket => {
            let Ok(mut socket) = tokio_tungstenite::accept_async(client).await else { return false };
            while futures_util::StreamExt::next(&mut socket).await.is_some_and(|message| message.is_ok()) {}
            return true;
        }
    };
    let Ok(mut server) = TcpStream::connect(target).await else { return false };
    let mut consumed = vec![0; head.len()];
    if client.read_exact(&mut consumed).await.is_err() {
        return false;
    }
    // One request for each connection, so that the gate sees all of them.
    let mut passed = String::new();
    for line in head.trim_end().lines() {
        let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        if Some(&*name) != without {
            passed += &format!("{line}\r\n");
        }
    }
    if !head.to_ascii_lowercase().contains("upgrade: websocket") {
        passed += "connection: close\r\n";
    }
    if server.write_all(format!("{passed}\r\n").as_bytes()).await.is_ok() {
        let _ = copy_bidirectional(&mut client, &mut server).await;
    }
    false
}

/// The head of a request, which stays unread.
async fn head(client: &TcpStream) -> Option<String> {
    let mut bytes = vec![0; 16 * 1024];
    loop {
        let read = client.peek(&mut bytes).await.ok().filter(|read| *read > 0)?;
        let text = String::from_utf8_lossy(&bytes[..read]);
        if let Some(end) = text.find("\r\n\r\n") {
            return Some(text[..end + 4].to_owned());
        }
        tokio::task::yield_now().await;
    }
}
