//! Prints the overview each time it changes, until Ctrl-C.
//!
//! ```sh
//! cargo run --example overview_terminal -- http://127.0.0.1:7373
//! ```

use std::error::Error;
use std::io::{self, ErrorKind, Write};

use requery::client::{Client, ClientConfig, Status, View, ViewState};
use requery::protocol::ReadModel;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    match show().await {
        // The reader of the output, such as `head`, has read enough.
        Err(error) if is_broken_pipe(&*error) => Ok(()),
        shown => shown,
    }
}

fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

async fn show() -> Result<(), Box<dyn Error>> {
    // `println!` panics when the output is closed.
    let mut output = io::stdout();
    let server = std::env::args().nth(1).unwrap_or_else(|| "http://127.0.0.1:7373".to_owned());
    let client = Client::connect(ClientConfig::new(server))?;
    let mut overview = client.watch(ReadModel::Overview);
    let mut changes = client.changes();
    let mut shown_status = None;
    loop {
        let status = client.status();
        if shown_status.as_ref() != Some(&status) {
            writeln!(output, "connection: {}", status_text(&status))?;
            shown_status = Some(status);
        }
        // A stale view has the body that was printed before. The fresh view follows within a second.
        if let Some(view) = overview.view_if_changed()
            && view.state != ViewState::Stale
        {
            print_view(&mut output, &view)?;
        }
        // `changes` reports each change of the status or of the overview. It merges changes that happened meanwhile.
        tokio::select! {
            more = changes.next() => if !more { return Ok(()) },
            pressed = tokio::signal::ctrl_c() => return Ok(pressed?),
        }
    }
}

fn status_text(status: &Status) -> String {
    match status {
        Status::Live => "live".to_owned(),
        Status::CatchingUp => "catching up".to_owned(),
        Status::Closed { reason } => format!("closed by the server: {reason}"),
        Status::Reconnecting { .. } => "reconnecting".to_owned(),
        other => format!("{other:?}").to_lowercase(),
    }
}

fn print_view(output: &mut impl Write, view: &View) -> Result<(), Box<dyn Error>> {
    if let Some(error) = &view.error {
        writeln!(output, "not loaded ({} failures): {error}", view.failures)?;
    }
    let Some(body) = &view.body else { return Ok(()) };
    let Some(parsed) = body.overview() else { return Ok(()) };
    let (overview, tasks) = parsed?;
    let age = view.age().unwrap_or_default();
    writeln!(
        output,
        "{} tasks, {} running, {} waiting; {} events (as of {:.1} s ago)",
        overview.stats.total_tasks,
        overview.stats.running_tasks,
        overview.stats.waiting_tasks,
        overview.stats.total_events,
        age.as_secs_f32()
    )?;
    for task in tasks.items.iter().take(5) {
        writeln!(output, "  {:<10} {}", task.status.as_str(), printable(&task.title))?;
    }
    Ok(())
}

/// Titles come from other programs. Control characters in them could change the terminal's state.
fn printable(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}
