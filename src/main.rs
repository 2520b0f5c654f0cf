//! The program `requery`: parses the arguments, starts the log and runs the command.

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

mod cli;

fn main() -> ExitCode {
    // An agent waits for `requery hook`. The command therefore runs before the argument parser, the log and the
    // runtime, which all take time and may fail or print.
    if let Some(invocation) = cli::forward::HookInvocation::parse(std::env::args_os()) {
        return cli::forward::run(invocation);
    }
    let cli = cli::Cli::parse();
    let filter = EnvFilter::try_from_env("REQUERY_LOG").unwrap_or_else(|_| EnvFilter::new(cli.default_log()));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        // A line that cannot be written would be reported with a macro that panics, which would end the server.
        .log_internal_errors(false)
        .init();
    let ran = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(cli.run()));
    match ran {
        Ok(code) => code,
        Err(error) => {
            // The error may quote a server or a file, so it may contain control characters.
            cli::print_error(&format!("requery: {}", cli::escape_control_characters(&format!("{error:#}"))));
            ExitCode::FAILURE
        }
    }
}
