//! The baselines: the bare poem server as a process, and the kernel's send alone.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, Sender, channel};

use serde_json::Value;

use crate::exchange::Exchange;
use crate::machine::{self, SERVER};

/// The bare poem server of `benches/poem_baseline`. A drop ends it.
pub struct Bare {
    pub address: SocketAddr,
    child: Child,
    _said: BufReader<ChildStdout>,
}

impl Bare {
    pub fn start() -> Self {
        let program = program();
        machine::on_core(SERVER, || {
            let mut child = Command::new(program).stdout(Stdio::piped()).spawn().unwrap();
            let mut said = BufReader::new(child.stdout.take().unwrap());
            let mut line = String::new();
            said.read_line(&mut line).unwrap();
            let address = line.trim().rsplit('/').next().unwrap().parse().unwrap();
            Self { address, child, _said: said }
        })
    }

    pub fn process(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Broadcasts a text.
pub fn broadcast(bare: &mut Exchange, text: &str, times: usize) {
    bare.done("POST", &format!("/broadcast?times={times}"), text);
}

/// The notice with another cursor number.
pub fn renumbered(sample: &str, number: u64) -> String {
    let start = sample.find("\"cursor\":\"").expect("a frame with a cursor") + "\"cursor\":\"".len();
    let (epoch, _) = sample[start..].split_once(':').unwrap();
    let end = start + sample[start..].find('"').unwrap();
    format!("{}{epoch}:{number}:{number}:{}", &sample[..start], &sample[end..])
}

/// Builds the bare server once, as the release binary is built.
fn program() -> &'static PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--locked", "-p", "requery-poem-baseline", "--message-format", "json-render-diagnostics"]);
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        let built = build.current_dir(env!("CARGO_MANIFEST_DIR")).stderr(Stdio::inherit()).output().unwrap();
        assert!(built.status.success(), "the bare server was not built");
        let executable = |line: &str| {
            let line: Value = serde_json::from_str(line).ok()?;
            Some(PathBuf::from(line["executable"].as_str()?))
        };
        String::from_utf8(built.stdout).unwrap().lines().find_map(executable).expect("the path of the bare server")
    })
}

/// The floor: one thread that writes the same bytes to the same number of sockets, and does nothing else.
pub struct Floor {
    pub address: SocketAddr,
    orders: Sender<Vec<u8>>,
    spent: Receiver<f64>,
}

impl Floor {
    /// Accepts so many WebSockets. The sockets open when a swarm connects.
    pub fn start(count: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (orders, received) = channel::<Vec<u8>>();
        let (done, spent) = channel();
        machine::on_core(SERVER, || {
            std::thread::spawn(move || {
                let mut sockets: Vec<_> = (0..count).map(|_| accept(&listener)).collect();
                for bytes in received {
                    let before = machine::thread_time();
                    for socket in &mut sockets {
                        socket.write_all(&bytes).unwrap();
                    }
                    done.send(machine::thread_time() - before).unwrap();
                }
            });
        });
        Self { address, orders, spent }
    }

    /// Sends the text in one write to each socket, so many times. Returns the processor time in seconds.
    pub fn broadcast(&self, text: &str, times: usize) -> f64 {
        let mut frame = vec![0x81, 126];
        frame.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
        frame.extend(text.as_bytes());
        self.orders.send(frame.repeat(times)).unwrap();
        self.spent.recv().unwrap()
    }
}

fn accept(listener: &TcpListener) -> TcpStream {
    let (mut socket, _) = listener.accept().unwrap();
    socket.set_nodelay(true).unwrap();
    let (mut asked, mut part) = (Vec::new(), [0; 1024]);
    while !asked.ends_with(b"\r\n\r\n") {
        let read = socket.read(&mut part).unwrap();
        assert!(read > 0, "a socket ended");
        asked.extend_from_slice(&part[..read]);
    }
    socket.write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n").unwrap();
    socket
}
