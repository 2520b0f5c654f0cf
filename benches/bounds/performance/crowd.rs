//! Ten thousand connections: the time to connect, the memory, and the delays at five changes a second.

use std::time::Duration;

use crate::bare::{Bare, broadcast, renumbered};
use crate::exchange::Exchange;
use crate::machine::{is_quick, now, resident, rounds};
use crate::swarm::{Opening, Swarm, wait_until};
use crate::table::{Limit, Row};

use super::{Requery, compared, log, paced, percentile, until};

const CONNECTIONS: usize = 10_000;
/// The connections that make a server allocate the memory that all connections share.
const WARM_UP: usize = 100;
/// The changes of one round of a full run and of a quick one.
const CHANGES: [usize; 2] = [50, 35];
const APART: Duration = Duration::from_millis(200);
const SETTLE: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_secs(20);

/// The figures of one server, one for each round.
#[derive(Default)]
struct Figures {
    seconds: Vec<f64>,
    kilobytes: Vec<f64>,
    delays: Vec<Vec<f64>>,
    posts: Vec<Vec<f64>>,
    /// The changes a second that the server took.
    rates: Vec<f64>,
}

pub fn measure() -> Vec<Row> {
    super::on_load_core(|| {
        let (mut ours, mut bare) = (Figures::default(), Figures::default());
        for _ in 0..rounds() {
            let mut requery = Requery::start(&[]);
            let task = requery.tasks(1, "acme-web").remove(0);
            let process = requery.server.process();
            let opening = Opening::requery(requery.server.address, CONNECTIONS);
            let writer = &mut requery.writer;
            let sample = ours.note(process, opening, |_| log(writer, &task, 1).cursor());
            drop(requery);

            let server = Bare::start();
            let mut writer = Exchange::open(server.address);
            let opening = Opening::bare(server.address, CONNECTIONS);
            bare.note(server.process(), opening, |number| {
                broadcast(&mut writer, &renumbered(&sample, number), 1);
                number
            });
        }
        let thousands = |part: &str| format!("{CONNECTIONS} connections, {part}");
        let mut rows = compared(
            &thousands("time to connect"),
            &ours.seconds,
            &[("bare poem", &bare.seconds, Limit::AtMost(1.5))],
            " s",
        );
        let memory = thousands("memory of one");
        rows.push(Row::new(memory.clone(), ours.kilobytes, " KB", Limit::AtMost(4.0)));
        rows.push(Row::new(format!("{memory}, bare poem"), bare.kilobytes, " KB", Limit::Open));
        for (share, name, bound) in [(0.5, "p50", Limit::Open), (0.99, "p99", Limit::AtMost(1.0))] {
            let name = thousands(&format!("5 changes a second, change to client, {name}"));
            let (ours, bare) = (percentile(&ours.delays, share), percentile(&bare.delays, share));
            rows.extend(compared(&name, &ours, &[("bare poem", &bare, bound)], " ms"));
        }
        for (share, name, bound) in [(0.5, "p50", Limit::Open), (0.99, "p99", Limit::AtMost(2.0))] {
            let name = thousands(&format!("5 changes a second, the POST, {name}"));
            let (ours, bare) = (percentile(&ours.posts, share), percentile(&bare.posts, share));
            rows.extend(compared(&name, &ours, &[("bare poem", &bare, bound)], " ms"));
        }
        let wanted = Limit::AtLeast(0.95 / APART.as_secs_f64());
        rows.push(Row::new(thousands("changes taken, of 5 a second"), ours.rates, " /s", wanted));
        rows.push(Row::new(thousands("changes taken, of 5 a second, bare poem"), bare.rates, " /s", Limit::Open));
        rows
    })
}

impl Figures {
    /// One round. `change` makes the change with this number and returns its cursor. Returns the text of a notice.
    fn note(&mut self, process: u32, opening: Opening, mut change: impl FnMut(u64) -> u64) -> String {
        let first = Swarm::open(Opening { count: WARM_UP, ..opening.clone() });
        change(1);
        std::thread::sleep(SETTLE);
        drop(first);
        let before = resident(process);
        let swarm = Swarm::open(opening);
        self.seconds.push(swarm.took.as_secs_f64());
        std::thread::sleep(SETTLE);
        swarm.record();
        let (mut changes, mut posts) = (Vec::new(), Vec::new());
        let (began, count) = (now(), CHANGES[usize::from(is_quick())]);
        for (due, number) in paced(count, APART).zip(2..) {
            changes.push((change(number), due));
            posts.push((now() - due) as f64 / 1e6);
        }
        until(began + (APART * count as u32).as_nanos() as u64);
        self.rates.push(count as f64 * 1e9 / (now() - began) as f64);
        let last = changes.last().unwrap().0;
        wait_until("each connection has the last change", TIMEOUT, || swarm.behind(last) == 0);
        let delays = swarm.delays(&changes);
        assert_eq!(delays.len(), count * CONNECTIONS, "each change reached each connection");
        self.kilobytes.push((resident(process) - before) / CONNECTIONS as f64 / 1024.0);
        self.delays.push(delays);
        self.posts.push(posts);
        swarm.sample()
    }
}
