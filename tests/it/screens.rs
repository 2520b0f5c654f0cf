//! Two screens on one server, each behind a network of its own that a test disturbs: one by WebSocket, one by
//! server-sent events.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use requery::engine::EngineSettings;

use crate::proxy::Proxy;
use crate::store::Store;
use crate::viewer::{Rest, Viewer, settle};

pub struct Screens {
    pub proxies: Vec<Arc<Proxy>>,
    pub viewers: Vec<Viewer>,
    pub rest: Rest,
}

impl Screens {
    /// Screens that each watch the overview, the bookmarks, and each task that appears.
    pub async fn follow(server: SocketAddr) -> Self {
        Self::open(server, Viewer::follow).await
    }

    /// Screens without a watched read model.
    pub async fn connect(server: SocketAddr) -> Self {
        Self::open(server, Viewer::connect).await
    }

    async fn open(server: SocketAddr, viewer: fn(&'static str, &str, EngineSettings) -> Viewer) -> Self {
        let mut screens = Self { proxies: Vec::new(), viewers: Vec::new(), rest: Rest::at(format!("http://{server}")) };
        for (name, upgrades) in [("by WebSocket", true), ("by events", false)] {
            let proxy = Proxy::start(server, upgrades).await;
            screens.viewers.push(viewer(name, &proxy.url(), quick()));
            screens.proxies.push(Arc::new(proxy));
        }
        screens
    }

    /// Waits until both screens show the answers of the server, and checks these against the database.
    pub async fn settle(&self, database: &Store) {
        settle(&self.viewers.iter().collect::<Vec<_>>(), &self.rest, database).await;
    }
}

/// Short times, so that a case is over soon. No safety refetch and no polling: either would hide a missed notice, and
/// on a slow machine it is a request for what did not change.
fn quick() -> EngineSettings {
    let mut settings = EngineSettings::default();
    settings.safety = Duration::from_secs(3_600);
    settings.poll_interval = settings.safety;
    settings.quiet = Duration::from_millis(5);
    settings.max_wait = Duration::from_millis(40);
    settings.backoff_first = Duration::from_millis(10);
    settings.backoff_most = Duration::from_millis(150);
    settings.longest_wait = Duration::from_millis(100);
    settings
}
