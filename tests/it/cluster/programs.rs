//! The programs of Postgres, and the user that runs its server.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The oldest version of Postgres that the server supports.
const OLDEST: u32 = 15;
/// The place of the versions on Debian.
const VERSIONS: &str = "/usr/lib/postgresql";

/// The path of a program that belongs to the server, such as `initdb`. Debian has it outside of the `PATH`.
pub fn server_program(name: &str) -> PathBuf {
    let versions = std::fs::read_dir(VERSIONS).into_iter().flatten().flatten();
    let numbers = versions.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let found = numbers.filter(|version| *version >= OLDEST).max();
    found.map_or_else(|| PathBuf::from(name), |version| PathBuf::from(format!("{VERSIONS}/{version}/bin/{name}")))
}

/// A command that runs in `folder` as the user of the server: as `nobody` if this process is root.
pub fn as_server_user(program: &Path, folder: &Path) -> Command {
    let mut command = if is_root() {
        let mut command = Command::new("setpriv");
        let (user, group) = nobody();
        command.arg(format!("--reuid={user}")).arg(format!("--regid={group}")).args(["--clear-groups", "--"]);
        command.arg(program);
        command
    } else {
        Command::new(program)
    };
    command.current_dir(folder).env("LC_ALL", "C");
    // A variable such as `PGDATA` of the person who runs the tests has no effect.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
        command.env_remove(name);
    }
    command
}

/// Makes the folder one of the user of the server.
pub fn give_away(folder: &Path) {
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700)).unwrap();
    if is_root() {
        let (user, group) = nobody();
        chown(folder, Some(user), Some(group)).unwrap();
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The ids of the user `nobody` and of its group.
fn nobody() -> (u32, u32) {
    let id = |of: &str| -> u32 {
        let output = Command::new("id").args([of, "nobody"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().parse().expect("the user nobody exists")
    };
    (id("-u"), id("-g"))
}
