//! Faults of the disk, made from outside of the server: a small C library that is loaded before the C library of the
//! server's process, and a file that says which calls fail.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::app::PATIENCE;

/// One kind of call that fails, on the files with one end of their path.
#[derive(Clone, Copy, Debug)]
pub struct IoFault {
    /// `open`, `read`, `write`, `sync` or `truncate`.
    pub call: &'static str,
    /// The name of the error, such as `EIO` or `ENOSPC`.
    pub error: &'static str,
    /// The end of the path, such as `requery.db-wal`.
    pub path_end: &'static str,
    /// So many calls succeed first.
    pub skip: u32,
    /// So many calls fail then. 0: all further calls.
    pub times: u32,
}

/// The library, and the file that controls it.
#[derive(Clone)]
pub struct IoFaults {
    library: PathBuf,
    control: PathBuf,
}

impl IoFaults {
    /// Builds the library in `folder`. None, with a printed word, where it cannot be built or loaded.
    pub fn build(folder: &Path) -> Option<Self> {
        if !cfg!(target_os = "linux") {
            println!("skipped: only Linux loads the library that makes I/O fail");
            return None;
        }
        let library = folder.join("io_faults.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/io_faults/io_faults.c");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).args(["-ldl", "-lpthread"]);
        match compiler.output() {
            Ok(built) => assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr)),
            Err(error) => {
                println!("skipped: no C compiler `cc`: {error}");
                return None;
            }
        }
        Some(Self { library, control: folder.join("io_faults") })
    }

    /// The same library for a process with faults of its own, which a file in `folder` controls.
    pub fn for_another_process(&self, folder: &Path) -> Self {
        Self { library: self.library.clone(), control: folder.join("io_faults") }
    }

    /// Loads the library into the process of `command`. No call fails yet.
    pub fn load_into<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("LD_PRELOAD", &self.library).env("REQUERY_IO_FAULTS", &self.control)
    }

    /// From now on exactly these calls fail.
    pub fn set(&self, faults: &[IoFault]) {
        let line = |fault: &IoFault| {
            let IoFault { call, error, path_end, skip, times } = fault;
            format!("{call} {error} {path_end} {skip} {times}\n")
        };
        let next = self.control.with_extension("next");
        fs::write(&next, faults.iter().map(line).collect::<String>()).unwrap();
        // The process compares the inode, and a removed file's inode would be given to the next file at once.
        if self.control.exists() {
            fs::rename(&self.control, self.control.with_extension("before")).unwrap();
        }
        fs::rename(next, &self.control).unwrap();
    }

    /// No call fails any more.
    pub fn clear(&self) {
        self.set(&[]);
    }

    /// Sets the faults and does `work` until a call fails by them. Only the calls that fail from now on count.
    pub async fn until_hit(&self, faults: &[IoFault], mut work: impl AsyncFnMut()) {
        let before = self.hits().len();
        self.set(faults);
        let until = Instant::now() + PATIENCE;
        while self.hits().len() == before {
            assert!(Instant::now() < until, "no call failed by {faults:?}");
            work().await;
        }
    }

    /// The calls that failed until now, as `CALL PATH`.
    pub fn hits(&self) -> Vec<String> {
        let hits = self.control.with_extension("hits");
        fs::read_to_string(hits).unwrap_or_default().lines().map(str::to_owned).collect()
    }
}

#[test]
fn the_chosen_calls_fail_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let Some(faults) = IoFaults::build(folder.path()) else { return };
    let run = |sql: &str| {
        let mut sqlite3 = Command::new("sqlite3");
        let output = faults.load_into(&mut sqlite3).arg(folder.path().join("a.db")).arg(sql).output().unwrap();
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
    };
    assert_eq!(run("create table t (x); insert into t values (1)"), "");
    for (call, error, expected) in
        [("write", "ENOSPC", "full"), ("write", "EIO", "disk I/O error"), ("read", "EIO", "disk I/O error")]
    {
        faults.set(&[IoFault { call, error, path_end: "a.db", skip: 0, times: 0 }]);
        let said = run("insert into t values (2)");
        assert!(said.contains(expected), "{call} {error}: {said}");
        faults.set(&[IoFault { call, error, path_end: "b.db", skip: 0, times: 0 }]);
        assert_eq!(run("select count(*) from t"), "1\n");
    }
    let hits = faults.hits();
    assert!(hits.len() >= 3 && hits.iter().all(|hit| hit.ends_with("a.db")), "{hits:?}");
    faults.set(&[IoFault { call: "sync", error: "EIO", path_end: "a.db", skip: 0, times: 1 }]);
    assert!(run("pragma synchronous = full; insert into t values (2)").contains("disk I/O error"));
    faults.clear();
    assert_eq!(run("insert into t values (3); select count(*) from t"), "2\n");
}
