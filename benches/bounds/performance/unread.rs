//! A client whose socket is never read: the delays of the others, and its memory.
//!
//! The buffers of the kernel take some megabytes for a client before the server notices that it is not read. So a flood
//! fills these buffers first, on tasks of a project that the other clients do not watch. The measurement begins when
//! `GET /api/v1/streams` says that the client is behind.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use sea_orm::{ConnectionTrait, DatabaseConnection};
use serde_json::Value;
use tempfile::TempDir;

use crate::exchange::Exchange;
use crate::machine::{resident, rounds};
use crate::rows;
use crate::swarm::{Opening, Swarm, wait_until};
use crate::table::{Limit, Row, quantile};

use super::{Requery, log, paced, ratios};

const CONNECTIONS: usize = 1_000;
/// The changes of a turn take less than the 10 s after which the server drops a client that takes no frame.
const CHANGES: usize = 60;
const APART: Duration = Duration::from_millis(50);
/// So many clients that are not read that the memory of one shows.
const UNREAD: usize = 100;
/// The tasks of the flood: as many as one flush names one by one, so that each flush has the most bytes.
const FLOODED: usize = 64;
/// The characters of the name of their project, the most that a name has.
const PROJECT: usize = 128;
/// The pause between two batches of the flood: the window of the server.
const BATCH_APART: Duration = Duration::from_millis(40);
/// The batches after all clients are behind: the frames that wait exceed their bound, and become one frame `stale`.
const MORE_BATCHES: usize = 5;
/// The batches of a flood without a client that is not read, before the first flood told how many it needs.
const FIRST_BATCHES: usize = 50;
const FLOOD_TIMEOUT: Duration = Duration::from_secs(60);
/// The server folds and indexes the rows of the flood.
const SETTLE: Duration = Duration::from_millis(500);
const TIMEOUT: Duration = Duration::from_secs(20);

pub fn measure() -> Vec<Row> {
    super::on_load_core(|| {
        let mut rows = delays();
        rows.push(memory());
        rows
    })
}

fn delays() -> Vec<Row> {
    let mut flooded = Flooded::start();
    let task = flooded.requery.tasks(1, "acme-web").remove(0);
    let address = flooded.requery.server.address;
    let of_project = Opening { path: "/ws?project=acme-web".to_owned(), ..Opening::requery(address, CONNECTIONS) };
    let swarm = Swarm::open(of_project);
    let [mut without, mut with, mut again] = [Vec::new(), Vec::new(), Vec::new()];
    let mut batches = FIRST_BATCHES;
    for round in 0..=rounds() {
        let mut turns = [(false, &mut without), (true, &mut with), (false, &mut again)];
        if round % 2 == 1 {
            turns.reverse();
        }
        for (is_unread, figures) in turns {
            // All turns have one more client and the same flood. In one turn the client is not read.
            let unread = is_unread.then(|| open(address));
            let read = (!is_unread).then(|| Swarm::open(Opening::requery(address, 1)));
            if is_unread {
                batches = flooded.until_behind(1);
            } else {
                flooded.write(batches);
            }
            std::thread::sleep(SETTLE);
            swarm.record();
            let writer = &mut flooded.requery.writer;
            let changes: Vec<_> = paced(CHANGES, APART).map(|due| (log(writer, &task, 1).cursor(), due)).collect();
            let last = changes.last().unwrap().0;
            wait_until("each connection has the last change", TIMEOUT, || swarm.behind(last) == 0);
            assert!(!is_unread || flooded.behind() == 1, "the client that is not read was dropped too early");
            let p99 = quantile(&swarm.delays(&changes), 0.99);
            // The first round warms up.
            if round > 0 {
                figures.push(p99);
            }
            drop((unread, read));
            flooded.until_gone();
        }
    }
    let (to_without, noise) = (ratios(&with, &without), ratios(&again, &without));
    let name = |figure: &str| format!("{CONNECTIONS} connections, 20 changes a second, p99 {figure}");
    vec![
        Row::new(name("without a client that never reads"), without, " ms", Limit::Open),
        Row::new(name("beside a client that never reads"), with, " ms", Limit::Open),
        Row::new(name("beside it to without it"), to_without, "x", Limit::AtMost(1.25)),
        Row::new(name("without it, a second turn to the first"), noise, "x", Limit::Open),
    ]
}

