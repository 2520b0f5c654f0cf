//! Agents of several machines on one database: each server judges what its own machine knows.
//!
//! The servers of a test are on one machine. So the process of an agent of another machine has the id of another one.

#![cfg(target_os = "linux")]

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use requery::agent::process::Process;
use requery::server::agents::SilenceLimits;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::lease::{holder, until_held};
use super::replica::Replica;
use crate::app::PATIENCE;
use crate::cluster::{Cluster, TestDatabase};

/// A process that stands for a client, with the file in which the client says its status. A drop kills it.
struct Agent {
    session: &'static str,
    client: Child,
    file: PathBuf,
}

impl Agent {
    /// The file is in the folder of the sessions of a server.
    fn start(session: &'static str, folder: &TempDir) -> Self {
        let client = Command::new("sleep").arg("600").stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        let file = folder.path().join(format!("{}.json", client.id()));
        Self { session, client, file }
    }

    fn process(&self) -> Process {
        Process::running(self.client.id()).unwrap()
    }

    /// The name of the process with the same numbers on another machine.
    fn process_elsewhere(&self) -> String {
        let process = self.process().to_string();
        let (_, numbers) = process.split_once(':').unwrap();
        format!("{}:{numbers}", "0".repeat(32))
    }

    /// Sends a hook, which names the process of the agent if there is one.
    async fn hook(&self, server: &Replica, name: &str, more: Value, process: Option<String>) {
        let mut body = json!({"session_id": self.session, "hook_event_name": name, "cwd": "/home/dev/shop"});
        body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        let headers: Vec<_> = process.into_iter().map(|process| ("requery-process", process)).collect();
        let answer = server.client.send("POST", "/api/v1/hooks/claude-code", Some(body.to_string()), &headers).await;
        assert_eq!(answer.status, 204, "{}", answer.text);
    }

    async fn prompt(&self, server: &Replica, process: Option<String>) {
        self.hook(server, "UserPromptSubmit", json!({"prompt": "hi"}), process).await;
    }

    /// Asks for the permission to run a command.
    async fn ask(&self, server: &Replica) {
        let call = json!({"tool_name": "Bash", "tool_use_id": "a", "tool_input": {"command": "make the shop"}});
        self.prompt(server, None).await;
        self.hook(server, "PreToolUse", call.clone(), None).await;
        self.hook(server, "PermissionRequest", call, None).await;
    }

    /// Writes the file as the client does.
    fn say(&self, status: &str, waiting_for: Option<&str>) {
        let now_ms = chrono::Utc::now().timestamp_millis();
        let mut said = json!({
            "pid": self.client.id(), "procStart": self.process().began().to_string(), "sessionId": self.session,
            "version": "2.1.332", "kind": "interactive", "status": status, "statusUpdatedAt": now_ms,
        });
        if let Some(waiting_for) = waiting_for {
            said["waitingFor"] = waiting_for.into();
        }
        let new = self.file.with_extension("new");
        std::fs::write(&new, said.to_string()).unwrap();
        std::fs::rename(new, &self.file).unwrap();
    }

    fn say_nothing_more(&self) {
        std::fs::remove_file(&self.file).unwrap();
    }

    /// The status of the task, its reason, the reason of its stale flag, and whether the status is in doubt.
    fn standing(&self, database: &TestDatabase) -> String {
        database.psql(&format!(
            "select concat_ws(' ', status, status_reason, stale_reason, case status_certain when 0 then 'in doubt' end)
            from requery.tasks where external_id = '{}'",
            self.session
        ))
    }

