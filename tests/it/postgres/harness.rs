//! The cluster of the tests itself: it starts, it bears tests side by side, and it never outlives its process.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::app::PATIENCE;
use crate::cluster::Cluster;

/// The test that the next test runs in a process of its own.
const ENDLESS: &str = "postgres::harness::a_cluster_for_a_process_that_is_killed";
/// The variable that makes that test wait.
const WAITS: &str = "REQUERY_TEST_WAITS";

#[test]
fn psql_runs_statements_and_names_errors() {
    let database = Cluster::shared().create_database();
    database.psql("create schema requery; create table t (a bigint, b text); insert into t values (1, null), (2, 'x')");
    assert_eq!(database.psql("select * from t order by a; select count(*) > 1 from requery.t"), "1|\n2|x\nt");
    let error = database.try_psql("insert into t values (3, ''); select 1 / 0; insert into t values (4, '')");
    assert!(error.as_ref().is_err_and(|error| error.contains("division by zero")), "{error:?}");
    assert_eq!(database.psql("select max(a) from t"), "3", "each statement before the error is a transaction");
    database.try_psql("begin; insert into t values (5, ''); select 1 / 0; commit").unwrap_err();
    assert_eq!(database.psql("select max(a) from t"), "3");
    let long = "x".repeat(3_000_000);
    assert_eq!(database.psql(&format!("select length('{long}'); select '{long}'")).len(), 7 + 1 + long.len());
}

#[test]
fn tests_side_by_side_have_databases_of_their_own() {
    std::thread::scope(|scope| {
        for number in 0..6 {
            scope.spawn(move || {
                let database = Cluster::shared().create_database();
                database.psql(&format!("create schema requery; create table t as select {number} as a"));
                assert_eq!(database.psql("select a from t"), number.to_string());
            });
        }
    });
}

#[test]
fn a_cluster_is_killed_and_restarted_at_its_port() {
    let mut cluster = Cluster::start_own();
    let database = cluster.create_database();
    database.psql("create schema requery; create table t (a bigint); create unlogged table u (a bigint)");
    database.psql("insert into t values (1); insert into u values (1); checkpoint");
    let (port, pid) = (cluster.port(), cluster.pid());
    cluster.kill_primary();
    database.try_psql("select 1").unwrap_err();
    cluster.start();
    assert_eq!(database.psql("select count(*) from t; select count(*) from u"), "1\n0", "{}", cluster.log());
    assert_eq!(cluster.port(), port);
    assert_ne!(cluster.pid(), pid);
    database.psql("insert into u values (2)");
    cluster.restart();
    assert_eq!(database.psql("select count(*) from t; select count(*) from u"), "1\n1");
    let over_tcp = crate::cluster::TestDatabase::at(&cluster.tcp_url(&database.name));
    assert_eq!(over_tcp.psql("select current_database()"), database.name);
    cluster.stop();
    database.try_psql("select 1").unwrap_err();
}

#[test]
fn a_cluster_ends_with_its_process() {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", ENDLESS, "--nocapture", "--test-threads", "1"]).env(WAITS, "yes").stdout(Stdio::piped());
    let mut process = command.spawn().unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let data = lines.find_map(|line| line.unwrap().split_once("data at ").map(|(_, path)| PathBuf::from(path)));
    let data = data.expect("the process prints the folder of its cluster");
    assert!(data.join("postmaster.pid").exists());
    // The keeper reads the end of the pipe, however the process ends.
    process.kill().unwrap();
    process.wait().unwrap();
    let folder: &Path = data.parent().unwrap();
    let until = Instant::now() + PATIENCE;
    while folder.exists() {
        assert!(Instant::now() < until, "{} is not deleted in time", folder.display());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Does nothing in a usual run.
#[test]
fn a_cluster_for_a_process_that_is_killed() {
    if std::env::var_os(WAITS).is_some() {
        println!("data at {}", Cluster::shared().data().display());
        std::thread::sleep(2 * PATIENCE);
    }
}