fn memory() -> Row {
    let mut flooded = Flooded::start();
    let (address, process) = (flooded.requery.server.address, flooded.requery.server.process());
    let mut batches = FIRST_BATCHES;
    let mut figures = Vec::new();
    for round in 0..=rounds() {
        // What the flood itself costs the server is allocated before the clients come.
        flooded.write(batches);
        std::thread::sleep(SETTLE);
        let without = resident(process);
        let unread: Vec<_> = (0..UNREAD).map(|_| open(address)).collect();
        batches = flooded.until_behind(UNREAD);
        std::thread::sleep(SETTLE);
        let with = resident(process);
        assert_eq!(flooded.behind(), UNREAD, "clients that are not read were dropped too early");
        // The first round warms up.
        if round > 0 {
            figures.push((with - without) / UNREAD as f64 / 1024.0);
        }
        drop(unread);
        flooded.until_gone();
    }
    let name = format!("memory of a client that never reads, {UNREAD} of them that are behind");
    Row::new(name, figures, " KB", Limit::AtMost(64.0))
}

/// A server, and another program that writes into its database.
struct Flooded {
    requery: Requery,
    reader: Exchange,
    runtime: tokio::runtime::Runtime,
    db: DatabaseConnection,
    _folder: TempDir,
}

impl Flooded {
    fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("requery.db");
        let mut requery = Requery::on(&path, &[]);
        // Every notice names the project, so a long name makes long frames: four bytes for each character.
        requery.tasks(FLOODED, &"🌊".repeat(PROJECT));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let db = runtime.block_on(rows::connect(&path));
        let reader = Exchange::open(requery.server.address);
        Self { requery, reader, runtime, db, _folder: folder }
    }

    /// Writes so many batches, each in one transaction. No row is added: the memory for more rows would show in the
    /// memory of the clients.
    fn write(&self, batches: usize) {
        for due in paced(batches, BATCH_APART) {
            let sql = format!("update tasks set title = 'step {due}' where length(project) = {PROJECT}");
            self.runtime.block_on(self.db.execute_unprepared(&sql)).unwrap();
        }
    }

    /// Writes until so many clients are behind, and a little more. Returns the number of batches.
    fn until_behind(&mut self, clients: usize) -> usize {
        let end = Instant::now() + FLOOD_TIMEOUT;
        let mut batches = 0;
        while self.behind() < clients {
            assert!(Instant::now() < end, "the server noticed no client that is not read");
            self.write(1);
            std::thread::sleep(BATCH_APART);
            batches += 1;
        }
        self.write(MORE_BATCHES);
        batches + MORE_BATCHES
    }

    /// Waits until the server has dropped the clients that were behind, so that the next turn does not count them.
    fn until_gone(&mut self) {
        wait_until("the clients that are behind are dropped", TIMEOUT, || self.behind() == 0);
    }

    /// The number of clients of all projects that are behind. The clients of one project get nothing of the flood.
    fn behind(&mut self) -> usize {
        let streams: Value =
            serde_json::from_slice(&self.reader.done("GET", "/api/v1/streams", "").body).expect("a list of streams");
        let items = streams["items"].as_array().expect("a list of streams");
        let is_behind = |one: &&Value| one["project"].is_null() && one["flushes_behind"].as_u64() > Some(0);
        items.iter().filter(is_behind).count()
    }
}

/// Opens a WebSocket and reads the answer to the handshake alone.
fn open(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    rustix::net::sockopt::set_socket_recv_buffer_size(&stream, 4096).unwrap();
    write!(
        stream,
        "GET /ws HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    .unwrap();
    let mut head = [0; 12];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 101");
    stream
}
