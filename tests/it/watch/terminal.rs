//! A pseudo terminal with a shell in it, and the picture that the terminal shows. `script` of util-linux makes the
//! terminal.

use std::num::NonZeroU16;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::app::PATIENCE;

/// A terminal in which `requery watch` runs, and after it the shell prints its exit code and the modes of the terminal.
pub struct PseudoTerminal {
    script: Child,
    keys: ChildStdin,
    shown: Arc<Mutex<Shown>>,
    /// The number of bytes that the terminal has got.
    got: watch::Receiver<usize>,
    /// Whether the terminal takes no more output.
    stalled: watch::Sender<bool>,
    folder: tempfile::TempDir,
}

struct Shown {
    parser: vt100::Parser,
    text: String,
}

impl PseudoTerminal {
    /// Runs `requery watch` with these arguments in a terminal of this size, with the settings `env` of the shell.
    pub fn start(args: &str, env: &str, columns: u16, lines: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = env!("CARGO_BIN_EXE_requery");
        let (before, pid) = (folder.path().join("before"), folder.path().join("pid"));
        let line = format!(
            "stty rows {lines} cols {columns}; stty -a > {before}; tty > {tty}
            sh -c 'echo $$ > {pid}; {env} exec {program} watch {args}'
            echo \"exit $?\"; stty -a | cmp - {before} && echo same modes",
            before = before.display(),
            tty = folder.path().join("tty").display(),
            pid = pid.display(),
        );
        let mut script = Command::new("script");
        script.args(["-q", "-f", "-e", "-c", &line, "/dev/null"]).env("SHELL", "/bin/sh").env("TERM", "xterm-256color");
        script.env_remove("NO_COLOR").stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut script = script.spawn().unwrap();
        let (keys, mut output) = (script.stdin.take().unwrap(), script.stdout.take().unwrap());
        let shown = Shown { parser: vt100::Parser::new(cells(lines), cells(columns), 0), text: String::new() };
        let shown = Arc::new(Mutex::new(shown));
        let (count, got) = watch::channel(0);
        let reading = Arc::clone(&shown);
        let (stalled, mut stalls) = watch::channel(false);
        tokio::spawn(async move {
            let mut piece = vec![0; 64 * 1024];
            while let Ok(read @ 1..) = output.read(&mut piece).await {
                if stalls.wait_for(|stalled| !stalled).await.is_err() {
                    return;
                }
                let mut shown = reading.lock().unwrap();
                shown.parser.process(&piece[..read]);
                shown.text += &String::from_utf8_lossy(&piece[..read]);
                count.send_modify(|count| *count += read);
            }
        });
        Self { script, keys, shown, got, stalled, folder }
    }

    /// Sends keys.
    pub async fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).await.unwrap();
        self.keys.flush().await.unwrap();
    }

    /// The terminal takes no more output, as if its connection were stuck.
    pub fn stall(&self) {
        self.stalled.send_replace(true);
    }

    /// Changes the size of the terminal.
    pub async fn resize(&mut self, columns: u16, lines: u16) {
        self.shown.lock().unwrap().parser.screen_mut().set_size(cells(lines), cells(columns));
        let tty = self.file("tty").await;
        let (columns, lines) = (columns.to_string(), lines.to_string());
        let stty = Command::new("stty").args(["-F", &tty, "rows", &lines, "cols", &columns]).status().await.unwrap();
        assert!(stty.success());
    }

    /// Sends a signal to `requery watch`.
    pub async fn send(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid().await).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// The process id of `requery watch`.
    pub async fn pid(&self) -> i32 {
        self.file("pid").await.parse().unwrap()
    }

    /// Closes the terminal, as the window of a terminal program does.
    pub async fn close(&mut self) {
        self.script.kill().await.unwrap();
    }

    /// Waits until the picture has this property. Returns the picture.
    pub async fn until(&self, what: &str, property: impl Fn(&str) -> bool) -> String {
        self.until_screen(what, |screen| property(&screen.contents())).await
    }

    /// Waits until the picture contains the text.
    pub async fn until_shows(&self, text: &str) -> String {
        self.until(text, |picture| picture.contains(text)).await
    }

    /// Waits until the terminal has this property. Returns the picture.
    pub async fn until_screen(&self, what: &str, property: impl Fn(&vt100::Screen) -> bool) -> String {
        let mut got = self.got.clone();
        let holds = async {
            loop {
                if property(self.shown.lock().unwrap().parser.screen()) || got.changed().await.is_err() {
                    return;
                }
            }
        };
        let waited = timeout(PATIENCE, holds).await;
        let shown = self.shown.lock().unwrap();
        let screen = shown.parser.screen();
        assert!(waited.is_ok() && property(screen), "no {what}: {}\n{:?}", screen.contents(), shown.text);
        screen.contents()
    }

    /// Whether the alternate screen is shown, and whether the terminal hides its cursor and marks pastes.
    pub fn is_taken_over(&self) -> bool {
        let shown = self.shown.lock().unwrap();
        let screen = shown.parser.screen();
        let modes = [screen.alternate_screen(), screen.hide_cursor(), screen.bracketed_paste()];
        assert!(modes.iter().all(|mode| *mode == modes[0]), "a part of the modes: {modes:?}");
        modes[0]
    }

    /// The bytes that the terminal has got.
    pub fn text(&self) -> String {
        self.shown.lock().unwrap().text.clone()
    }

    /// Waits for the end of the command. Returns its exit code. The terminal must be as before the command.
    pub async fn ended(&mut self) -> i32 {
        let picture = self.until_shows("same modes").await;
        assert!(!self.is_taken_over(), "{picture}");
        let ended = timeout(PATIENCE, self.script.wait()).await;
        ended.expect("script ends in time").unwrap();
        let code = picture.lines().find_map(|line| line.strip_prefix("exit ")).expect("an exit code");
        code.trim().parse().unwrap()
    }

    /// Waits until the shell has written the file.
    async fn file(&self, name: &str) -> String {
        let path = self.folder.path().join(name);
        let written = async {
            loop {
                if let Some(text) = line(&path) {
                    return text;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, written).await.expect("the file in time")
    }
}

fn cells(count: u16) -> NonZeroU16 {
    NonZeroU16::new(count).expect("a size")
}

/// The first line of a file, if it is complete.
fn line(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok()?.split_once('\n').map(|(line, _)| line.to_owned())
}
