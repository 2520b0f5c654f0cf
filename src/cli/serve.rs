//! `requery serve`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use requery::agent::runtime::AgentRuntime;
use requery::protocol::limits;
use requery::server::access::allowed;
use requery::server::agents::SilenceLimits;
use requery::server::config::ServerConfig;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::database::DatabaseArgs;

/// The settings of the server.
#[derive(clap::Args, Debug)]
pub struct ServeArgs {
    /// Address to listen on; port 0 selects a free port.
    #[arg(long, env = "REQUERY_LISTEN", default_value = "127.0.0.1:7373", value_parser = address)]
    pub listen: String,
    /// The database.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// Host name that requests may use for the server, besides its own addresses; may be given several times.
    #[arg(long, env = "REQUERY_ALLOW_HOST", value_delimiter = ',', value_parser = allowed::host)]
    pub allow_host: Vec<String>,
    /// Origin whose web pages may use the server, as in `https://example.org`; may be given several times.
    #[arg(long, env = "REQUERY_ALLOW_ORIGIN", value_delimiter = ',', value_parser = allowed::origin)]
    pub allow_origin: Vec<String>,
    /// Allow an address that other machines can reach, although the server has no authentication.
    #[arg(long, env = "REQUERY_INSECURE_NO_AUTH", value_parser = clap::builder::BoolishValueParser::new())]
    pub insecure_no_auth: bool,
    /// Time between two heartbeats of a stream.
    #[arg(long, env = "REQUERY_HEARTBEAT", default_value = "25s", value_parser = heartbeat)]
    pub heartbeat: Duration,
    /// How long the server holds back notices in order to merge them.
    #[arg(long, env = "REQUERY_WINDOW", default_value = "40ms", value_parser = window)]
    pub window: Duration,
    /// How long other programs must not have written before the server does work in the background.
    #[arg(long, env = "REQUERY_BACKGROUND_PAUSE", default_value = "250ms", value_parser = background_pause)]
    pub background_pause: Duration,
    /// How long the change log is kept for clients that reconnect.
    #[arg(long, env = "REQUERY_RETENTION", default_value = "7days", value_parser = duration)]
    pub retention: Duration,
    /// Memory for answers to reads, in MiB or with a unit.
    #[arg(long, env = "REQUERY_READ_CACHE", default_value = "64MiB", value_parser = memory)]
    pub read_cache: u64,
    /// How many streams may be open at the same time.
    #[arg(long, env = "REQUERY_MAX_STREAMS", default_value_t = limits::STREAMS, value_parser = streams)]
    pub max_streams: usize,
    /// How long an agent may be silent before its running task is flagged as stale.
    #[arg(long, env = "REQUERY_STALE_AFTER", default_value = "30min", value_parser = duration)]
    pub stale_after: Duration,
    /// How long an agent may be silent before its stale task is ended as lost.
    #[arg(long, env = "REQUERY_LOST_AFTER", default_value = "24h", value_parser = duration)]
    pub lost_after: Duration,
    /// Folder with the records that hooks could not deliver [default: requery/spool in your state folder]
    #[arg(long, env = "REQUERY_SPOOL", value_parser = folder)]
    pub spool: Option<PathBuf>,
    /// Folder in which the sessions of Claude Code say their status, or `off` [default: sessions in its own folder]
    #[arg(long, env = "REQUERY_SESSION_FILES", value_parser = folder)]
    pub session_files: Option<PathBuf>,
}

/// Parses an address with a port. The name of a host is looked up later.
pub(super) fn address(text: &str) -> Result<String, String> {
    let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
    let is_bare = !host.is_empty() && !host.contains('/') && (!host.contains(':') || host.starts_with('['));
    match port.parse::<u16>() {
        Ok(_) if is_bare => Ok(text.to_owned()),
        Ok(_) | Err(_) => Err("expected an address and a port, such as 127.0.0.1:7373 or [::1]:7373".to_owned()),
    }
}

/// Parses the path of a folder. A shell replaces `~`, and no other program does.
pub(super) fn folder(text: &str) -> Result<PathBuf, String> {
    match text {
        "" => Err("names no folder".to_owned()),
        text if text.starts_with('~') => Err("`~` stands for no folder here: write the path in full".to_owned()),
        text => Ok(text.into()),
    }
}

/// Parses a duration from 1 ms to 366 days, as in `40ms` or `7days`.
fn duration(text: &str) -> Result<Duration, String> {
    between(text, "1ms", "366days")
}

/// Clients wait for at least a second, and for at most five minutes.
fn heartbeat(text: &str) -> Result<Duration, String> {
    between(text, "1s", "5min")
}

/// Within ten seconds a person takes a screen for current.
fn window(text: &str) -> Result<Duration, String> {
    between(text, "1ms", "10s")
}

/// A step in the background waits for a pause for at most half a minute.
fn background_pause(text: &str) -> Result<Duration, String> {
    between(text, "1ms", "30s")
}

