//! The stream over server-sent events, for networks that block WebSocket.

use std::time::SystemTime;

use reqwest::header::ACCEPT;
use reqwest::{Response, StatusCode};

use super::link::{MAX_STREAM_MESSAGE, STREAM_STEP_TIMEOUT, StreamEnd, StreamSender};
use crate::client::error_text;
use crate::client::fetch::ServerEndpoint;
use crate::client::retry_after::retry_after;
use crate::client::source::Source;
use crate::protocol::Cursor;

/// Opens a stream and delivers its items until it ends.
pub(super) async fn run<S: Source>(
    source: S,
    endpoint: ServerEndpoint,
    since: Option<Cursor>,
    items: StreamSender<S>,
) -> StreamEnd {
    tokio::select! {
        end = deliver(source, endpoint, since, &items) => end,
        () = items.unwanted() => StreamEnd::unwanted(),
    }
}

async fn deliver<S: Source>(
    source: S,
    endpoint: ServerEndpoint,
    since: Option<Cursor>,
    items: &StreamSender<S>,
) -> StreamEnd {
    let mut response = match open(&source, &endpoint, since).await {
        Ok(response) => response,
        Err(end) => return end,
    };
    if !items.connected(false).await {
        return StreamEnd::unwanted();
    }
    let mut reader = SseMessageReader::default();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => {
                for message in reader.read(&chunk) {
                    if !items.message(source.message(&message)).await {
                        return StreamEnd::unwanted();
                    }
                }
            }
            Ok(None) => return StreamEnd::ended("the stream ended"),
            Err(error) => return StreamEnd::failed(&error.without_url()),
        }
        if reader.size() > MAX_STREAM_MESSAGE {
            return StreamEnd::ended("a message is too large");
        }
    }
}

async fn open<S: Source>(source: &S, endpoint: &ServerEndpoint, since: Option<Cursor>) -> Result<Response, StreamEnd> {
    let mut url = endpoint.url(source.events_path());
    if let Some(since) = since {
        url.query_pairs_mut().append_pair("since", &since.to_string());
    }
    let request = endpoint.http.get(url).header(ACCEPT, "text/event-stream").send();
    let response = match tokio::time::timeout(STREAM_STEP_TIMEOUT, request).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => {
            let (is_connect, text) = (error.is_connect(), error_text::with_causes(&error.without_url()));
            return Err(if is_connect { StreamEnd::not_reached(text) } else { StreamEnd::ended(text) });
        }
        Err(_) => return Err(StreamEnd::ended("no answer")),
    };
    match response.status() {
        StatusCode::OK => Ok(response),
        status => Err(StreamEnd::by_status(status, retry_after(response.headers(), SystemTime::now()))),
    }
}

/// Cuts a stream into messages by the rules of the HTML standard. Only the field `data` is used: the frames repeat the
/// content of `id` and `retry`, and the server sends no event with a name.
#[derive(Debug, Default)]
struct SseMessageReader {
    line: Vec<u8>,
    data: Vec<u8>,
    /// The current message has a name.
    named: bool,
    /// The last line ended with a carriage return. A line feed that follows belongs to the same line end.
    after_return: bool,
    /// The first line was read. A byte order mark is allowed only before it.
    begun: bool,
}

impl SseMessageReader {
    /// Reads `bytes` and returns the data of each message that they complete.
    fn read(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut messages = Vec::new();
        for byte in bytes {
            let after_return = std::mem::take(&mut self.after_return);
            match byte {
                b'\n' if after_return => {}
                b'\n' => messages.extend(self.end_line()),
                b'\r' => {
                    self.after_return = true;
                    messages.extend(self.end_line());
                }
                byte => self.line.push(*byte),
            }
        }
        messages
    }

    /// The number of bytes that are kept for the incomplete message.
    fn size(&self) -> usize {
        self.line.len() + self.data.len()
    }

    fn end_line(&mut self) -> Option<Vec<u8>> {
        let line = std::mem::take(&mut self.line);
        let mark: &[u8] = if self.begun { b"" } else { b"\xEF\xBB\xBF" };
        self.begun = true;
        let line = line.strip_prefix(mark).unwrap_or(&line);
        if line.is_empty() {
            let mut data = std::mem::take(&mut self.data);
            let named = std::mem::take(&mut self.named);
            return data.pop().filter(|_| !named).map(|_| data);
        }
        let (field, value) = match line.iter().position(|byte| *byte == b':') {
            Some(at) => (&line[..at], &line[at + 1..]),
            None => (line, &b""[..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"data" => {
                self.data.extend_from_slice(value);
                self.data.push(b'\n');
            }
            b"event" => self.named = !value.is_empty() && value != b"message",
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::SseMessageReader;

    /// Reads `stream` in one piece, and again byte by byte.
    fn check(stream: &str, expected: &[&str]) {
        let text = |messages: Vec<Vec<u8>>| -> Vec<String> {
            messages.into_iter().map(|message| String::from_utf8(message).expect("text")).collect()
        };
        assert_eq!(text(SseMessageReader::default().read(stream.as_bytes())), expected, "{stream:?}");
        let mut reader = SseMessageReader::default();
        let pieces = stream.as_bytes().chunks(1).flat_map(|piece| reader.read(piece)).collect();
        assert_eq!(text(pieces), expected, "{stream:?} in pieces");
    }

    #[test]
    fn messages() {
        check("data: a\n\n", &["a"]);
        check("data:a\ndata: b\n\ndata:  c\n\n", &["a\nb", " c"]);
        check("data\n\n", &[""]);
        check(": a comment\n\nid: 1\nretry: 5\n\n", &[]);
        check("data: a\r\n\r\ndata: b\r\rdata: c\n\n", &["a", "b", "c"]);
        check("\u{feff}data: a\n\n\u{feff}data: b\n\n", &["a"]);
        check("event: other\ndata: a\n\ndata: b\n\n", &["b"]);
        check("data: not complete\n", &[]);
        check("datum: a\ndata:: b\n\n", &[": b"]);
    }
}