    async fn until_is(&self, database: &TestDatabase, wanted: &str) {
        let until = Instant::now() + PATIENCE;
        loop {
            let standing = self.standing(database);
            if standing == wanted {
                return;
            }
            assert!(Instant::now() < until, "{} is {standing} and not {wanted}", self.session);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn kill(&mut self) {
        self.client.kill().unwrap();
        self.client.wait().unwrap();
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}

/// Lets no server get the lease, as if a server elsewhere held it until the end of the test.
async fn keep_lease_away(database: &TestDatabase) {
    database.psql(
        "create function public.keep_away() returns trigger language plpgsql as 'begin return null; end';
        create trigger keep_away before update on requery.leases for each row execute function public.keep_away()",
    );
    let until = Instant::now() + PATIENCE;
    while !holder(database).is_empty() {
        assert!(Instant::now() < until, "the lease does not end: {}", database.psql("table requery.leases"));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A server of which the stale flag comes soon.
async fn start_with_limits(database: &TestDatabase, lost_after: Duration) -> Replica {
    let limits = SilenceLimits { stale_after: Duration::from_secs(1), lost_after };
    Replica::start_with(database, |config| config.silence_limits = limits).await
}

/// A server that reads the files of the sessions in this folder.
async fn start_with_sessions(database: &TestDatabase, folder: &TempDir) -> Replica {
    let folder = folder.path().to_owned();
    Replica::start_with(database, |config| config.session_files = Some(folder)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_the_lease_judges_the_processes_of_its_machine_only() {
    let database = Cluster::shared().create_database();
    let folder = TempDir::new().unwrap();
    let server = start_with_limits(&database, Duration::from_secs(3_600)).await;
    keep_lease_away(&database).await;
    let others = ["unknown", "elsewhere"].map(|session| Agent::start(session, &folder));
    let mut here = Agent::start("here", &folder);
    others[0].prompt(&server, None).await;
    others[1].prompt(&server, Some(others[1].process_elsewhere())).await;
    here.prompt(&server, Some(here.process().to_string())).await;
    // The others are silent for longer.
    here.until_is(&database, "running silent").await;
    here.kill();
    here.until_is(&database, "running gone").await;
    for other in &others {
        assert_eq!(other.standing(&database), "running", "{}", other.session);
    }
    server.app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_of_another_machine_is_flagged_and_never_lost() {
    let database = Cluster::shared().create_database();
    let folder = TempDir::new().unwrap();
    let lost_after = Duration::from_secs(2);
    let first = start_with_limits(&database, lost_after).await;
    until_held(&database).await;
    let second = start_with_limits(&database, lost_after).await;
    let elsewhere = Agent::start("elsewhere", &folder);
    elsewhere.prompt(&first, Some(elsewhere.process_elsewhere())).await;
    // An agent of which nothing is known is judged by the server with the lease, and is silent for less long.
    let unknown = Agent::start("unknown", &folder);
    unknown.prompt(&second, None).await;
    unknown.until_is(&database, "errored lost").await;
    assert_eq!(elsewhere.standing(&database), "running silent");
    first.app.stop().await;
    let later = Agent::start("later", &folder);
    later.prompt(&second, None).await;
    later.until_is(&database, "errored lost").await;
    assert_eq!(elsewhere.standing(&database), "running silent");
    second.app.stop().await;
}

/// A server on the machine of an agent hears its words, whichever server has the lease. No other server takes the
/// absence of these words for an answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_are_heard_on_the_machine_of_their_session_only() {
    let database = Cluster::shared().create_database();
    let folders = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let first = start_with_sessions(&database, &folders[0]).await;
    keep_lease_away(&database).await;
    let moved = Agent::start("moved", &folders[0]);
    let here = Agent::start("here", &folders[0]);
    for agent in [&moved, &here] {
        agent.ask(&first).await;
        agent.say("waiting", Some("permission prompt"));
        agent.until_is(&database, "waiting permission").await;
    }
    // From now on it is an agent of another machine, whose file no server of this one can read.
    let process = moved.process_elsewhere();
    let changed =
        format!("update requery.tasks set process = '{process}' where external_id = 'moved' returning process");
    assert_eq!(database.psql(&changed), process);
    moved.say_nothing_more();
    // The look that misses one of the two words misses the other one too.
    here.say_nothing_more();
    here.until_is(&database, "waiting permission in doubt").await;
    assert_eq!(moved.standing(&database), "waiting permission");
    here.say("busy", None);
    here.until_is(&database, "running").await;

    // A server that starts asks all sessions with a word whether they still say it.
    let last = Agent::start("last", &folders[1]);
    last.prompt(&first, None).await;
    last.say("idle", None);
    let second = start_with_sessions(&database, &folders[1]).await;
    last.until_is(&database, "waiting interrupted").await;
    assert_eq!(moved.standing(&database), "waiting permission");
    assert_eq!(database.psql("select process from requery.tasks where external_id = 'moved'"), process);
    for server in [first, second] {
        server.app.stop().await;
    }
}
