//! Every limit of the contract, written once.
//!
//! A limit is a number that a client, a writer or an operator can reach, with the answer it gets then. Pauses between
//! retries, sizes of background steps and other figures that only one file needs are not limits: they stay where they
//! are used. Bounds that the database enforces on all writers, with or without the server, are in the migrations, which
//! use literals on purpose.

use std::time::Duration;

// --- cursors ---------------------------------------------------------------------------------------------------------

/// The longest text of a cursor, in bytes. A longer text is malformed: a stream starts afresh, `Requery-At-Least` is
/// answered with 400. A cursor of some 400 transactions in flight fits.
pub const CURSOR_BYTES: usize = 8 * 1024;

/// How many changes a `since` may be behind. An older one gets a `snapshot`: reading more of the log costs more than
/// starting afresh.
pub const RESUME_CHANGES: u64 = 100_000;

/// How many changes the `since` of a read may be behind. An older one gets the whole answer: to look through more of the log
/// would cost a tenth of the answer.
pub const SINCE_CHANGES: u64 = 500;

/// How many read models a `resumed` frame lists. More get a `snapshot`: no screen shows as many.
pub const RESUMED_READ_MODELS: usize = 1_000;

/// How many changes that differ in kind, task, project or parent are merged into one `resumed` frame. More get a
/// `snapshot`. Four notices for each read model of a full frame.
pub const RESUMED_NOTICES: u64 = 4 * RESUMED_READ_MODELS as u64;

// --- streams ---------------------------------------------------------------------------------------------------------

/// The default time between two heartbeats: proxies cut a connection that is silent for 60 s, so two fit before that.
pub const HEARTBEAT: Duration = Duration::from_secs(25);

/// How long a peer may take to accept the frames of one flush. After that the WebSocket is dropped.
pub const FRAME_ACCEPT_TIME: Duration = Duration::from_secs(10);

/// How long a peer may take to read a close frame. After that the WebSocket is dropped.
pub const CLOSE_FRAME_TIME: Duration = Duration::from_secs(1);

/// The largest `snapshot` frame with the read model `overview`, in bytes. Past it the frame lacks the read model, which the
/// client then requests: any program can write long texts into tasks, and every stream that begins holds its frame in
/// memory. A usual first page has 30 KiB.
pub const SNAPSHOT_BYTES: usize = 1024 * 1024;

/// How many kinds of events, and how many lanes, one notice names. Past it the notice names none, which stands for all:
/// a screen that leaves notices alone shows few kinds.
pub const DETAILS_PER_NOTICE: usize = 16;

/// How many read models one stream may be narrowed to, and how many one `stale` frame lists. A longer `watch` closes
/// the WebSocket with 1008; instead of a longer `stale` the server sends `resync`. Enough for any screen, and a bound
/// on the work for each notice.
pub const WATCHED_READ_MODELS: usize = 256;

/// The longest message from a client, in bytes. A longer one closes the WebSocket with 1009. A full `watch` needs
/// 12 KiB.
pub const CLIENT_MESSAGE_BYTES: usize = 16 * 1024;

/// How many notices of one flush a stream receives one by one. More are merged into one `stale` frame, which costs the
/// client less than the single notices.
pub const NOTICES_PER_FLUSH: usize = 64;

/// The window: the default time between two flushes. The server merges the notices of one window.
pub const WINDOW: Duration = Duration::from_millis(40);

/// The longest time between two flushes under load, as a multiple of the configured window.
pub const WIDEST_WINDOW: u32 = 8;

/// How many notices wait in one window. More become a `resync`, which costs a client less. A bound on memory: some
/// 2 MB.
pub const NOTICES_PER_WINDOW: usize = 10_000;

/// How many bytes of frames wait for one stream that does not take them. Past it the frames become one frame `stale`, so
/// a slow client gets no backlog. It holds the frames of two full flushes.
pub const OWED_BYTES: usize = 32 * 1024;

