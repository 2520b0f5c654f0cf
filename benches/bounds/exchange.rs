//! A blocking HTTP client for one connection, which counts the bytes of each answer.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use flate2::read::GzDecoder;

use crate::swarm::number_of_cursor;

const TIMEOUT: Duration = Duration::from_secs(60);

pub struct Exchange {
    stream: TcpStream,
    address: SocketAddr,
}

pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
    /// The bytes of the head and the body.
    pub bytes: usize,
    head: String,
}

impl Exchange {
    pub fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        Self { stream, address }
    }

    /// Sends a request and reads its answer. `headers` are complete lines.
    pub fn ask(&mut self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let (host, length) = (self.address, body.len());
        let asked = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n{headers}\r\n{body}"
        );
        self.stream.write_all(asked.as_bytes()).unwrap();
        let mut got = Vec::with_capacity(4096);
        let mut part = [0; 16 * 1024];
        let head = loop {
            if let Some(end) = got.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            got.extend_from_slice(self.read(&mut part));
        };
        let text = String::from_utf8_lossy(&got[..head]).into_owned();
        let status: u16 = text[9..12].parse().unwrap();
        let length = match status {
            204 | 304 => 0,
            _ => header_of(&text, "content-length").expect("an answer with its length").parse().unwrap(),
        };
        while got.len() < head + length {
            got.extend_from_slice(self.read(&mut part));
        }
        Answer { status, body: got[head..].to_vec(), bytes: got.len(), head: text }
    }

    /// Sends a request that has to succeed.
    pub fn done(&mut self, method: &str, path: &str, body: &str) -> Answer {
        let answer = self.ask(method, path, "", body);
        assert!((200..300).contains(&answer.status), "{method} {path}: {} {}", answer.head, answer.text());
        answer
    }

    fn read<'a>(&mut self, part: &'a mut [u8]) -> &'a [u8] {
        let read = self.stream.read(part).unwrap();
        assert!(read > 0, "the server ended the connection");
        &part[..read]
    }
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        header_of(&self.head, name)
    }

    /// The number of the cursor of this answer.
    pub fn cursor(&self) -> u64 {
        number_of_cursor(self.header("requery-cursor").expect("an answer with a cursor").as_bytes()).unwrap()
    }

    /// The body without its compression.
    pub fn plain(&self) -> Vec<u8> {
        let mut plain = Vec::new();
        match self.header("content-encoding") {
            Some(_) => GzDecoder::new(self.body.as_slice()).read_to_end(&mut plain).map(drop).unwrap(),
            None => plain.clone_from(&self.body),
        }
        plain
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// The value of a header.
pub fn header_of<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}