fn between(text: &str, least: &str, most: &str) -> Result<Duration, String> {
    let parse = |text: &str| humantime::parse_duration(text);
    let duration = parse(text).map_err(|error| format!("{error} (examples: 40ms, 25s, 7days)"))?;
    if parse(least).is_ok_and(|least| duration < least) || parse(most).is_ok_and(|most| duration > most) {
        return Err(format!("expected a duration from {least} to {most}"));
    }
    Ok(duration)
}

/// Parses an amount of memory from 1 MiB to 64 GiB. A smaller cache would hold hardly an answer.
fn memory(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|letter: char| !letter.is_ascii_digit());
    let unit = match text[digits.len()..].trim().to_ascii_lowercase().as_str() {
        "kib" | "kb" | "k" => Some(1 << 10),
        "" | "mib" | "mb" | "m" => Some(1 << 20),
        "gib" | "gb" | "g" => Some(1 << 30),
        _ => None,
    };
    let bytes = digits.parse::<u64>().ok().zip(unit).and_then(|(number, unit)| number.checked_mul(unit));
    match bytes {
        Some(bytes) if (1 << 20..=64 << 30).contains(&bytes) => Ok(bytes),
        Some(_) => Err("expected an amount of memory from 1MiB to 64GiB".to_owned()),
        None => Err("expected a number of MiB, or a number with the unit KiB, MiB or GiB, such as 64MiB".to_owned()),
    }
}

/// Parses the number of streams: each one needs a connection.
fn streams(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if (1..=limits::CONNECTIONS).contains(&count) => Ok(count),
        _ => Err(format!("expected a number from 1 to {}, the most connections", limits::CONNECTIONS)),
    }
}

/// The limit of open files that the server asks for: connections, streams and the database.
const OPEN_FILES: u64 = 32_768;

/// Raises the limit of open files. The usual limit of 1,024 allows only a tenth of the streams.
pub(super) fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.map_or(OPEN_FILES, |maximum| maximum.min(OPEN_FILES));
    if current.is_some_and(|current| current < wanted)
        && setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }).is_err()
    {
        tracing::warn!("could not raise the limit of open files to {wanted}, so fewer streams may be possible");
    }
}

/// Lets a write beyond the limit of the file size fail with an error. Without a handler the signal would end the
/// server.
fn survive_the_file_size_limit() {
    use rustix::process::Signal;
    use tokio::signal::unix::{SignalKind, signal};

    // The handler stays when its receiver is dropped.
    if let Err(error) = signal(SignalKind::from_raw(Signal::XFSZ.as_raw())) {
        tracing::warn!(%error, "could not handle the signal of the file size limit, which would end the server");
    }
}

/// The folder of the session files of Claude Code. None: there is no home folder.
fn default_session_files() -> Option<PathBuf> {
    let agent = AgentRuntime::ClaudeCode;
    Some(super::agent_folder(agent).ok()?.join(agent.session_files_folder()?))
}

/// Runs the server until a signal ends it.
pub async fn run(args: ServeArgs) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(
        args.stale_after < args.lost_after,
        "--lost-after {} must be longer than --stale-after {}: an agent is lost after its task was flagged stale",
        humantime::format_duration(args.lost_after),
        humantime::format_duration(args.stale_after)
    );
    let config = ServerConfig {
        allow_hosts: args.allow_host,
        allow_origins: args.allow_origin,
        insecure_no_auth: args.insecure_no_auth,
        heartbeat: args.heartbeat,
        window: args.window,
        background_pause: args.background_pause,
        retention: args.retention,
        read_cache: args.read_cache,
        max_streams: args.max_streams,
        silence_limits: SilenceLimits { stale_after: args.stale_after, lost_after: args.lost_after },
        // Without a home folder, hooks have no default spool either.
        spool: args.spool.or_else(|| super::spool().ok()),
        session_files: match args.session_files {
            Some(folder) => Some(folder).filter(|folder| folder.as_os_str() != "off"),
            None => default_session_files(),
        },
        ..ServerConfig::new(args.database.location()?)
    };
    raise_open_files();
    survive_the_file_size_limit();
    let asked_to_end = super::asked_to_end();
    let listener =
        TcpListener::bind(&args.listen).await.with_context(|| format!("could not listen on {}", args.listen))?;
    let shutdown = CancellationToken::new();
    let ending = shutdown.clone();
    tokio::spawn(async move {
        asked_to_end.await;
        ending.cancel();
    });
    let address = listener.local_addr()?;
    let database = config.database.to_string();
    let ready = || {
        // The server runs even if its standard output cannot be written.
        let _ = super::print(&format!(
            "requery serves http://{address}\n  \
             in a browser          http://{address}\n  \
             in a terminal         requery watch --server http://{address}\n  \
             every operation       http://{address}/docs\n  \
             database              {database}\n"
        ));
    };
    requery::server::run(listener, config, shutdown, ready).await?;
    Ok(ExitCode::SUCCESS)
}
