//! Waits until a task ends. Exits with 0 if it completed, and with 1 if it failed or does not exist (any more).
//!
//! The exit code is 2 if the arguments are wrong or the server refuses the connection. A server that is away is waited
//! for.
//!
//! ```sh
//! cargo run --example wait_for_task -- http://127.0.0.1:7373 0190b0a0-0000-7000-8000-000000000001 && make deploy
//! ```

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;

use requery::client::{Client, ClientConfig, Status, View, ViewState};
use requery::protocol::model::TaskStatus;
use requery::protocol::{ReadModel, TaskId};

/// The result of the wait.
enum TaskEnd {
    Completed,
    Errored,
    NotFound,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [server, id] = &arguments[..] else {
        eprintln!("usage: wait_for_task SERVER TASK_ID");
        return ExitCode::from(2);
    };
    match wait(server, id).await {
        Ok(TaskEnd::Completed) => {
            print("completed");
            ExitCode::SUCCESS
        }
        Ok(TaskEnd::Errored) => {
            print("errored");
            ExitCode::FAILURE
        }
        Ok(TaskEnd::NotFound) => {
            print("not found");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

/// The exit code has the result too, so a closed output is no failure. `println!` would panic there.
fn print(result: &str) {
    let _ = writeln!(std::io::stdout(), "{result}");
}

async fn wait(server: &str, id: &str) -> Result<TaskEnd, Box<dyn Error>> {
    let id: TaskId = id.parse()?;
    let client = Client::connect(ClientConfig::new(server))?;
    let watch = client.watch(ReadModel::Task(id));
    let mut changes = client.changes();
    let mut shown = None;
    loop {
        if let Status::Closed { reason } = client.status() {
            return Err(format!("the server refuses the connection: {reason}").into());
        }
        let view = watch.view();
        if view.state == ViewState::NotFound {
            return Ok(TaskEnd::NotFound);
        }
        match task_status(&view)? {
            Some(TaskStatus::Completed) => return Ok(TaskEnd::Completed),
            Some(TaskStatus::Errored) => return Ok(TaskEnd::Errored),
            status @ Some(TaskStatus::Running | TaskStatus::Waiting) if status != shown => {
                eprintln!("{}", status.map_or("", TaskStatus::as_str));
                shown = status;
            }
            _ => {}
        }
        if !changes.next().await {
            return Err("the client ended".into());
        }
    }
}

/// The status in a fresh view. A stale view is skipped: an agent may have resumed a completed task since.
fn task_status(view: &View) -> Result<Option<TaskStatus>, Box<dyn Error>> {
    let Some(body) = view.body.as_ref().filter(|_| view.state == ViewState::Fresh) else { return Ok(None) };
    Ok(body.task().transpose()?.map(|detail| detail.task.status))
}
