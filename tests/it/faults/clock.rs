//! A clock that steps: a small C library in the process of the server, and a file with the step.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

pub struct ClockStep {
    pub library: PathBuf,
    pub control: PathBuf,
}

impl ClockStep {
    /// Builds the library in `folder`. None where it cannot be built or loaded.
    pub fn build(folder: &Path) -> Option<Self> {
        if !cfg!(target_os = "linux") {
            println!("skipped: only Linux loads the library that steps the clock");
            return None;
        }
        let step = Self { library: folder.join("clock_step.so"), control: folder.join("clock_step") };
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/clock_step/clock_step.c");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&step.library).arg(source).arg("-ldl");
        let built = compiler.output().ok()?;
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        step.set(0);
        Some(step)
    }

    /// From now on the clock of the process is so many seconds ahead. The mapped bytes change in place.
    pub fn set(&self, seconds: i64) {
        use std::os::unix::fs::FileExt;
        let file = fs::File::options().create(true).truncate(false).write(true).open(&self.control).unwrap();
        file.write_all_at(&seconds.to_ne_bytes(), 0).unwrap();
    }
}
