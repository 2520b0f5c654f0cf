//! A client whose socket is never read: the delays of the others, and its memory.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::machine::{now, resident, rounds};
use crate::swarm::{Opening, Swarm, wait_until};
use crate::table::{Limit, Row, quantile};

use super::{Requery, log};

const CONNECTIONS: usize = 1_000;
const CHANGES: usize = 100;
const APART: Duration = Duration::from_millis(50);
/// So many clients that are not read that the memory of one shows.
const UNREAD: usize = 50;
/// The tasks that change in turn, so that each flush has many frames and fills the buffers of the kernel.
const TASKS: usize = 200;
const FLOOD: Duration = Duration::from_secs(6);
const TIMEOUT: Duration = Duration::from_secs(20);

pub fn measure() -> Vec<Row> {
    super::on_load_core(|| {
        let mut rows = delays();
        rows.push(memory());
        rows
    })
}

fn delays() -> Vec<Row> {
    let mut requery = Requery::start(&[]);
    let task = requery.tasks(1, "acme-web").remove(0);
    let address = requery.server.address;
    let swarm = Swarm::open(Opening::requery(address, CONNECTIONS));
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for round in 0..=rounds() {
        for is_unread in [round % 2 == 0, round % 2 == 1] {
            let unread = is_unread.then(|| open(address));
            swarm.record();
            let mut changes = Vec::new();
            for _ in 0..CHANGES {
                let (began, at) = (Instant::now(), now());
                changes.push((log(&mut requery.writer, &task, 1).cursor(), at));
                std::thread::sleep(APART.saturating_sub(began.elapsed()));
            }
            let last = changes.last().unwrap().0;
            wait_until("each connection has the last change", TIMEOUT, || swarm.behind(last) == 0);
            let p99 = quantile(&swarm.delays(&changes), 0.99);
            // The first round warms up.
            if round > 0 {
                (if is_unread { &mut with } else { &mut without }).push(p99);
            }
            drop(unread);
        }
    }
    let ratios = with.iter().zip(&without).map(|(with, without)| with / without).collect();
    let name = |figure: &str| format!("{CONNECTIONS} connections, 20 changes a second, p99 {figure}");
    vec![
        Row::new(name("without a client that never reads"), without, " ms", Limit::Open),
        Row::new(name("beside a client that never reads"), with, " ms", Limit::Open),
        // Rounds without any difference between them differ by as much.
        Row::new(name("beside it to without it"), ratios, "x", Limit::AtMost(1.25)),
    ]
}

fn memory() -> Row {
    let mut requery = Requery::start(&[]);
    let (address, process) = (requery.server.address, requery.server.process());
    let tasks = requery.tasks(TASKS, "acme-web");
    let mut flood = || {
        let end = Instant::now() + FLOOD;
        for task in tasks.iter().cycle() {
            log(&mut requery.writer, task, 1);
            if Instant::now() > end {
                break;
            }
        }
    };
    flood();
    let figures = (0..rounds()).map(|_| {
        flood();
        let before = resident(process);
        let unread: Vec<_> = (0..UNREAD).map(|_| open(address)).collect();
        flood();
        let figure = (resident(process) - before) / UNREAD as f64 / 1024.0;
        drop(unread);
        figure
    });
    let name = format!("memory of a client that never reads, {UNREAD} of them under load");
    Row::new(name, figures.collect(), " KB", Limit::AtMost(64.0))
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
