//! A disk that a test can fill.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A small file system of its own. A drop unmounts it.
pub struct SmallDisk(TempDir);

impl SmallDisk {
    /// None, with a printed word, where this process may not mount.
    pub fn mount(size: &str) -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let options = format!("size={size}");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder.path()).output();
        match mount {
            Ok(output) if output.status.success() => Some(Self(folder)),
            _ => {
                println!("skipped: only root on Linux can mount a small file system");
                None
            }
        }
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Fills the whole disk.
    pub fn fill(&self) {
        let mut bytes = vec![b'x'; 64 * 1024];
        let mut file = File::create(self.filler()).unwrap();
        // A smaller piece fits where a larger one does not.
        while bytes.len() >= 64 {
            if file.write_all(&bytes).is_err() {
                bytes.truncate(bytes.len() / 2);
            }
        }
    }

    pub fn make_room(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // The server may still be ending, so the mount is only detached.
        let _ = Command::new("umount").arg("-l").arg(self.path()).output();
    }
}
