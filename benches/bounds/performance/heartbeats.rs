//! The processor time of heartbeats.

use std::time::Duration;

use crate::machine::{is_quick, rounds};
use crate::swarm::{Opening, Swarm};
use crate::table::{Limit, Row};

use super::Requery;

const CONNECTIONS: usize = 10_000;
/// Five times as often as by default, so that a short round has several heartbeats.
const HEARTBEAT: &str = "5s";
const OFTEN: f64 = 5.0;
/// One round of a full run, and of a quick one: two heartbeats and one.
const ROUNDS: [Duration; 2] = [Duration::from_secs(10), Duration::from_secs(5)];

pub fn measure() -> Vec<Row> {
    super::on_load_core(|| {
        let requery = Requery::start(&["--heartbeat", HEARTBEAT]);
        let swarm = Swarm::open(Opening::requery(requery.server.address, CONNECTIONS));
        std::thread::sleep(Duration::from_secs(6));
        let lasts = ROUNDS[usize::from(is_quick())];
        let round = |_| {
            let before = requery.busy();
            std::thread::sleep(lasts);
            let share = (requery.busy() - before) / lasts.as_secs_f64();
            share * 100.0 / OFTEN / (CONNECTIONS / 1_000) as f64
        };
        let shares = (0..rounds()).map(round).collect();
        drop(swarm);
        let name = "1000 idle connections, share of a core at the default heartbeat (measured at a fifth of it)";
        vec![Row::new(name, shares, " %", Limit::AtMost(1.0))]
    })
}
