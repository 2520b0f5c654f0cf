//! A screen that watches one server, and moves to another one when its stream ends.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use requery::protocol::Cursor;
use serde_json::Value;

use crate::socket::Blocking;
use crate::swarm::wait_until;

/// The pause before a server is tried again.
const PAUSE: Duration = Duration::from_millis(20);
const TIMEOUT: Duration = Duration::from_secs(60);

/// A drop ends it with its next frame.
pub struct Screen {
    newest: Arc<Mutex<Option<Cursor>>>,
    is_over: Arc<AtomicBool>,
}

impl Screen {
    /// A screen of the first of these servers that answers. Returns when it has its first frame.
    pub fn open(servers: Vec<SocketAddr>) -> Self {
        let screen = Self { newest: Arc::default(), is_over: Arc::default() };
        let (newest, is_over) = (screen.newest.clone(), screen.is_over.clone());
        std::thread::spawn(move || {
            for address in servers.iter().cycle() {
                if is_over.load(Ordering::SeqCst) {
                    return;
                }
                let Some((mut socket, first)) = Blocking::try_open(*address) else {
                    std::thread::sleep(PAUSE);
                    continue;
                };
                let mut frame = Some(first);
                while let Some(text) = frame.filter(|_| !is_over.load(Ordering::SeqCst)) {
                    let content: Value = serde_json::from_str(&text).unwrap();
                    let cursor = content["cursor"].as_str().filter(|_| content["more"] != true);
                    if let Some(cursor) = cursor {
                        *newest.lock().unwrap() = Some(cursor.parse().unwrap());
                    }
                    frame = socket.frame();
                }
            }
        });
        screen.wait_for("the screen has its first frame", |_| true);
        screen
    }

    /// Waits until the newest cursor of the screen satisfies this.
    pub fn wait_for(&self, name: &str, has: impl Fn(&Cursor) -> bool) {
        wait_until(name, TIMEOUT, || self.newest.lock().unwrap().as_ref().is_some_and(&has));
    }

    /// The epoch of the newest cursor.
    pub fn epoch(&self) -> String {
        self.newest.lock().unwrap().as_ref().unwrap().epoch().to_owned()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
    }
}
