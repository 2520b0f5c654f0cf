//! Prints the overview each time it changes, until Ctrl-C.
//!
//! ```sh
//! cargo run --example overview_terminal -- http://127.0.0.1:7373
//! ```

use std::io::Write;

use requery::client::{Client, ClientConfig};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = std::env::args().nth(1).unwrap_or_else(|| "http://127.0.0.1:7373".to_owned());
    let client = Client::connect(ClientConfig::new(server))?;
    let mut overview = client.overview(); // Kept current until it is dropped.
    while let Some(body) = overview.value_changed().await.and_then(|view| view.value) {
        let stats = &body.overview.stats;
        let mut text = format!("{} tasks, {} running\n", stats.total_tasks, stats.running_tasks);
        for task in body.tasks.items.iter().take(5) {
            text += &format!("  {:<10} {}\n", task.status.as_str(), task.title.replace(char::is_control, " "));
        }
        let Ok(()) = std::io::stdout().write_all(text.as_bytes()) else { break };
    }
    Ok(())
}
