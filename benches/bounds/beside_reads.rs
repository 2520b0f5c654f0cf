//! The time of a write while screens read.
//!
//! The server is a process of its own. The screens are sockets on one thread of this process, so that they take as
//! little of the two cores as possible: real screens are on other machines. Each reads whole pages of tasks.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use requery::server::database::Database;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::rows;
use crate::server::{Outside, runtime};
use crate::table::{Limit, Row, quantile};

const ROUNDS: usize = 5;
const SCREENS: usize = 64;
const WRITES: usize = 300;
const TASKS: usize = 1_000;
/// The pause between two writes.
const APART: Duration = Duration::from_millis(5);

pub fn measure() -> Vec<Row> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("requery.db");
    let task = runtime().block_on(async {
        Database::open(path.clone().into()).await.unwrap().close("made").await;
        let db = rows::connect(&path).await;
        let tasks = rows::tasks(&db, TASKS).await;
        db.close().await.unwrap();
        tasks[0].clone()
    });
    let server = Outside::start(&path, &[]);
    let address = server.address;
    let (mut alone, mut by_the_second, mut without_pause, mut reads) = (vec![], vec![], vec![], vec![]);
    write(address, &task);
    for _ in 0..ROUNDS {
        alone.push(write(address, &task));
        let screens = Screens::start(address, Duration::from_secs(1));
        by_the_second.push(write(address, &task));
        screens.stop();
        let screens = Screens::start(address, Duration::ZERO);
        without_pause.push(write(address, &task));
        reads.push(screens.stop());
    }
    let p99 = |rounds: &[Vec<f64>]| rounds.iter().map(|times| quantile(times, 0.99)).collect::<Vec<_>>();
    let ratio = |rounds: &[Vec<f64>]| p99(rounds).iter().zip(p99(&alone)).map(|(with, alone)| with / alone).collect();
    let each = format!("{SCREENS} screens that each read a page a second");
    let all = format!("{SCREENS} screens that read pages without pause");
    vec![
        Row::new("PATCH p99, no reads beside", p99(&alone), " ms", Limit::Open),
        Row::new(format!("PATCH p99 beside {each}"), p99(&by_the_second), " ms", Limit::Open),
        Row::new("the same to no reads beside", ratio(&by_the_second), "x", Limit::AtMost(3.0)),
        Row::new(format!("PATCH p99 beside {all}"), p99(&without_pause), " ms", Limit::Open),
        Row::new("the same to no reads beside", ratio(&without_pause), "x", Limit::AtMost(10.0)),
        Row::new("pages read meanwhile", reads, " /s", Limit::Open),
    ]
}

/// Changes the title of a task again and again. Returns the milliseconds of each PATCH.
fn write(address: SocketAddr, task: &str) -> Vec<f64> {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_nodelay(true).unwrap();
    let times = (0..WRITES).map(|number| {
        std::thread::sleep(APART);
        let body = format!("{{\"title\":\"title {number}\"}}");
        let request = format!(
            "PATCH /api/v1/tasks/{task} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let began = Instant::now();
        socket.write_all(request.as_bytes()).unwrap();
        let (mut answer, mut bytes) = (Vec::new(), [0; 4096]);
        while missing(&answer) > 0 {
            let read = socket.read(&mut bytes).unwrap();
            assert!(read > 0, "the server closed the connection");
            answer.extend_from_slice(&bytes[..read]);
        }
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
        began.elapsed().as_secs_f64() * 1e3
    });
    times.collect()
}

/// How many bytes of an answer are missing, or 1 before its head is complete.
fn missing(answer: &[u8]) -> usize {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return 1 };
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
    (end + 4 + length.trim().parse::<usize>().unwrap()).saturating_sub(answer.len())
}

/// Sockets that read the first page of tasks.
struct Screens {
    ending: Arc<AtomicBool>,
    read: Arc<AtomicUsize>,
    began: Instant,
    thread: std::thread::JoinHandle<()>,
}

impl Screens {
    fn start(address: SocketAddr, pause: Duration) -> Self {
        let (ending, read) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (ended, count) = (ending.clone(), read.clone());
        let thread = std::thread::spawn(move || {
            let one = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            one.block_on(async {
                let screens = (0..SCREENS).map(|_| screen(address, pause, ended.clone(), count.clone()));
                futures_util::future::join_all(screens).await;
            });
        });
        // The screens are spread over their pause before the first write.
        std::thread::sleep(Duration::from_millis(300).max(pause));
        read.store(0, Ordering::Relaxed);
        Self { ending, read, began: Instant::now(), thread }
    }

    /// Returns how many pages were read in a second.
    fn stop(self) -> f64 {
        let rate = self.read.load(Ordering::Relaxed) as f64 / self.began.elapsed().as_secs_f64();
        self.ending.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        rate
    }
}

async fn screen(address: SocketAddr, pause: Duration, ending: Arc<AtomicBool>, read: Arc<AtomicUsize>) {
    tokio::time::sleep(pause.mul_f64(fastrand::f64())).await;
    let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET /api/v1/tasks?limit=50 HTTP/1.1\r\nHost: {address}\r\n\r\n");
    let mut bytes = vec![0; 64 * 1024];
    while !ending.load(Ordering::Relaxed) {
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while missing(&answer) > 0 {
            let length = socket.read(&mut bytes).await.unwrap();
            assert!(length > 0, "the server closed the connection");
            answer.extend_from_slice(&bytes[..length]);
        }
        assert!(answer.starts_with(b"HTTP/1.1 200"), "a read failed");
        read.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(pause).await;
    }
}
