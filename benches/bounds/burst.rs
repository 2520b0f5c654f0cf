//! The number of fetches that a burst of notices causes in a client. Uses a real server, the real client, and a proxy
//! that counts the requests.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use requery::client::{AgentBody, Client, ClientConfig, HeldState, WatchHandle};
use requery::engine::EngineSettings;
use requery::protocol::{Cursor, ReadModel};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::rows;
use crate::server::{Inside, runtime};
use crate::table::{Limit, Row};

const ROUNDS: usize = 5;
const BURST: usize = 1_000;
/// A burst is written in this many transactions, so that its notices arrive over a period and not all at once.
const PARTS: usize = 50;
const BETWEEN: Duration = Duration::from_millis(2);
/// The pause before and after a burst. It is longer than the engine's `max_wait`, so every pending fetch is done after
/// it.
const QUIET: Duration = Duration::from_millis(1_200);
const FRESH_TIMEOUT: Duration = Duration::from_secs(20);

pub fn measure() -> Vec<Row> {
    let server = Inside::start();
    runtime().block_on(async {
        let (tasks, _) = server.write(async |tx| rows::tasks(tx, BURST).await).await;
        let (address, requests) = count(server.address).await;
        let client = Client::connect(ClientConfig::new(format!("http://{address}"))).unwrap();
        let watched = tasks[0].parse().unwrap();
        let models = [ReadModel::Overview, ReadModel::Task(watched), ReadModel::Bookmarks];
        let mut watches = models.map(|model| client.watch(model));
        until_fresh(&mut watches, None).await;

        let everywhere: Vec<_> = tasks.iter().collect();
        let on_one = vec![&tasks[0]; BURST];
        let mut rows = Vec::new();
        // The watched task is the first of the thousand tasks. The cursor of the last write is therefore reached by the
        // overview alone, and not by the task.
        for (subject, targets, last) in [("one task", on_one, 2), ("a thousand tasks", everywhere, 1)] {
            let mut most = Vec::new();
            while most.len() < ROUNDS {
                tokio::time::sleep(QUIET).await;
                requests.lock().unwrap().clear();
                let began = Instant::now();
                let cursor = burst(&server, &targets).await;
                let took = began.elapsed();
                until_fresh(&mut watches[..last], Some(&cursor)).await;
                tokio::time::sleep(QUIET).await;
                until_fresh(&mut watches, None).await;
                // On a busy machine the writes may take too long to count as one burst. Such a round is repeated.
                if took < EngineSettings::default().max_wait / 2 {
                    most.push(requests.lock().unwrap().values().copied().max().unwrap_or(0).into());
                }
            }
            let name = format!("fetches of a read model for {BURST} notices of {subject}, the most");
            rows.push(Row::new(name, most, "", Limit::AtMost(2.0)));
        }
        rows
    })
}

async fn burst(server: &Inside, targets: &[&String]) -> Cursor {
    let mut last = None;
    for part in targets.chunks(BURST / PARTS) {
        let (_, cursor) = server.write(async |tx| rows::insert_many(tx, part.iter().copied()).await).await;
        last = Some(cursor);
        tokio::time::sleep(BETWEEN).await;
    }
    last.unwrap()
}

/// Waits until every watch shows a fresh view. With a cursor, each view must contain the changes up to it.
async fn until_fresh(watches: &mut [WatchHandle<AgentBody>], cursor: Option<&Cursor>) {
    for watch in watches {
        let shown = async {
            loop {
                let view = watch.view();
                let contained = match (cursor, &view.cursor) {
                    (Some(cursor), Some(shown)) => shown.covers(cursor),
                    (cursor, _) => cursor.is_none(),
                };
                if contained && view.state == HeldState::Fresh {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(FRESH_TIMEOUT, shown).await.expect("the view did not become fresh in time");
    }
}

type RequestCounts = Arc<Mutex<BTreeMap<String, u32>>>;

/// Starts a proxy for `server`. Returns the address of the proxy, and the number of requests for each path.
async fn count(server: SocketAddr) -> (SocketAddr, RequestCounts) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let requests = RequestCounts::default();
    let counted = requests.clone();
    tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            let server = TcpStream::connect(server).await.unwrap();
            let (from_client, mut to_client) = client.into_split();
            let (mut from_server, to_server) = server.into_split();
            tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
            tokio::spawn(pass(from_client, to_server, counted.clone()));
        }
    });
    (address, requests)
}

async fn pass(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    requests: RequestCounts,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        // The client sends each request in one piece, and only after the answer to the previous one.
        if let Some(path) = buffer[..read].strip_prefix(b"GET ") {
            let path = String::from_utf8_lossy(path.split(|byte| *byte == b' ').next().unwrap()).into_owned();
            *requests.lock().unwrap().entry(path).or_default() += 1;
        }
        to.write_all(&buffer[..read]).await?;
    }
}
