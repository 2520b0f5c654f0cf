//! Waits until a task ends. Exits with 0 if it completed, with 1 if it failed or does not exist, and with 2 otherwise.
//!
//! ```sh
//! cargo run --example wait_for_task -- http://127.0.0.1:7373 0190b0a0-0000-7000-8000-000000000001 && make deploy
//! ```

use std::{error::Error, io::Write, process::ExitCode};

use requery::client::{Client, ClientConfig, HeldState, Status};
use requery::protocol::model::TaskStatus::{self, Completed, Errored};

#[tokio::main]
async fn main() -> ExitCode {
    match wait().await {
        Ok(Some(Completed)) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

async fn wait() -> Result<Option<TaskStatus>, Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (server, id) = arguments.next().zip(arguments.next()).ok_or("usage: wait_for_task SERVER TASK_ID")?;
    let client = Client::connect(ClientConfig::new(server))?;
    let mut task = client.task(id.parse()?);
    let refused = client.wait_for_status(|status| matches!(status, Status::Closed { .. }));
    // A stale view does not count: an agent may have resumed a completed task since.
    let ended = task.wait_for(|view| match view.value.as_ref().map(|detail| detail.task.status) {
        _ if view.state == HeldState::Gone => true,
        status => view.is_fresh() && matches!(status, Some(Completed | Errored)),
    });
    let view =
        tokio::select! { view = ended => view, _ = refused => None }.ok_or_else(|| client.status().to_string())?;
    let status = view.value.filter(|_| view.state != HeldState::Gone).map(|detail| detail.task.status);
    writeln!(std::io::stdout(), "{}", status.map_or("not found", TaskStatus::as_str))?;
    Ok(status)
}
