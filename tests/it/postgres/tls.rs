//! Connections over TLS, and the reasons for which there is no connection. Also a schema with another name.
//!
//! `tests/fixtures/tls` has the certificate of an authority, a certificate of it for `localhost` and its key, and the
//! certificate of another authority. They were made with `openssl` and end in the year 2126.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use requery::server::database::{Database, Location};
use tempfile::TempDir;

use super::replica::Replica;
use crate::app::PATIENCE;
use crate::cluster::{Cluster, SCHEMA, TestDatabase, programs};
use crate::process::ServerProcess;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls").join(name)
}

/// A cluster that offers TLS. Postgres refuses a key that other users can read.
fn with_tls() -> Cluster {
    let settings = ["ssl=on", "ssl_cert_file=../server.pem", "ssl_key_file=../server.key"];
    Cluster::start_in(&settings, |folder| {
        for name in ["server.pem", "server.key"] {
            std::fs::copy(fixture(name), folder.join(name)).unwrap();
        }
        let key = folder.join("server.key");
        std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        programs::give_away(&key);
        Vec::new()
    })
}

/// Why no server opens the database, and how long that took.
async fn refusal(url: &str) -> (String, Duration) {
    let began = Instant::now();
    let opened = Database::open(url.parse::<Location>().unwrap()).await;
    (opened.err().expect("the database cannot be opened").to_string(), began.elapsed())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_connection_is_encrypted_and_the_authority_is_checked() {
    let cluster = with_tls();
    let database = cluster.create_database();
    let url = |host: &str, mode: &str, authority: &str| {
        let file = fixture(authority);
        format!(
            "postgres://postgres@{host}:{}/{}?sslmode={mode}&sslrootcert={}",
            cluster.port(),
            database.name,
            file.display()
        )
    };
    for url in [url("localhost", "verify-full", "authority.pem"), url("127.0.0.1", "verify-ca", "authority.pem"), {
        format!("{}?sslmode=require", cluster.tcp_url(&database.name))
    }] {
        let server = Replica::start(&TestDatabase::at(&url)).await;
        server.add("over TLS").await;
        let count = |which: &str| {
            let of_ours = "from pg_stat_ssl join pg_stat_activity using (pid) where application_name = 'requery'";
            database.psql(&format!("select count(*) {of_ours} and {which}"))
        };
        // The connections of the tail and of the bell.
        for query in ["query like 'select pg_current_snapshot()%union all%'", "query ilike 'listen%'"] {
            let began = Instant::now();
            while count(query) != "1" {
                assert!(began.elapsed() < PATIENCE, "{query}");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        assert_eq!(count("not ssl"), "0", "{url}");
        server.app.stop().await;
    }
    assert_eq!(database.psql("select count(*) from tasks"), "3");
    let (why, _) = refusal(&url("localhost", "verify-full", "other-authority.pem")).await;
    assert!(why.contains("could not connect: invalid peer certificate"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_reason_for_no_connection_is_told() {
    let cluster = Cluster::shared();
    let database = cluster.create_database();
    let (why, _) = refusal(&format!("{}?sslmode=require", cluster.tcp_url(&database.name))).await;
    assert!(why.contains("no TLS connection"), "{why}");
    // The port was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (why, took) = refusal(&format!("postgres://postgres@127.0.0.1:{port}/agents")).await;
    assert!(why.contains("Connection refused") && !why.contains("busy"), "{why}");
    assert!(took < Duration::from_secs(10), "{took:?}");
    let (why, _) = refusal(&format!("{}_of_nobody", cluster.tcp_url(&database.name))).await;
    assert!(why.contains("does not exist"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_keeps_to_the_schema_that_it_is_given() {
    let database = Cluster::shared().create_database();
    database.psql("create table public.tasks (mine text)");
    let folder = TempDir::new().unwrap();
    let server = ServerProcess::start(Path::new(&database.url), folder.path(), |command| {
        command.args(["--database-schema", "agents_2"]);
    });
    assert_eq!(server.add("through the server").await.0, 201);
    database.psql("insert into agents_2.tasks (title) values ('with SQL')");
    server.stop();
    assert_eq!(database.psql("select count(*) from agents_2.tasks"), "2");
    assert_eq!(database.psql("select count(*) from agents_2.changes"), "2");
    let others = format!("select count(*) from pg_namespace where nspname = '{}'", SCHEMA);
    assert_eq!(database.psql(&others), "0", "no schema of another name is made");
    assert_eq!(database.psql("select count(*) from public.tasks"), "0", "the tables of others are left alone");
}
