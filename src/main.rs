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
    let filter = match log_filter(cli.default_log()) {
        Ok(filter) => filter,
        Err(error) => {
            eprintln!("requery: {}", cli::escape_control_characters(&error));
            return ExitCode::FAILURE;
        }
    };
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

/// The filter that `REQUERY_LOG` names, or the default one.
fn log_filter(default: &str) -> Result<EnvFilter, String> {
    let form = "expected levels such as `debug`, or `requery=debug,warn`";
    match std::env::var("REQUERY_LOG") {
        Err(std::env::VarError::NotPresent) => Ok(EnvFilter::new(default)),
        Ok(text) if text.trim().is_empty() => Ok(EnvFilter::new(default)),
        Err(std::env::VarError::NotUnicode(_)) => Err(format!("REQUERY_LOG is not a text: {form}")),
        // A single word that is no level is a target to the filter, and would log no line.
        Ok(text) => match text.split(',').find(|part| !part.contains(['=', '[']) && !is_level(part.trim())) {
            Some(part) => Err(format!("REQUERY_LOG {text}: `{part}` is not a level: {form}")),
            None => EnvFilter::try_new(&text).map_err(|error| format!("REQUERY_LOG {text}: {error}: {form}")),
        },
    }
}

fn is_level(text: &str) -> bool {
    ["off", "error", "warn", "info", "debug", "trace"].iter().any(|level| text.eq_ignore_ascii_case(level))
}
