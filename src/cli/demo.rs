//! `requery demo`: a server with a simulated team of agents, to try out every feature.
//!
//! Only the team is simulated. It knows only the address of the server and uses the public API, as real agents do.

use std::process::ExitCode;

use anyhow::Context;
use requery::agent::runtime::AgentRuntime;
use requery::server::config::ServerConfig;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::api::Api;

mod texts;

mod stage;

mod coder;
mod person;
mod release;

use stage::DemoStage;

/// The settings of the demo.
#[derive(clap::Args, Debug)]
pub struct DemoArgs {
    /// Address to listen on; if the port is in use, a free port is used instead.
    #[arg(long, env = "REQUERY_LISTEN", default_value = "127.0.0.1:7373", value_parser = super::serve::address)]
    pub listen: String,
    /// Number of agents that work at the same time, besides one simulated person.
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u16).range(1..=200))]
    pub agents: u16,
    /// Speed factor: 1 is the pace of real agents, 2 is twice as fast.
    #[arg(long, default_value = "1", value_parser = speed)]
    pub speed: f64,
    /// Seed of the random numbers: the same seed gives the same work.
    #[arg(long, default_value_t = 7)]
    pub seed: u64,
}

fn speed(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(times) if (0.01..=1000.0).contains(&times) => Ok(times),
        _ => Err("expected a number from 0.01 to 1000".to_owned()),
    }
}

/// Runs the server and the team until a signal ends them.
pub async fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    // A signal that came before the folder is removed would otherwise leave it behind.
    let asked_to_end = super::asked_to_end();
    let listener = listen(&args.listen).await?;
    let address = listener.local_addr()?;
    let folder = tempfile::Builder::new()
        .prefix("requery-demo-")
        .tempdir()
        .context("could not create a folder for the database")?;
    let config = ServerConfig::new(folder.path().join("demo.db").into());
    anyhow::ensure!(config.admits(address), "{address} is not a loopback address; the demo is for this machine alone");
    let shutdown = CancellationToken::new();
    let ready = CancellationToken::new();

    let server = {
        let (ready, shutdown) = (ready.clone(), shutdown.clone());
        tokio::spawn(requery::server::run(listener, config, shutdown, move || ready.cancel()))
    };
    let url = format!("http://{address}");
    let team = async {
        ready.cancelled().await;
        // The demo runs even if its standard output cannot be written.
        let _ = super::print(&format!(
            "requery demo serves {url} with {} agents at work\n  \
             in a browser          {url}\n  \
             in a terminal         requery watch --server {url}\n  \
             every operation       {url}/docs\n  \
             Ctrl-C ends it and removes its database\n",
            args.agents
        ));
        play(&url, &args).await
    };
    tokio::pin!(server);
    let ended = tokio::select! {
        served = &mut server => served?.map_err(anyhow::Error::from),
        played = team => played,
        () = asked_to_end => Ok(()),
    };
    shutdown.cancel();
    if !server.is_finished() {
        let _ = server.await;
    }
    folder.close().context("could not remove the demo's database")?;
    ended.map(|()| ExitCode::SUCCESS)
}

async fn listen(address: &str) -> anyhow::Result<TcpListener> {
    match TcpListener::bind(address).await {
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
            let free = TcpListener::bind(format!("{host}:0")).await;
            let free = free.with_context(|| format!("could not listen on any port of {host}"))?;
            let port = free.local_addr()?.port();
            let _ = super::print(&format!("{address} is in use; the demo takes port {port} instead\n"));
            Ok(free)
        }
        bound => bound.with_context(|| format!("could not listen on {address}")),
    }
}

/// Runs the team. It returns only after an error.
async fn play(url: &str, args: &DemoArgs) -> anyhow::Result<()> {
    let api = Api::at(url)?;
    let stage =
        |number: u64| DemoStage::new(api.clone(), args.speed, args.seed.wrapping_mul(1000).wrapping_add(number));
    let mut team = JoinSet::new();
    team.spawn(person::look_after(stage(0)));
    for number in 1..=u64::from(args.agents) {
        let stage = stage(number);
        // The first agent makes releases, so that even a team of one agent shows tasks with child tasks.
        match number % 4 {
            1 => team.spawn(release::work(stage)),
            3 => team.spawn(coder::work(stage, AgentRuntime::Codex)),
            _ => team.spawn(coder::work(stage, AgentRuntime::ClaudeCode)),
        };
    }
    while let Some(ended) = team.join_next().await {
        ended.context("an agent of the demo failed")?;
    }
    Ok(())
}
