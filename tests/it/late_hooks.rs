//! `requery hook` with late input, signals and a busy machine: no record is lost.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::{Value, json};

use crate::app::PATIENCE;
use crate::home::{Home, Served, free_port, run_silently};

/// A hook ends within 300 ms. The bound is longer, so that only a hanging hook fails on a busy machine.
const AT_MOST: Duration = Duration::from_secs(5);
/// The longest time for which a record waits behind an earlier hook.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

fn prompt(session: usize, number: usize) -> String {
    json!({
        "session_id": format!("session-{session}"),
        "hook_event_name": "UserPromptSubmit",
        "cwd": format!("/home/ada/{session}"),
        "prompt": format!("number {number}"),
    })
    .to_string()
}

/// Starts a hook in a process group of its own, with its input open.
fn start(home: &Home, port: u16) -> (Child, ChildStdin) {
    let mut command = home.requery(&["hook", "claude-code", "--server", &format!("http://127.0.0.1:{port}")]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn().unwrap();
    let stdin = child.stdin.take().unwrap();
    (child, stdin)
}

/// Waits for the end of a hook: it must print no text and succeed, and its pipes must be closed.
fn end(mut child: Child) {
    let began = Instant::now();
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    assert!(child.wait().unwrap().success() && text.is_empty(), "{text}");
    assert!(began.elapsed() < AT_MOST, "{:?}", began.elapsed());
}

fn wait_for(state: &str, most: Duration, is_so: impl Fn() -> bool) {
    let until = Instant::now() + most;
    while !is_so() {
        assert!(Instant::now() < until, "never: {state}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The prompts in the spool, in the order of the queue.
fn spooled_prompts(home: &Home, port: u16) -> Vec<String> {
    let record = |name: &String| {
        let text = fs::read(home.spool(port).join("queue").join(name)).unwrap();
        let body = text.splitn(2, |byte| *byte == b'\n').nth(1).unwrap();
        serde_json::from_slice::<Value>(body).unwrap()["prompt"].as_str().unwrap().to_owned()
    };
    home.queued(port).iter().map(record).collect()
}

/// The number of hooks that hold a place.
fn open_places(home: &Home, port: u16) -> usize {
    fs::read_dir(home.spool(port).join("places")).map_or(0, Iterator::count)
}

#[test]
fn late_input_is_read_by_a_process_that_holds_no_pipe_of_the_agent() {
    let home = Home::new();
    let port = free_port();
    let whole = prompt(0, 0);
    for (number, split) in [0, 1, whole.len() - 1].into_iter().enumerate() {
        let (hook, mut stdin) = start(&home, port);
        stdin.write_all(&whole.as_bytes()[..split]).unwrap();
        // The hook ends before the rest of its input is written.
        end(hook);
        assert_eq!(home.spooled(port), number);
        stdin.write_all(&whole.as_bytes()[split..]).unwrap();
        drop(stdin);
        wait_for("the record", PATIENCE, || home.spooled(port) == number + 1);
        assert_eq!(spooled_prompts(&home, port), vec!["number 0"; number + 1]);
    }
    wait_for("closed places", PATIENCE, || open_places(&home, port) == 0);
    // An input that never comes is no record.
    let (hook, stdin) = start(&home, port);
    end(hook);
    drop(stdin);
    wait_for("a closed place", PATIENCE, || open_places(&home, port) == 0);
    assert_eq!(home.spooled(port), 3);
    let left = fs::read_dir(home.spool(port)).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = left.filter(|name| name.to_string_lossy().starts_with("part-")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn a_later_hook_of_the_same_agent_waits_behind_late_input() {
    let home = Home::new();
    let port = free_port();
    let served = home.serve(port, &[]).await;
    let (late, mut stdin) = start(&home, port);
    end(late);
    assert_eq!(open_places(&home, port), 1);
    let url = format!("http://127.0.0.1:{port}");
    for number in 1..4 {
        home.hook(&["claude-code", "--server", &url], prompt(0, number).as_bytes());
    }
    assert_eq!(home.spooled(port), 3, "the records wait behind the late one");
    // The hook of another agent process waits for none of them. A shell stands in for the agent.
    let mut shell = Command::new("sh");
    let program = env!("CARGO_BIN_EXE_requery");
    shell.arg("-c").arg(format!("{program} hook claude-code --server {url}; true"));
    run_silently(home.at_home(shell), prompt(1, 0).as_bytes());
    served.wait_for_events(1).await;
    stdin.write_all(prompt(0, 0).as_bytes()).unwrap();
    drop(stdin);
    served.wait_for_events(5).await;
    let titles: Vec<Value> = served.timelines().await[0].1.iter().map(|event| event["title"].clone()).collect();
    assert_eq!(titles, ["number 0", "number 1", "number 2", "number 3"]);
}

/// The server is on another machine and cannot read the spool.
#[tokio::test]
async fn the_records_behind_a_late_input_without_a_record_are_sent() {
    let home = Home::new();
    let port = free_port();
    let served = home.serve(port, &["--spool", "elsewhere"]).await;
    let (late, stdin) = start(&home, port);
    end(late);
    home.hook(&["claude-code", "--server", &format!("http://127.0.0.1:{port}")], prompt(0, 1).as_bytes());
    assert_eq!(home.spooled(port), 1, "the record waits behind the late input");
    drop(stdin);
    served.wait_for_events(1).await;
}

#[tokio::test]
async fn a_killed_hook_holds_up_no_other() {
    let home = Home::new();
    let port = free_port();
    let served = home.serve(port, &[]).await;
    // A hook that ends before the signal arrives has another process that reads its input.
    let stdin = loop {
        let (mut killed, stdin) = start(&home, port);
        wait_for("a place", PATIENCE, || open_places(&home, port) == 1);
        killed.kill().unwrap();
        if !killed.wait().unwrap().success() {
            break stdin;
        }
        drop(stdin);
        wait_for("a closed place", PATIENCE, || open_places(&home, port) == 0);
    };
    let began = Instant::now();
    home.hook(&["claude-code", "--server", &format!("http://127.0.0.1:{port}")], prompt(0, 1).as_bytes());
    served.wait_for_events(1).await;
    assert!(began.elapsed() < LONGEST_WAIT, "{:?}", began.elapsed());
    drop(stdin);
}

#[test]
fn signals_end_no_hook() {
    let home = Home::new();
    let port = free_port();
    for (number, signal) in [Signal::TERM, Signal::HUP, Signal::INT].into_iter().enumerate() {
        for to_group in [false, true] {
            let spooled = home.spooled(port);
            let (hook, mut stdin) = start(&home, port);
            wait_for("a place", PATIENCE, || open_places(&home, port) == 1);
            let id = Pid::from_child(&hook);
            if to_group {
                kill_process_group(id, signal).unwrap();
            } else {
                kill_process(id, signal).unwrap();
            }
            end(hook);
            // The process that reads late input is in no group of the agent.
            assert!(kill_process_group(id, signal).is_err(), "a process is left in the group");
            stdin.write_all(prompt(0, number).as_bytes()).unwrap();
            drop(stdin);
            wait_for("the record", PATIENCE, || home.spooled(port) == spooled + 1);
            wait_for("a closed place", PATIENCE, || open_places(&home, port) == 0);
        }
    }
}

/// Waits for the end of a hook, and kills a hook that does not end.
fn ends(mut hook: Child) -> bool {
    let until = Instant::now() + AT_MOST;
    while hook.try_wait().unwrap().is_none() {
        if Instant::now() > until {
            hook.kill().unwrap();
            hook.wait().unwrap();
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

#[test]
fn an_endless_input_ends_its_hook_and_is_counted() {
    let home = Home::new();
    let port = free_port();
    let url = format!("http://127.0.0.1:{port}");
    for (agent, server) in [("claude-code", url.as_str()), ("unknown", &url), ("claude-code", "no URL")] {
        let mut command = home.requery(&["hook", agent, "--server", server]);
        command.stdin(File::open("/dev/zero").unwrap());
        assert!(ends(command.spawn().unwrap()), "{agent} {server}");
    }
    // The process that reads late input.
    let (hook, mut stdin) = start(&home, port);
    end(hook);
    let (chunk, until) = (vec![b' '; 64 * 1024], Instant::now() + AT_MOST);
    let mut written = stdin.write_all(&chunk);
    while written.is_ok() && Instant::now() < until {
        written = stdin.write_all(&chunk);
    }
    assert!(written.is_err(), "the process reads on");
    wait_for("a closed place", PATIENCE, || open_places(&home, port) == 0);
    let status = home.run(&["hooks", "status", "--server", &url]);
    assert!(status.contains("2 inputs were lost"), "{status}");
}

#[test]
fn late_inputs_beyond_the_64th_are_counted_and_told() {
    let home = Home::new();
    let port = free_port();
    let mut inputs = Vec::new();
    for _ in 0..13 {
        let started: Vec<_> = (0..5).map(|_| start(&home, port)).collect();
        for (hook, stdin) in started {
            end(hook);
            inputs.push(stdin);
        }
    }
    assert_eq!(open_places(&home, port), 64);
    let url = format!("http://127.0.0.1:{port}");
    let status = home.run(&["hooks", "status", "--server", &url]);
    assert!(status.contains("1 input was lost"), "{status}");
    for (number, mut stdin) in inputs.into_iter().enumerate() {
        // No process reads the last of the inputs.
        let _ = stdin.write_all(prompt(0, number).as_bytes());
    }
    wait_for("all other records", PATIENCE, || home.spooled(port) == 64);
}

/// A machine with more to do than it has cores.
struct BusyMachine(Vec<Child>);

impl BusyMachine {
    fn start(loops: usize) -> Self {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg("while :; do :; done");
        Self((0..loops).map(|_| shell.spawn().unwrap()).collect())
    }
}

impl Drop for BusyMachine {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Stands in for the agent: runs one hook for each line of its input, `<server> <file> <seconds> <record>`, and prints
/// the status of the hook. A record with seconds comes that late: the file is the pipe through which it comes.
const AGENT: &str = r#"
while read -r server pipe seconds record; do
  if [ "$seconds" = 0 ]; then
    printf '%s' "$record" | PROGRAM hook claude-code --server "$server"
  else
    mkfifo "$pipe"
    { sleep "$seconds"; printf '%s' "$record"; } > "$pipe" &
    PROGRAM hook claude-code --server "$server" < "$pipe"
  fi
  echo "ended with $?"
done
wait
"#;

/// The process of an agent, which runs the hooks of one session.
struct Agent {
    process: Child,
    lines: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Agent {
    fn start(home: &Home) -> Self {
        let mut command = home.at_home(Command::new(home.path("bin/claude")));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut process = command.spawn().unwrap();
        let (lines, answers) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        Self { process, lines, answers: BufReader::new(answers) }
    }

    /// Runs a hook that gets its input so late, and returns after how long the hook ended.
    fn hook(&mut self, server: &str, pipe: &Path, late: Duration, record: &str) -> Duration {
        let began = Instant::now();
        let line = format!("{server} {} {} {record}\n", pipe.display(), late.as_secs_f64());
        self.lines.write_all(line.as_bytes()).unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        assert_eq!(answer, "ended with 0\n");
        assert!(began.elapsed() < AT_MOST, "{:?}", began.elapsed());
        began.elapsed()
    }

    /// Waits for the end of the inputs that come late.
    fn end(mut self) {
        drop(self.lines);
        let mut rest = String::new();
        self.answers.read_to_string(&mut rest).unwrap();
        assert!(self.process.wait().unwrap().success() && rest.is_empty(), "{rest}");
    }
}

/// The records that are under way, for a failure.
fn underway(home: &Home, port: u16) -> String {
    let count = |name: &str| fs::read_dir(home.spool(port).join(name)).map_or(0, Iterator::count);
    let tally = home.run(&["hooks", "status", "--server", &format!("http://127.0.0.1:{port}")]);
    format!("{} in the queue, {} places, {} aside\n{tally}", count("queue"), count("places"), count("aside"))
}

/// Waits until this many events are logged. The number has to grow: the machine decides how fast.
async fn wait_for_all(served: &Served, events: usize, home: &Home, port: u16) {
    let (mut last, mut until) = (0, Instant::now() + PATIENCE);
    loop {
        let logged = served.logged_events().await;
        if logged == events {
            return;
        }
        assert!(logged < events, "{logged} events, not {events}");
        if logged > last {
            (last, until) = (logged, Instant::now() + PATIENCE);
        }
        assert!(Instant::now() < until, "{logged} events, not {events}; {}", underway(home, port));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Runs hooks of six sessions at a time beside eight busy loops. Every tenth hook gets its input late.
async fn no_hook_is_lost(hooks: usize) {
    const SESSIONS: usize = 6;
    let home = Home::new();
    home.install_program("claude", &AGENT.replace("PROGRAM", env!("CARGO_BIN_EXE_requery")));
    let port = free_port();
    let served = home.serve(port, &[]).await;
    let url = format!("http://127.0.0.1:{port}");
    let each = hooks / SESSIONS;
    let session = |session: usize| {
        let mut agent = Agent::start(&home);
        let mut slowest = Duration::ZERO;
        for number in 0..each {
            let late = if number % 10 == 9 { 100 * (number as u64 / 10 % 4 + 1) } else { 0 };
            let pipe = home.path(&format!("pipe-{session}-{number}"));
            let took = agent.hook(&url, &pipe, Duration::from_millis(late), &prompt(session, number));
            slowest = slowest.max(took);
        }
        agent.end();
        slowest
    };
    let began = Instant::now();
    let slowest = {
        let _busy = BusyMachine::start(8);
        std::thread::scope(|scope| {
            let sessions: Vec<_> = (0..SESSIONS).map(|number| scope.spawn(move || session(number))).collect();
            sessions.into_iter().map(|session| session.join().unwrap()).max().unwrap()
        })
    };
    let ran = began.elapsed();
    let at_end = served.logged_events().await;
    wait_for_all(&served, each * SESSIONS, &home, port).await;
    let all = began.elapsed();
    let timelines = served.timelines().await;
    assert_eq!(timelines.len(), SESSIONS);
    for (workspace, events) in timelines {
        let titles: Vec<_> = events.iter().map(|event| event["title"].as_str().unwrap().to_owned()).collect();
        let expected: Vec<_> = (0..each).map(|number| format!("number {number}")).collect();
        assert_eq!(titles, expected, "{workspace}");
    }
    println!(
        "{} hooks in {ran:?}, each once and in order; the slowest took {slowest:?}; {at_end} were shown as the last hook \
         ended, and all after {all:?}",
        each * SESSIONS
    );
}

#[tokio::test]
async fn no_hook_of_a_busy_machine_is_lost() {
    no_hook_is_lost(240).await;
}

#[tokio::test]
#[ignore = "takes minutes: `scripts/nightly.sh` runs it"]
async fn none_of_5000_hooks_of_a_busy_machine_is_lost() {
    no_hook_is_lost(5004).await;
}