/// How many bytes the frames take that some stream has not taken yet, for all streams together. Past it each stream that is
/// behind gets a `resync`. A bound on memory, so that streams that are not read cost megabytes at most.
pub const BACKLOG_BYTES: usize = 8 * 1024 * 1024;

/// The default age at which changes are pruned from the log. An older `since` gets a `snapshot`.
pub const CHANGE_LOG_AGE: Duration = Duration::from_secs(7 * 24 * 3600);

/// How many streams are open at once by default. A further one gets 503. Some 60 MB.
pub const STREAMS: usize = 10_000;

/// How many connections are open at once. A further one waits until the server accepts it. More than the streams, so
/// that REST is still answered beside them.
pub const CONNECTIONS: usize = 16_384;

/// How long a request may take to send its headers. After that the connection is closed.
pub const HEADER_TIME: Duration = Duration::from_secs(15);

/// The size of the buffer for the headers of a request, in bytes. Longer headers get 431.
pub const HEADER_BYTES: usize = 64 * 1024;

/// How long a peer may leave sent bytes unacknowledged. Frees the resources of a half-open or stuck connection. Linux
/// alone can limit it.
pub const UNREAD_TIME: Duration = Duration::from_secs(60);

/// How long running requests may take when the server ends. After that they are cut off.
pub const SHUTDOWN_TIME: Duration = Duration::from_secs(5);

// --- the database ----------------------------------------------------------------------------------------------------

/// How long a request waits for a connection to the database. After that the database is overloaded, and the request
/// gets 503.
pub const CONNECTION_WAIT: Duration = Duration::from_secs(10);

/// How long a statement waits for another process that holds the write lock. After that the request gets 503.
pub const WRITE_LOCK_WAIT: Duration = Duration::from_secs(5);

// --- bodies ----------------------------------------------------------------------------------------------------------

/// The longest JSON body of one object, in bytes. A longer one gets 413. A body with every field at its own limit needs
/// a fifth.
pub const BODY_BYTES: usize = 1024 * 1024;

/// The longest body of events, of a hook or of transcripts, in bytes. A longer one gets 413. Agents report whole files.
pub const LONG_BODY_BYTES: usize = 8 * 1024 * 1024;

/// The time in which a whole body has to arrive. A slower body gets 408. The longest body needs 2.3 Mbit/s; the network
/// of a working agent is faster.
pub const BODY_TIME: Duration = Duration::from_secs(30);

/// The deepest nesting of JSON. Deeper JSON gets 400, because a parser would recurse as deep. Writers send fewer than
/// ten levels.
pub const JSON_DEPTH: usize = 64;

/// How many events one request logs. More get 422. A full batch is written in some tens of milliseconds.
pub const EVENTS_PER_BATCH: usize = 1_000;

// --- fields ----------------------------------------------------------------------------------------------------------

/// The latest time of a row, in milliseconds since 1970: the end of the year 9999, the last one that RFC 3339 can write.
/// A later time, and one before 1970, gets 422.
pub const TIME_MS: i64 = 253_402_300_799_999;

/// The longest line of text, in code points: titles, reasons, names that a runtime gives its sessions. A longer one
/// gets 422.
pub const LINE_CHARACTERS: usize = 500;

/// The longest detail of a status, in code points: a question, a command or an error. A longer one gets 422, and is cut
/// if a hook sends it: a person reads it at a glance, and the timeline has the whole text.
pub const STATUS_DETAIL_CHARACTERS: usize = 500;

/// The longest name of a project, in code points. A longer one gets 422; from a hook it is cut.
pub const PROJECT_CHARACTERS: usize = 128;

/// The longest name of a runtime (`source`), in code points. A longer one gets 422.
pub const SOURCE_CHARACTERS: usize = 64;

/// The longest path of a folder, in code points. A longer one gets 422. Common operating systems take no longer paths.
pub const WORKSPACE_CHARACTERS: usize = 4096;

/// The longest text, in bytes: summaries, notes, metadata as JSON, bodies of events. A longer one gets 422; the body of
/// an event is cut instead, and `truncated` has its size.
pub const TEXT_BYTES: usize = 64 * 1024;

