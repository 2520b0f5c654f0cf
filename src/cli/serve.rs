//! `requery serve`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use requery::server::agents::SilenceLimits;
use requery::server::config::ServerConfig;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// How the server is run. Every setting can also be given in the environment.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, env = "REQUERY_LISTEN", default_value = "127.0.0.1:7373")]
    pub listen: String,
    /// Database file, as `sqlite:/path/to/file` or a path [default: requery/requery.db in your data folder]
    #[arg(long, env = "REQUERY_DATABASE_URL")]
    pub database_url: Option<String>,
    /// Name under which the server may be asked for, besides its own addresses; may be given several times.
    #[arg(long, env = "REQUERY_ALLOW_HOST", value_delimiter = ',')]
    pub allow_host: Vec<String>,
    /// Origin whose pages may ask, as in `https://example.org`; may be given several times.
    #[arg(long, env = "REQUERY_ALLOW_ORIGIN", value_delimiter = ',')]
    pub allow_origin: Vec<String>,
    /// Serve an address that others can reach although nobody is asked who they are.
    #[arg(long, env = "REQUERY_INSECURE_NO_AUTH")]
    pub insecure_no_auth: bool,
    /// Time between heartbeats of a stream.
    #[arg(long, env = "REQUERY_HEARTBEAT", default_value = "25s", value_parser = span)]
    pub heartbeat: Duration,
    /// How long notices are held back to be merged.
    #[arg(long, env = "REQUERY_WINDOW", default_value = "40ms", value_parser = span)]
    pub window: Duration,
    /// How long the change log is kept for those who come back.
    #[arg(long, env = "REQUERY_RETENTION", default_value = "7days", value_parser = span)]
    pub retention: Duration,
    /// How many streams may be open at once.
    #[arg(long, env = "REQUERY_MAX_STREAMS", default_value_t = 10_000)]
    pub max_streams: usize,
    /// How long nothing may be heard of an agent at work before its task is flagged stale.
    #[arg(long, env = "REQUERY_STALE_AFTER", default_value = "30min", value_parser = span)]
    pub stale_after: Duration,
    /// How long nothing may be heard of an agent whose task is flagged before it is given up as lost.
    #[arg(long, env = "REQUERY_LOST_AFTER", default_value = "24h", value_parser = span)]
    pub lost_after: Duration,
    /// Folder from which what hooks could not deliver is taken in [default: requery/spool in your state folder]
    #[arg(long, env = "REQUERY_SPOOL")]
    pub spool: Option<PathBuf>,
}

/// A length of time as a person writes it, at least a millisecond.
fn span(text: &str) -> Result<Duration, String> {
    let span = humantime::parse_duration(text).map_err(|error| format!("{error} (as in 40ms, 25s, 7days)"))?;
    if span < Duration::from_millis(1) || span > Duration::from_secs(366 * 24 * 3600) {
        return Err("from 1ms to 366days".to_owned());
    }
    Ok(span)
}

/// Files the process may have open at once: connections, streams, the database.
const FILES: u64 = 32_768;

/// Asks for as many open files as there may be connections; the usual 1,024 would end at a tenth of them.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.map_or(FILES, |maximum| maximum.min(FILES));
    if current.is_some_and(|current| current < wanted)
        && setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }).is_err()
    {
        tracing::warn!("could not raise the limit of open files to {wanted}");
    }
}

/// Serves until asked to end.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let config = ServerConfig {
        allow_hosts: args.allow_host,
        allow_origins: args.allow_origin,
        insecure_no_auth: args.insecure_no_auth,
        heartbeat: args.heartbeat,
        window: args.window,
        retention: args.retention,
        max_streams: args.max_streams,
        silence_limits: SilenceLimits { stale_after: args.stale_after, lost_after: args.lost_after },
        // Without a home there is no spool that a hook could have written either.
        spool: args.spool.or_else(|| super::spool().ok()),
        ..ServerConfig::new(super::database(args.database_url.as_deref())?)
    };
    raise_open_files();
    let listener =
        TcpListener::bind(&args.listen).await.with_context(|| format!("could not listen on {}", args.listen))?;
    let shutdown = CancellationToken::new();
    let ending = shutdown.clone();
    tokio::spawn(async move {
        super::asked_to_end().await;
        ending.cancel();
    });
    let address = listener.local_addr()?;
    let path = config.database.path().display().to_string();
    let ready = || {
        // A server whose output nobody reads serves all the same.
        let _ = super::print(&format!(
            "requery serves http://{address}\n  \
             try every operation   http://{address}/docs\n  \
             watch it live         requery watch --server http://{address}\n  \
             database              {path}\n"
        ));
    };
    requery::server::run(listener, config, shutdown, ready).await?;
    Ok(ExitCode::SUCCESS)
}
