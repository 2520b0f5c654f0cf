//! The frames of a WebSocket from the server (RFC 6455, 5.2). Each message is one frame.

use bytes::Bytes;

use crate::server::hub::{Burst, FeedLine};
use crate::server::metrics::StreamTransportName;

/// The first byte of a frame that is one complete message.
const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;
/// A ping without a payload.
pub(super) const PING: [u8; 2] = [0x89, 0];

/// The longest header of a frame from a server, in bytes.
const HEADER: usize = 10;

/// The bytes of a burst on a WebSocket.
pub(super) fn websocket_bytes(burst: &Burst) -> Bytes {
    burst.wire(StreamTransportName::WebSocket, |lines| text_frames(lines).into())
}

/// The bytes of these lines, each as one text frame.
fn text_frames(lines: &[FeedLine]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(lines.iter().map(|line| HEADER + line.text.len()).sum());
    lines.iter().for_each(|line| put_text(&mut bytes, &line.text));
    bytes
}

/// The bytes of a text as one frame.
pub(super) fn text_frame(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + text.len());
    put_text(&mut bytes, text);
    bytes
}

/// The bytes before a text of this length that is one frame.
pub(super) fn text_header(length: usize) -> Bytes {
    let mut bytes = Vec::with_capacity(HEADER);
    put_header(&mut bytes, length);
    bytes.into()
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    put_header(bytes, text.len());
    bytes.extend_from_slice(text.as_bytes());
}

fn put_header(bytes: &mut Vec<u8>, length: usize) {
    bytes.push(TEXT);
    match length {
        short @ ..126 => bytes.push(short as u8),
        medium @ ..0x1_0000 => {
            bytes.push(126);
            bytes.extend((medium as u16).to_be_bytes());
        }
        long => {
            bytes.push(127);
            bytes.extend((long as u64).to_be_bytes());
        }
    }
}

/// A close frame. Of a longer reason the end is left out.
pub(super) fn close_frame(code: u16, reason: &str) -> Bytes {
    let reason = &reason.as_bytes()[..reason.len().min(123)];
    let mut frame = vec![CLOSE, 2 + reason.len() as u8];
    frame.extend(code.to_be_bytes());
    frame.extend(reason);
    frame.into()
}

#[cfg(test)]
mod tests {
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::protocol::{Role, WebSocket};

    use super::{FeedLine, text_frames};

    #[test]
    fn frames_of_every_length_can_be_read() {
        let texts =
            [0, 1, 125, 126, 65_535, 65_536, 300_000].map(|length| "é".repeat(length / 2) + &"x".repeat(length % 2));
        let lines: Vec<_> = texts.iter().map(|text| FeedLine { text: text.as_str().into(), cursor: None }).collect();
        let mut client = WebSocket::from_raw_socket(std::io::Cursor::new(text_frames(&lines)), Role::Client, None);
        for text in texts {
            assert_eq!(client.read().expect("a frame"), Message::Text(text.into()));
        }
    }
}