/// The longest kind of an event, in characters. A longer one gets 422.
pub const EVENT_KIND_CHARACTERS: usize = 64;

/// The highest position that a writer can choose for an event. A higher one is refused: the next event gets the position
/// after the highest one, and no number follows the highest number of SQLite. A number of JSON is exact up to 2^53, so
/// nine thousand times as many events fit behind the chosen ones. The triggers and the statements that repair the numbers
/// of the table have this number as a literal.
pub const EVENT_POSITION: i64 = 1_000_000_000_000;

/// How many levels a tree of tasks has. A deeper task gets 422. Triggers delete a tree level by level, and SQLite
/// allows them 1,000 levels.
pub const TASK_LEVELS: i64 = 100;

// --- pages and read models -------------------------------------------------------------------------------------------

/// The most rows of a page. More get 422.
pub const PAGE_ROWS: u32 = 200;

/// The rows of a page for a request without `limit`, and of the first pages inside other answers.
pub const PAGE_ROWS_DEFAULT: u32 = 50;

/// How many tasks that need a person an overview lists. The others are left out; no person works through as many.
pub const NEEDS_YOU_TASKS: usize = 100;
/// The errored and the flagged tasks among these: the oldest flags, and then the newest failures.
pub const NEEDS_YOU_FAILURES: usize = 40;

/// How many hours of activity an overview covers, up to the newest hour with events.
pub const ACTIVITY_HOURS: i64 = 24;

/// How many sessions and how many children a task's detail lists. The others are left out; `figures` has their number.
pub const DETAIL_ROWS: u64 = 100;

/// How many entries the list of an agent keeps. Of a longer list the later entries are left out: no person reads them.
pub const TODOS: usize = 100;

/// The longest title of an entry of that list, in code points. A longer one is cut: it is a line in a list.
pub const TODO_CHARACTERS: usize = 120;

/// The longest list as JSON, in bytes: the database checks the same bound. The last entries of a longer list are left
/// out.
pub const TODO_LIST_BYTES: usize = 64 * 1024;

/// How many running calls a task's detail lists. The newer ones are left out; the timeline has them.
pub const OPEN_CALLS: u64 = 100;

/// How many changed files a task's detail lists. The files whose last change is older are left out.
pub const TOUCHED_FILES: u64 = 100;

/// How many of its newest changes of files a task's detail counts. The timeline has the older ones.
pub const FILE_CHANGES: u64 = 1000;

/// How many of its newest events a task's detail has. The timeline has the older ones.
pub const DETAIL_EVENTS: u64 = 50;

/// How many coding agents are listed: each is a runtime on one machine. The agents whose last hook is older are left out.
pub const AGENTS: u64 = 100;

/// The longest name of a machine, in code points. A longer one gets 422, and is left out if a hook sends it.
pub const HOST_CHARACTERS: usize = 64;

/// The longest version of a coding agent, in code points. A longer one gets 422: a version is a word.
pub const AGENT_VERSION_CHARACTERS: usize = 64;

/// How many models a task's detail lists. The others are left out; `usage` has the sum over all.
pub const DETAIL_MODELS: usize = 20;

// --- search ----------------------------------------------------------------------------------------------------------

/// The longest query, in code points. A longer one gets 422. A person types less; a pasted line fits.
pub const QUERY_CHARACTERS: usize = 500;

/// How many words and phrases of a query count. The rest is ignored.
pub const QUERY_CLAUSES: usize = 32;

/// How many characters of a word count, in the index and in a query. The rest is ignored.
pub const WORD_CHARACTERS: usize = 64;

/// The most hits of a search. More get 422.
pub const HITS: u32 = 100;

/// The hits of a search without `limit`.
pub const HITS_DEFAULT: u32 = 20;

/// How many of the newest matches are ranked. Older matches are not found, so that each word costs the same.
pub const RANKED_MATCHES: i64 = 1_000;

