//! Prints the overview each time it changes, until Ctrl-C.
//!
//! ```sh
//! cargo run --example overview_terminal -- http://127.0.0.1:7373
//! ```

use std::error::Error;
use std::io::{self, Write};

use requery::client::{Client, ClientConfig, OverviewBody};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let server = std::env::args().nth(1).unwrap_or_else(|| "http://127.0.0.1:7373".to_owned());
    let client = Client::connect(ClientConfig::new(server))?;
    let mut overview = client.overview();
    loop {
        tokio::select! {
            view = overview.value_changed() => {
                let Some(body) = view.and_then(|view| view.value) else { return Ok(()) };
                // The write fails when the reader of the output, such as `head`, has read enough.
                let Ok(()) = print(&body) else { return Ok(()) };
            }
            pressed = tokio::signal::ctrl_c() => return Ok(pressed?),
        }
    }
}

fn print(OverviewBody { overview, tasks, .. }: &OverviewBody) -> io::Result<()> {
    let (stats, mut output) = (&overview.stats, io::stdout());
    let (all, running, waiting) = (stats.total_tasks, stats.running_tasks, stats.waiting_tasks);
    writeln!(output, "{all} tasks, {running} running, {waiting} waiting; {} events", stats.total_events)?;
    for task in tasks.items.iter().take(5) {
        // Titles come from other programs. Control characters in them could change the terminal's state.
        let title = task.title.replace(char::is_control, " ");
        writeln!(output, "  {:<10} {title}", task.status.as_str())?;
    }
    Ok(())
}
