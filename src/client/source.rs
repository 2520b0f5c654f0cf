//! The domain of a client: the read models, the requests that fetch them, and the messages that make them stale.
//!
//! A [`Source`] translates between a server and the engine, which knows neither read models nor bodies. It performs no
//! I/O and decides no time. Its methods may run under the lock of the client, so they use no client.
//! [`AgentSource`](super::AgentSource) is the domain of this crate's server, and [`TableSource`](super::TableSource) is
//! one that is described by data.

use std::error::Error;
use std::fmt::{self, Display};
use std::sync::Arc;

use bytes::Bytes;

use crate::engine::{Signal, Why};
use crate::protocol::{Key, Watched};

/// A domain: its read models, its requests and its messages.
pub trait Source: Clone + Send + Sync + 'static {
    /// The name of a read model. `Display` is for people; [`name`](Self::name) is for the wire.
    type Key: Key<Group: Send + Sync + 'static> + Display + Send + Sync + 'static;
    /// The parsed body of a read model of any kind.
    type Body: PartialEq + Send + Sync + 'static;
    /// The changes that one watch asks for. The default is every change.
    type Options: Clone + Default + PartialEq + Send + Sync + 'static;
    /// The part of a notice that [`Options`](Self::Options) look at.
    type Detail: Send + 'static;

    /// The read models whose whole bodies come with the first message of a stream that starts afresh.
    fn carried(&self) -> Vec<Self::Key> {
        Vec::new()
    }

    /// The requests whose answers together are the body of `key`. At least one.
    fn requests(&self, key: &Self::Key) -> Vec<ModelRequest>;

    /// Parses the body of `key` from the answers, in the order of the requests.
    ///
    /// # Errors
    ///
    /// [`BodyError`] if an answer has another form. The client counts that as a failed fetch.
    fn parse(&self, key: &Self::Key, parts: &[Bytes]) -> Result<Self::Body, BodyError>;

    /// Whether the server can answer this request with the changes since a cursor: it is then asked with the parameter
    /// `since`. `part` is the place of the request in [`requests`](Self::requests).
    fn knows_changes(&self, key: &Self::Key, part: usize) -> bool {
        let _ = (key, part);
        false
    }

    /// Applies an answer with changes, one whose field `full` is `false`, to the held answer. None: the changes do not
    /// fit, and the client asks for the whole answer.
    fn apply_changes(&self, key: &Self::Key, part: usize, held: &Bytes, changes: &Bytes) -> Option<Bytes> {
        let _ = (key, part, held, changes);
        None
    }

    /// Reads a message of the stream. Bytes that are no message of this domain give
    /// [`What::Unknown`](crate::engine::What::Unknown).
    fn message(&self, text: &[u8]) -> Message<Self>;

    /// The text of a read model or of a group in a `watch` message.
    fn name(&self, entry: &Watched<Self::Key>) -> String;

    /// The name of the kind of notice with this number.
    fn kind_name(&self, kind: u16) -> &str;

    /// The reason of a fetch, in one word: the kind of a message, or `watched`, `safety`, `polled` or `asked`.
    fn why_name(&self, why: Why) -> &str {
        why.name(|kind| self.kind_name(kind))
    }

    /// Whether a watch with these options is interested in a notice with this detail.
    fn concerns(&self, options: &Self::Options, detail: &Self::Detail) -> bool {
        let _ = (options, detail);
        true
    }

    /// The path of the WebSocket stream, below the address of the server.
    fn websocket_path(&self) -> &str {
        "ws"
    }

    /// The path of the stream of server-sent events, below the address of the server.
    fn events_path(&self) -> &str {
        "api/v1/stream"
    }
}

/// A type in which an application reads the bodies of a source.
///
/// A source with one type for each kind of read model implements this trait once for each of them, so that a
/// [`WatchHandle`](super::WatchHandle) shows the type itself.
///
/// [`of`](Self::of) runs at each look at a view. It is meant to hand out a value that the body holds, as
/// [`AgentBody`](super::AgentBody) holds an `Arc` of each of its types. An implementation that parses there parses at
/// each look.
pub trait BodyValue<S: Source>: Send + Sync + Sized + 'static {
    /// The value in a body. None: the body is that of another kind of read model.
    fn of(body: &Arc<S::Body>) -> Option<Arc<Self>>;

    /// The body with this value.
    fn into_body(self) -> S::Body;
}

/// A `GET` request, relative to the address of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelRequest {
    /// The path without a leading slash. It is already percent-encoded.
    pub path: String,
    /// The parameters. They are percent-encoded later.
    pub query: Vec<(String, String)>,
}

impl ModelRequest {
    /// The request for `path`, without parameters.
    pub fn new(path: impl Into<String>) -> Self {
        Self { path: path.into(), query: Vec::new() }
    }
}

/// A message of the stream, as a [`Source`] reads it.
pub struct Message<S: Source> {
    /// The part that the engine needs.
    pub signal: Signal<S::Key>,
    /// The bodies that came with the message. The signal names their read models too.
    pub carried: Vec<CarriedBody<S>>,
    /// Whether the server knows the project of the stream. None: the message does not say.
    pub known: Option<bool>,
    /// What the options of a watch look at. None: the message concerns every watch.
    pub detail: Option<S::Detail>,
}

impl<S: Source> Message<S> {
    /// A message that is its signal alone.
    pub fn new(signal: Signal<S::Key>) -> Self {
        Self { signal, carried: Vec::new(), known: None, detail: None }
    }
}

/// The body of a read model that came with a message of the stream.
pub struct CarriedBody<S: Source> {
    /// The read model.
    pub key: S::Key,
    /// The JSON of the body, as [`Source::parse`] would take it.
    pub parts: Vec<Bytes>,
    /// The parsed body.
    pub body: S::Body,
}

/// An answer has another form than the types of the client: the server speaks another version of the protocol.
#[derive(Debug)]
pub struct BodyError(Box<dyn Error + Send + Sync>);

impl BodyError {
    /// The error with this cause.
    pub fn new(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(cause.into())
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the answer has an unknown form; the server may be newer than this program: {}", self.0)
    }
}

impl Error for BodyError {}