/// How long a search waits for the index to contain all changes of its snapshot. After that `complete` is `false`.
pub const INDEX_WAIT: Duration = Duration::from_millis(100);

/// The most changes that the index can catch up with in [`INDEX_WAIT`]. A search does not wait if there are more.
pub const INDEX_WAIT_CHANGES: u64 = 1_000;

/// How many reads run at once. A further one waits for [`CONNECTION_WAIT`]. More reads at once would not be faster on
/// two cores, and each statement of a write would wait behind all of them for a core.
pub const READS: usize = 2;

/// How many streams read their first frame at once. A further one waits for [`CONNECTION_WAIT`]: clients that come back
/// together must leave connections for reads.
pub const STREAM_BEGINNINGS: usize = 2;

/// How many searches run at once. A further one waits for [`SEARCH_WAIT`]: searches must leave connections for reads.
pub const SEARCHES: usize = 2;

/// How long a search waits for its turn. Then it gets 503.
pub const SEARCH_WAIT: Duration = Duration::from_secs(5);

// --- hooks and transcripts -------------------------------------------------------------------------------------------

/// How long ago `Requery-At` may be. An older time counts as this long ago.
pub const LATE: Duration = Duration::from_secs(7 * 24 * 3600);

/// How long the server remembers a `Requery-Delivery`. A later repetition is taken again. Longer than [`LATE`], so that
/// a spooled record is never taken twice.
pub const DELIVERY_MEMORY: Duration = Duration::from_secs(8 * 24 * 3600);

/// The longest `session_id` of a hook, in bytes. A longer one gets 422.
pub const HOOK_ID_BYTES: usize = 256;

/// The longest title that a hook gives a task, in code points. A longer one is cut: it is a line in a list.
pub const HOOK_TITLE_CHARACTERS: usize = 80;

/// How many rows of one agent are open at once. One more makes the oldest `abandoned`.
pub const OPEN_ROWS: usize = 256;

/// The default silence after which a running task is flagged stale. Longer than most builds, shorter than a lunch.
pub const SILENT_AFTER: Duration = Duration::from_secs(30 * 60);

/// The default silence after which the agent of a flagged task is given up as lost. It covers a night.
pub const LOST_AFTER: Duration = Duration::from_secs(24 * 3600);

/// How many lines of transcripts one request has. More get 422: each line may be a task, and one transaction writes all
/// of them.
pub const TRANSCRIPT_LINES: u64 = 5_000;

/// How many events the transcripts of one request contain. More get 422. A full request is written in some tenths of a
/// second.
pub const TRANSCRIPT_EVENTS: usize = 5_000;

/// How many blocks one message of a transcript has. A line with more is skipped.
pub const TRANSCRIPT_BLOCKS: usize = 1_000;

/// The most tokens, or millionths of a dollar, of one answer of a model. A line with more is skipped: it would make
/// every sum absurd.
pub const ANSWER_TOKENS: u64 = 1_000_000_000_000;

/// How far the clock of a transcript may be ahead of the server's. A line further ahead is skipped.
pub const TRANSCRIPT_AHEAD: Duration = Duration::from_secs(24 * 3600);

/// How many skipped lines are reported one by one. The others are only counted.
pub const SKIPPED_LINES: usize = 20;

// --- answers of a server that cannot answer now ----------------------------------------------------------------------

/// `Retry-After` while the database is away. The server tries to open the database every second, but a person has to
/// act first.
pub const RETRY_WHILE_AWAY: Duration = Duration::from_secs(5);

/// `Retry-After` of every other 503.
pub const RETRY_WHILE_BUSY: Duration = Duration::from_secs(1);

/// `retry_ms` of `closing` without a stream: a restarting server is back by then.
pub const RETRY_AFTER_CLOSING: Duration = Duration::from_secs(2);

/// For how many open streams `retry_ms` is a millisecond longer: a core begins more streams in this time, so that clients
/// that come back together do not wait for each other.
pub const STREAMS_PER_RETRY_MS: u32 = 2;
