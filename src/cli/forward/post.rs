//! A minimal HTTP client for the hook: one request at a time, each with a deadline.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::Context;
use chrono::SecondsFormat;
use requery::agent::spool::SpooledRecord;
use requery::protocol::{AT_HEADER, DELIVERY_HEADER, HOST_HEADER, PROCESS_HEADER};
use reqwest::Url;

/// The largest accepted response head, in bytes. The server's heads have a few hundred bytes.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// The address of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerAddress {
    /// The host name or the IP address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The prefix of all paths, without a slash at the end.
    path: String,
}

impl ServerAddress {
    /// Parses a URL.
    ///
    /// # Errors
    /// The text is not an `http:` URL with a host, or it contains a user name or a password: the URL is written to a
    /// settings file.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let url = Url::parse(text).with_context(|| format!("--server {text}: not a URL"))?;
        let host = url.host_str().filter(|_| url.scheme() == "http");
        let host = host.with_context(|| format!("--server {text}: expected http://host:port"))?;
        let is_anonymous = url.username().is_empty() && url.password().is_none();
        anyhow::ensure!(is_anonymous, "--server: leave the user name and the password out of the URL");
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: url.port().unwrap_or(80),
            path: url.path().trim_end_matches('/').to_owned(),
        })
    }

    fn addresses(&self, until: Instant) -> Vec<SocketAddr> {
        let addresses = match self.host.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) if self.host == "localhost" => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
            Err(_) => {
                // A name lookup has no timeout, so it runs in a thread that can be abandoned.
                let (found, is_found) = mpsc::channel();
                let name = (self.host.clone(), self.port);
                let lookup = std::thread::Builder::new().spawn(move || {
                    let addresses = name.to_socket_addrs().map(Iterator::collect::<Vec<_>>);
                    let _ = found.send(addresses.unwrap_or_default());
                });
                let found = lookup.ok().and_then(|_| is_found.recv_timeout(time_left(until)).ok());
                return found.unwrap_or_default();
            }
        };
        addresses.into_iter().map(|address| SocketAddr::new(address, self.port)).collect()
    }
}

/// The outcome of sending a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// The server accepted the record.
    Taken,
    /// The server rejected the record as invalid. It would reject the record again.
    Refused,
    /// No server accepted the record. A later attempt may succeed.
    Away(ServerAway),
}

/// The server did not answer, cannot store the record now, or is another program than requery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerAway {
    /// Whether the attempt used up its time. A refused connection does not.
    pub silent: bool,
}

/// A connection with a deadline. It is opened for the first request, and again after a failure.
pub struct ForwardConnection<'a> {
    server: &'a ServerAddress,
    until: Instant,
    stream: Option<TcpStream>,
}

impl<'a> ForwardConnection<'a> {
    /// A connection to `server`, not opened yet.
    pub fn to(server: &'a ServerAddress, until: Instant) -> Self {
        Self { server, until, stream: None }
    }

    /// Opens the connection.
    pub fn open(&mut self) -> Result<(), ServerAway> {
        match self.connect() {
            Ok(stream) => {
                self.stream = Some(stream);
                Ok(())
            }
            Err(_) => Err(self.away()),
        }
    }

    /// Sends a record. A late record carries the time of its hook in a header.
    pub fn send(&mut self, record: &SpooledRecord, late: bool) -> DeliveryOutcome {
        match self.try_send(record, late) {
            Ok(sent) => sent,
            Err(_) => {
                self.stream = None;
                DeliveryOutcome::Away(self.away())
            }
        }
    }

    fn away(&self) -> ServerAway {
        ServerAway { silent: time_left(self.until).is_zero() }
    }

    fn try_send(&mut self, record: &SpooledRecord, late: bool) -> std::io::Result<DeliveryOutcome> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.connect()?,
        };
        let ServerAddress { host, port, path } = self.server;
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        let SpooledRecord { source, delivery, at_ms, process, body } = record;
        let mut request = format!(
            "POST {path}/api/v1/hooks/{source} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n{DELIVERY_HEADER}: {delivery}\r\n",
            body.len()
        );
        if let Some(at) = chrono::DateTime::from_timestamp_millis(*at_ms).filter(|_| late) {
            request += &format!("{AT_HEADER}: {}\r\n", at.to_rfc3339_opts(SecondsFormat::Millis, true));
        }
        if let Some(process) = process {
            request += &format!("{PROCESS_HEADER}: {process}\r\n");
        }
        if let Some(host) = requery::agent::host::name() {
            request += &format!("{HOST_HEADER}: {host}\r\n");
        }
        request += "\r\n";
        let mut request = request.into_bytes();
        request.extend_from_slice(body);
        self.write(&mut stream, &request)?;
        let head = self.read_head(&mut stream)?;
        let status = head.split(' ').nth(1).unwrap_or_default();
        if status == "204" {
            self.stream = Some(stream);
        }
        let problem = head.to_ascii_lowercase().contains("application/problem+json");
        Ok(match status {
            _ if !head.starts_with("HTTP/1.") => DeliveryOutcome::Away(ServerAway { silent: false }),
            _ if status.starts_with('2') => DeliveryOutcome::Taken,
            // Only an answer with a problem document comes from requery. Another program on the port cannot judge
            // records.
            "400" | "413" | "422" if problem => DeliveryOutcome::Refused,
            _ => DeliveryOutcome::Away(ServerAway { silent: false }),
        })
    }

    fn connect(&self) -> std::io::Result<TcpStream> {
        let mut failed = ErrorKind::AddrNotAvailable.into();
        for address in self.server.addresses(self.until) {
            match TcpStream::connect_timeout(&address, self.time_left()?) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    return Ok(stream);
                }
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    fn write(&self, stream: &mut TcpStream, mut bytes: &[u8]) -> std::io::Result<()> {
        while !bytes.is_empty() {
            stream.set_write_timeout(Some(self.time_left()?))?;
            match stream.write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // A server that rejects a long body answers and closes without reading it all. The answer may be there.
                Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn read_head(&self, stream: &mut TcpStream) -> std::io::Result<String> {
        let mut head = Vec::new();
        let mut chunk = [0; 1024];
        loop {
            stream.set_read_timeout(Some(self.time_left()?))?;
            match stream.read(&mut chunk) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(length) => head.extend_from_slice(&chunk[..length]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            if let Some(end) = head.windows(4).position(|end| end == b"\r\n\r\n") {
                return Ok(String::from_utf8_lossy(&head[..end]).into_owned());
            }
            if head.len() > MAX_HEAD_BYTES {
                return Err(ErrorKind::InvalidData.into());
            }
        }
    }

    fn time_left(&self) -> std::io::Result<Duration> {
        Some(time_left(self.until)).filter(|left| !left.is_zero()).ok_or_else(|| ErrorKind::TimedOut.into())
    }
}

fn time_left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now())
}
