//! Reads the frames of a stream out of the bytes that the server sends on one connection.

use serde_json::Value;

/// The state of one connection.
#[derive(Default)]
pub struct FrameReader {
    kind: Kind,
    rest: Vec<u8>,
}

#[derive(Default)]
enum Kind {
    /// Answers to requests, up to the answer that begins a stream.
    #[default]
    Answers,
    WebSocket,
    Events,
}

impl FrameReader {
    /// The frames that end in this piece.
    pub fn read(&mut self, piece: &[u8]) -> Vec<Value> {
        let mut piece = piece;
        if let Kind::Answers = self.kind {
            let Some(end) = piece.windows(4).position(|four| four == b"\r\n\r\n") else { return Vec::new() };
            let head = String::from_utf8_lossy(&piece[..end]).to_lowercase();
            self.kind = match head {
                head if head.starts_with("http/1.1 101") => Kind::WebSocket,
                head if head.contains("content-type: text/event-stream") => Kind::Events,
                _ => return Vec::new(),
            };
            piece = &piece[end + 4..];
        }
        self.rest.extend_from_slice(piece);
        let next = match self.kind {
            Kind::WebSocket => websocket_message,
            Kind::Events | Kind::Answers => event,
        };
        std::iter::from_fn(|| next(&mut self.rest)).flatten().collect()
    }
}

/// The next whole message; a control frame gives no value. A server does not mask its frames.
fn websocket_message(rest: &mut Vec<u8>) -> Option<Option<Value>> {
    let (first, length) = (*rest.first()?, usize::from(*rest.get(1)? & 0x7f));
    let (begin, length) = match length {
        126 => (4, usize::from(u16::from_be_bytes(rest.get(2..4)?.try_into().ok()?))),
        127 => (10, usize::try_from(u64::from_be_bytes(rest.get(2..10)?.try_into().ok()?)).ok()?),
        short => (2, short),
    };
    let value = serde_json::from_slice(rest.get(begin..begin + length)?).ok();
    rest.drain(..begin + length);
    Some(value.filter(|_| first & 0x0f == 1))
}

/// The next whole line; one that is no `data` gives no value.
fn event(rest: &mut Vec<u8>) -> Option<Option<Value>> {
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    let line: Vec<u8> = rest.drain(..=end).collect();
    Some(line.strip_prefix(b"data:").and_then(|data| serde_json::from_slice(data).ok()))
}
