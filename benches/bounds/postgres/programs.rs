//! The programs of Postgres, and the user that runs its server: `nobody` for root.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The place of the versions on Debian.
const VERSIONS: &str = "/usr/lib/postgresql";
/// The oldest version that requery supports.
const OLDEST: u32 = 15;

/// The path of a program that belongs to the server. Debian has it outside of the `PATH`.
pub fn program(name: &str) -> Option<PathBuf> {
    let versions = std::fs::read_dir(VERSIONS).into_iter().flatten().flatten();
    let numbers = versions.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let newest = numbers.filter(|version| *version >= OLDEST).max();
    let on_debian = newest.map(|version| PathBuf::from(format!("{VERSIONS}/{version}/bin/{name}")));
    let path = std::env::var_os("PATH").unwrap_or_default();
    on_debian.or_else(|| std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.exists()))
}

/// A command that runs in `folder` as the user of the server.
pub fn as_server_user(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new(if is_root() { Path::new("setpriv") } else { program });
    if is_root() {
        let (user, group) = (nobody("-u"), nobody("-g"));
        command.arg(format!("--reuid={user}")).arg(format!("--regid={group}")).args(["--clear-groups", "--"]);
        command.arg(program);
    }
    command.current_dir(folder).env("LC_ALL", "C");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
        command.env_remove(name);
    }
    command
}

/// Makes the folder one of the user of the server.
pub fn give_away(folder: &Path) {
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700)).unwrap();
    if is_root() {
        chown(folder, Some(nobody("-u")), Some(nobody("-g"))).unwrap();
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The id of the user `nobody` or of its group.
fn nobody(of: &str) -> u32 {
    let output = Command::new("id").args([of, "nobody"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().expect("the user nobody exists")
}
