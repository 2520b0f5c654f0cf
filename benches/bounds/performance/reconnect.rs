//! Five thousand clients come back at once after the server was started again, and no row has changed.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tempfile::TempDir;

use crate::machine::{now, rounds};
use crate::swarm::{Opening, Swarm};
use crate::table::{Limit, Row, quantile};

use super::{Requery, until};

const CLIENTS: usize = 5_000;
/// The clients among them that watch one project.
const OF_PROJECT: usize = 1_000;
/// The clients among them that watch one project, and narrow the stream to a task. The server looks up the task.
const NARROWED: usize = 1_000;
const TASKS: usize = 200;
const TIMEOUT: Duration = Duration::from_secs(60);
/// The pause between two requests of the bystander.
const APART: Duration = Duration::from_millis(20);
/// What the bystander asks for. It is counted apart.
const ASKED: &str = "/api/v1/hooks";
const QUERIES: &str = "requery_queries_total";

pub fn measure() -> Vec<Row> {
    super::on_load_core(|| {
        let (mut seconds, mut asked) = (Vec::new(), Vec::new());
        let (mut queries, mut first_frames, mut look_ups) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds() {
            let folder = TempDir::new().unwrap();
            let path = folder.path().join("requery.db");
            let mut requery = Requery::on(&path, &[]);
            let task = requery.tasks(TASKS, "acme-web").remove(0);
            let address = requery.server.address;
            let first = Swarm::open(Opening::requery(address, CLIENTS));
            let read = requery.writer.done("GET", "/api/v1/overview", "");
            let since = read.header("requery-cursor").unwrap().to_owned();
            requery.server.stop();
            drop(first);
            let mut requery = Requery::at(&address.to_string(), &path, &[]);
            let bystander = &mut requery.writer;
            let of_kind = |count, path: &str, message| Opening {
                path: format!("/ws?since={since}{path}"),
                message,
                at_once: count,
                ..Opening::requery(address, count)
            };
            let watch = format!(r#"{{"type":"watch","payload":{{"read_models":["overview","task:{task}"]}}}}"#);
            let of_project = "&project=acme-web";
            let began = now();
            let swarms = [
                Swarm::begin(of_kind(NARROWED, of_project, Some(watch))),
                Swarm::begin(of_kind(OF_PROJECT, of_project, None)),
                Swarm::begin(of_kind(CLIENTS - OF_PROJECT - NARROWED, "", None)),
            ];
            let mut times = Vec::new();
            // A turn that the server holds up does not move the ones after it.
            for due in (0..).map(|turn| began + turn * APART.as_nanos() as u64) {
                until(due);
                bystander.done("GET", ASKED, "");
                times.push((now() - due) as f64 / 1e6);
                let live: usize = swarms.iter().map(|swarm| swarm.seen.live.load(Ordering::SeqCst)).sum();
                // The first frame, and the answer to `watch`.
                let is_narrowed = swarms[0].seen.frames.load(Ordering::SeqCst) >= 2 * NARROWED as u64;
                if live == CLIENTS && is_narrowed {
                    break;
                }
                assert!(now() - began < TIMEOUT.as_nanos() as u64, "{live} of {CLIENTS} clients are live again");
            }
            seconds.push((now() - began) as f64 / 1e9);
            asked.push(quantile(&times, 0.99));
            queries.push(requery.counter(QUERIES, "") - requery.counter(QUERIES, "operation=\"hooks_heard\""));
            first_frames.push(requery.counter("requery_first_frames_read_total", ""));
            look_ups.push(requery.counter("requery_task_look_ups_total", ""));
            // A server that counts no query would meet the bound without any work.
            requery.writer.done("GET", "/api/v1/overview", "");
            assert!(requery.counter(QUERIES, "operation=\"overview\"") > 0.0, "this server does not count its queries");
            drop((swarms, requery));
        }
        let name = |figure: &str| format!("{CLIENTS} clients come back after a restart: {figure}");
        vec![
            Row::new(name("read-model queries"), queries, "", Limit::AtMost(0.0)),
            Row::new(name("first frames that were read"), first_frames, "", Limit::AtMost(3.0)),
            Row::new(name("look-ups of watched tasks"), look_ups, "", Limit::AtMost(NARROWED as f64)),
            Row::new(name("all live after"), seconds, " s", Limit::AtMost(10.0)),
            Row::new(name("p99 of a bystander's request"), asked, " ms", Limit::AtMost(100.0)),
        ]
    })
}
