//! Servers behind PgBouncer, which gives each transaction another connection of Postgres.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use requery::server::config::ServerConfig;
use requery::server::database::Location;
use serde_json::json;
use tempfile::TempDir;

use super::replica::{Replica, kind, until_started};
use crate::app::PATIENCE;
use crate::cluster::programs::{as_server_user, give_away, server_program};
use crate::cluster::{Cluster, TestDatabase};
use crate::viewer::Viewer;

/// The connections to Postgres: fewer than one server opens, so the servers get them in turn.
const CONNECTIONS: u32 = 3;

/// The program `pgbouncer` in front of the shared cluster. A drop ends it.
struct PgBouncer {
    program: Child,
    port: u16,
    folder: TempDir,
}

impl PgBouncer {
    fn start(database: &TestDatabase) -> Self {
        let folder = TempDir::with_prefix("requery-pgbouncer-").unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (name, cluster) = (&database.name, Cluster::shared().port());
        let settings = format!(
            "[databases]\n{name} = host=127.0.0.1 port={cluster} dbname={name} user=postgres\n[pgbouncer]\n\
             listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = transaction\n\
             default_pool_size = {CONNECTIONS}\nmax_client_conn = 200\n\
             server_round_robin = 1\n"
        );
        let file = folder.path().join("pgbouncer.ini");
        write!(std::fs::File::create(&file).unwrap(), "{settings}").unwrap();
        give_away(folder.path());
        let mut command = as_server_user(&found(), folder.path());
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        command.arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let bouncer = Self { program: command.spawn().unwrap(), port, folder };
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < until, "pgbouncer does not start: {}", bouncer.log());
            std::thread::sleep(Duration::from_millis(10));
        }
        bouncer
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    async fn serve(&self, database: &TestDatabase) -> Replica {
        let url = format!("postgres://postgres@127.0.0.1:{}/{}", self.port, database.name);
        let change = |config: &mut ServerConfig| {
            let Location::Server(server) = url.parse().unwrap() else { panic!("{url}") };
            config.database = Location::Server(Box::new(server.with_direct_url(Some(database.url.clone())).unwrap()));
        };
        Replica::start_with(database, change).await
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

/// The program. Debian has it in a folder that is not in the `PATH` of every user.
fn found() -> std::path::PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    let found = folders.map(|folder| folder.join("pgbouncer")).find(|program| program.exists());
    found.unwrap_or_else(|| {
        let near = server_program("postgres");
        panic!("the tests need the program pgbouncer (apt-get install pgbouncer); Postgres is {}", near.display())
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_behind_one_proxy_show_and_answer_all_writes() {
    let database = Cluster::shared().create_database();
    let bouncer = PgBouncer::start(&database);
    let (a, b) = (bouncer.serve(&database).await, bouncer.serve(&database).await);
    let mut streams = [a.stream("").await.0, b.stream("").await.0];
    let viewers = [&a, &b].map(|server| Viewer::follow("screen", &server.app.url(""), Default::default()));

    for round in 0..6 {
        let task = match round % 3 {
            0 => a.add("by a").await.0,
            1 => b.add("by b").await.0,
            _ => database.psql("insert into tasks (title) values ('by psql') returning id"),
        };
        for ws in &mut streams {
            assert_eq!(until_started(ws, &task).await.len(), 1);
        }
    }

    // 500 writes and as many reads side by side, each on the other server.
    let (task, _) = a.add("many events").await;
    let path = format!("/api/v1/tasks/{task}");
    let servers = [&a, &b];
    let write = async |writer: usize| {
        for round in 0..50 {
            let event = json!({"kind": "log", "title": format!("{writer}.{round}")});
            let logged = servers[writer % 2].client.post(&format!("{path}/events"), event).await;
            assert_eq!(logged.status, 201, "{}", logged.text);
            let cursor = super::replica::cursor_of(&logged);
            let timeline = servers[1 - writer % 2].get_at_least(&format!("{path}/timeline?limit=100"), &cursor).await;
            assert!(timeline.text.contains(&format!("\"{writer}.{round}\"")), "{}", timeline.text);
        }
    };
    join_all((0..10).map(write)).await;
    assert_eq!(database.psql(&format!("select event_count from task_counts where id = '{task}'")), "500");
    for (server, viewer) in servers.iter().zip(&viewers) {
        server.settle(&[viewer]).await;
    }
    // Each transaction set its own schema and timeouts: none stays with a connection of the proxy.
    let through = TestDatabase::at(&format!("postgres://postgres@127.0.0.1:{}/{}", bouncer.port, database.name));
    let mut plain = std::process::Command::new("psql");
    plain.args(["-X", "-At", "-d", &through.url, "-c", "show search_path", "-c", "show statement_timeout"]);
    let shown = String::from_utf8(plain.output().unwrap().stdout).unwrap();
    assert_eq!(shown, "\"$user\", public\n0\n", "{}", bouncer.log());
    assert!(!bouncer.log().contains("prepared statement"), "{}", bouncer.log());
}

/// The proxy goes away and comes back: the streams stay open, and no change is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_is_restarted_loses_no_change() {
    let database = Cluster::shared().create_database();
    let mut bouncer = PgBouncer::start(&database);
    let server = bouncer.serve(&database).await;
    let mut ws = server.stream("").await.0;
    let (before, _) = server.add("before").await;
    until_started(&mut ws, &before).await;
    bouncer.program.kill().unwrap();
    bouncer.program.wait().unwrap();
    let by_psql = database.psql("insert into tasks (title) values ('meanwhile') returning id");
    let mut command = as_server_user(&found(), bouncer.folder.path());
    command.arg(bouncer.folder.path().join("pgbouncer.ini")).stdin(Stdio::null()).stdout(Stdio::null());
    bouncer.program = command.stderr(Stdio::null()).spawn().unwrap();
    server.until_known().await;
    let (after, _) = server.add("after").await;
    let frames = until_started(&mut ws, &after).await;
    let started: Vec<_> = frames.iter().filter(|frame| kind(frame) == "task.started").collect();
    assert!(started.iter().any(|frame| frame["payload"]["task_id"] == by_psql.as_str()), "{frames:?}");
    assert_eq!(server.client.get(&format!("/api/v1/tasks/{by_psql}")).await.status, 200);
}
