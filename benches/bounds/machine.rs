//! Facts about the machine and its processes.

use std::sync::OnceLock;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

/// Describes the machine in one line.
pub fn describe() -> String {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let info = rustix::system::sysinfo();
    let memory = info.totalram as f64 * f64::from(info.mem_unit) / f64::from(1 << 30);
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let system = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).unwrap_or("unknown system");
    let kernel = rustix::system::uname();
    format!(
        "{cores} cores, {memory:.0} GB, {}, {} {}, {}, load {:.1}",
        system.trim_matches('"'),
        kernel.sysname().to_string_lossy(),
        kernel.release().to_string_lossy(),
        chrono::Utc::now().format("%Y-%m-%d"),
        info.loads[0] as f64 / f64::from(1 << 16),
    )
}

/// Raises the limit of open files, since each connection needs a file. The servers that are started inherit the limit.
pub fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
        let text = |limit: Option<u64>| limit.map_or("no limit".to_owned(), |limit| limit.to_string());
        println!("open files: raised from {} to {}", text(limit.current), text(limit.maximum));
    }
}

/// The monotonic clock in nanoseconds. All processes share this clock, and it is never set back.
pub fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}

/// The resident memory of a process in bytes.
pub fn resident(process: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim_end_matches("kB").trim().parse::<f64>().unwrap() * 1024.0
}

/// The processor time of a process in seconds.
pub fn processor_time(process: u32) -> f64 {
    const TICKS: f64 = 100.0;
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // The name of the program stands in brackets and may contain spaces, so the fields are counted from behind it.
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / TICKS
}

/// The core of a server under test.
pub const SERVER: usize = 0;
/// The core of the load.
pub const LOAD: usize = 1;

/// Runs `work` on a thread that stays on this core, as do all threads and processes that `work` starts. On a machine
/// with one core the load shares that core with the server.
pub fn on_core<T: Send>(core: usize, work: impl FnOnce() -> T + Send) -> T {
    let allowed = allowed();
    let core = allowed[core % allowed.len()];
    std::thread::scope(|scope| {
        let pinned = move || {
            let mut one = CpuSet::new();
            one.set(core);
            sched_setaffinity(None, &one).unwrap();
            work()
        };
        scope.spawn(pinned).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// The cores on which this process may run, before any thread was pinned.
fn allowed() -> &'static [usize] {
    static ALLOWED: OnceLock<Vec<usize>> = OnceLock::new();
    ALLOWED.get_or_init(|| {
        let set = sched_getaffinity(None).unwrap();
        (0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect()
    })
}

/// How long [`busy`] waits for the threads of a process to sleep. A process that works all the time is measured over
/// seconds, so the time of its running threads does not matter there.
const SLEEP_TIMEOUT: Duration = Duration::from_millis(20);

/// The processor time of a process in seconds, exact to microseconds: the sum over its threads. A thread that ends
/// between two calls is missing in the second one.
///
/// The kernel adds the time of a running thread only at its ticks, every 4 ms, and exactly when the thread goes to
/// sleep. So the call waits until no thread runs.
pub fn busy(process: u32) -> f64 {
    let end = now() + SLEEP_TIMEOUT.as_nanos() as u64;
    while of_threads(process, "stat").any(|stat| is_running(&stat)) && now() < end {
        std::thread::sleep(Duration::from_micros(200));
    }
    let spent = of_threads(process, "schedstat").filter_map(|text| text.split(' ').next()?.parse::<f64>().ok());
    spent.sum::<f64>() / 1e9
}

/// The texts of this file of all threads of a process.
fn of_threads(process: u32, file: &str) -> impl Iterator<Item = String> {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    threads.filter_map(move |thread| std::fs::read_to_string(thread.ok()?.path().join(file)).ok())
}

/// Whether a thread runs or waits for a core. The name of the thread stands in brackets before its state.
fn is_running(stat: &str) -> bool {
    stat.rsplit(')').next().is_some_and(|fields| fields.trim_start().starts_with('R'))
}

/// The processor time of this thread in seconds.
pub fn thread_time() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

static QUICK: OnceLock<bool> = OnceLock::new();

/// Says for the whole run whether it is a quick one.
pub fn set_quick(quick: bool) {
    QUICK.set(quick).unwrap();
}

/// Whether the run is a quick one: fewer rounds, and no database that takes minutes to build.
pub fn is_quick() -> bool {
    QUICK.get().is_some_and(|quick| *quick)
}

/// The number of rounds of the bounds of `docs/performance.md`.
pub fn rounds() -> usize {
    if is_quick() { 3 } else { 5 }
}
