//! The documented example: a private Postgres, three servers and nginx, started by one script.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use requery::engine::EngineSettings;
use requery::protocol::ReadModel;
use rustix::process::{Pid, Signal, kill_process};

use crate::app::PATIENCE;
use crate::viewer::Viewer;

/// The running script. A drop ends it and all that it started.
struct Example {
    script: Child,
    port: u16,
    folder: PathBuf,
    /// The processes of the servers.
    servers: Vec<i32>,
}

impl Example {
    fn start() -> Self {
        let port = free_ports();
        // Postgres runs as another user where the test runs as root, so the folder is in no folder of this test.
        let folder = std::env::temp_dir().join(format!("requery-example-{}", uuid::Uuid::now_v7().simple()));
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/replicas/start");
        let mut command = Command::new(script);
        command.env("REQUERY", env!("CARGO_BIN_EXE_requery")).env("PORT", port.to_string()).env("FOLDER", &folder);
        let mut script = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut servers = Vec::new();
        for line in BufReader::new(script.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            let processes =
                line.split("(process ").skip(1).filter_map(|rest| rest.split(')').next()?.parse::<i32>().ok());
            servers.extend(processes);
            if line.starts_with("Ctrl-C stops") {
                break;
            }
        }
        assert_eq!(servers.len(), 3, "the script has started all");
        Self { script, port, folder, servers }
    }

    /// Starts a task with SQL, as the documented command does.
    fn psql(&self, title: &str) {
        let mut command = Command::new("psql");
        command.arg("-h").arg(self.folder.join("postgres")).args(["-X", "-q", "-U", "requery", "requery", "-c"]);
        command.arg(format!("insert into requery.tasks (title) values ('{title}')")).env_remove("PGPORT");
        assert!(command.status().unwrap().success());
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.script), Signal::TERM);
        let _ = self.script.wait();
    }
}

/// The first of four ports that no program uses.
fn free_ports() -> u16 {
    let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let mut firsts = std::iter::repeat_with(|| fastrand::u16(20_000..32_000)).take(1_000);
    firsts.find(|first| (*first..first + 4).all(is_free)).expect("four free ports")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_screen_behind_nginx_follows_psql_also_when_a_server_is_killed() {
    let example = tokio::task::spawn_blocking(Example::start).await.unwrap();
    let screens: Vec<_> = ["one", "two", "three"]
        .map(|name| {
            let viewer =
                Viewer::connect(name, &format!("http://127.0.0.1:{}", example.port), EngineSettings::default());
            viewer.watch(ReadModel::Overview);
            viewer
        })
        .into();
    for (round, killed) in [None, Some(example.servers[0]), None, Some(example.servers[1])].into_iter().enumerate() {
        if let Some(killed) = killed.and_then(Pid::from_raw) {
            kill_process(killed, Signal::KILL).unwrap();
        }
        let title = format!("by psql, round {round}");
        example.psql(&title);
        let began = Instant::now();
        while !screens.iter().all(|screen| screen.titles().contains(&title)) {
            assert!(
                began.elapsed() < PATIENCE,
                "round {round}: {:?}",
                screens.iter().map(Viewer::titles).collect::<Vec<_>>()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        println!("round {round}: all screens show the task after {:?}", began.elapsed());
    }
    drop(screens);
    let folder = example.folder.clone();
    drop(example);
    assert!(!folder.exists(), "the script deletes its folder");
}
