//! The settings of the built program: values that can never work are refused, and new files belong to their owner
//! alone.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use tokio::io::{AsyncBufReadExt, BufReader};

use crate::app::{PATIENCE, sqlite3};
use crate::home::Home;

/// Each setting with a value that can never work, and a part of the sentence that says so.
#[test]
fn settings_that_can_never_work_are_refused_by_name() {
    let home = Home::new();
    let option = |option: &str, value: &str, reason: &str| {
        let args = ["serve", "--listen", "127.0.0.1:0", "--database-url", "r.db"];
        let mut args: Vec<&str> = args.to_vec();
        if let Some(at) = args.iter().position(|arg| *arg == option) {
            args.drain(at..at + 2);
        }
        let set = format!("{option}={value}");
        args.push(&set);
        let output = home.requery(&args).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && text.contains(option) && text.contains(reason), "{set}: {text}");
    };
    option("--listen", "127.0.0.1", "an address and a port");
    option("--listen", "http://127.0.0.1:7373", "an address and a port");
    option("--listen", "::1:7373", "an address and a port");
    option("--listen", "127.0.0.1:70000", "an address and a port");
    option("--database-url", "", "names no file");
    option("--database-url", "sqlite:r.db?mode=ro", "`mode=ro` would have no effect");
    option("--database-url", "sqlite:a%20b.db", "is not decoded");
    option("--database-url", "~/r.db", "`~` stands for no folder");
    option("--database-url", "sqlite:~/r.db", "`~` stands for no folder");
    option("--database-url", "~someone/r.db", "`~` stands for no folder");
    option("--database-url", "r.db?mode=ro", "`mode=ro` would have no effect");
    option("--database-url", "mysql://host/r", "only SQLite files");
    option("--database-url", "postgres://host:port/r", "not the URL of a Postgres database");
    option("--database-url", ":memory:", "a database in memory");
    option("--allow-host", "", "names no host");
    option("--allow-host", "*", "has a `*`");
    option("--allow-host", "http://board.example", "is a URL");
    option("--allow-host", "board.example:80", "has a port");
    option("--allow-host", "board.example,", "names no host");
    option("--allow-origin", "*", "has a `*`");
    option("--allow-origin", "board.example", "has no scheme");
    option("--allow-origin", "https://board.example:443", "write https://board.example");
    option("--heartbeat", "1ms", "from 1s to 5min");
    option("--heartbeat", "1h", "from 1s to 5min");
    option("--window", "0ms", "from 1ms to 10s");
    option("--window", "1day", "from 1ms to 10s");
    option("--background-pause", "0ms", "from 1ms to 30s");
    option("--background-pause", "1h", "from 1ms to 30s");
    option("--retention", "0s", "from 1ms to 366days");
    option("--read-cache", "0", "from 1MiB to 64GiB");
    option("--read-cache", "100KiB", "from 1MiB to 64GiB");
    option("--read-cache", "100000000000000000000", "a number of MiB");
    option("--read-cache", "64 parsecs", "a number of MiB");
    option("--max-streams", "0", "from 1 to 16384");
    option("--max-streams", "18446744073709551615", "from 1 to 16384");
    option("--lost-after", "30min", "must be longer than --stale-after 30m");
    option("--stale-after", "2days", "must be longer than --stale-after 2days");
    option("--spool", "~someone/spool", "`~` stands for no folder");
    option("--spool", "~/spool", "`~` stands for no folder");
    let environment = |name: &str, value: &str, reason: &str| {
        let mut serve = home.requery(&["serve", "--listen", "127.0.0.1:0", "--database-url", "r.db"]);
        let output = serve.env(name, value).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && text.contains(reason), "{name}={value}: {text}");
    };
    environment("REQUERY_ALLOW_HOST", "a.example,*", "--allow-host");
    environment("REQUERY_INSECURE_NO_AUTH", "perhaps", "--insecure-no-auth");
    environment("REQUERY_LOG", "requery=loud", "REQUERY_LOG requery=loud");
    environment("REQUERY_LOG", "debgu", "`debgu` is not a level");
    assert!(!home.project().join("r.db").exists(), "a refused setting made a database");
}

#[tokio::test]
async fn a_setting_that_is_on_or_off_takes_the_usual_words() {
    for (word, is_on) in [("1", true), ("yes", true), ("true", true), ("0", false), ("off", false), ("false", false)] {
        let home = Home::new();
        let mut serve = home.requery(&["serve", "--listen", "0.0.0.0:0", "--database-url", "r.db"]);
        serve.env("REQUERY_INSECURE_NO_AUTH", word).env("REQUERY_LOG", "warn,requery=error");
        assert_eq!(first_line(serve).await.is_some(), is_on, "{word}");
    }
}

#[tokio::test]
async fn new_files_belong_to_their_owner_alone_and_the_others_keep_their_mode() {
    for umask in ["022", "077"] {
        let home = Home::new();
        let serve = async |database: &Path, check: &dyn Fn()| {
            let script = format!("umask {umask}; exec \"$0\" serve --listen 127.0.0.1:0 --database-url \"$1\"");
            let mut shell = home.at_home(Command::new("sh"));
            shell.args(["-c", &script, env!("CARGO_BIN_EXE_requery")]).arg(database);
            shell.stdout(Stdio::piped()).stderr(Stdio::null());
            let mut child = tokio::process::Command::from(shell).kill_on_drop(true).spawn().unwrap();
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap();
            assert!(line.is_some_and(|line| line.starts_with("requery serves")));
            check();
            child.kill().await.unwrap();
        };
        let mode =
            |path: &Path| fs::metadata(path).unwrap_or_else(|_| panic!("no {}", path.display())).permissions().mode();
        let of = |database: &Path, end: &str| mode(Path::new(&format!("{}{end}", database.display()))) & 0o777;

        let new = home.path("new/data/requery.db");
        serve(&new, &|| {
            assert_eq!(mode(new.parent().unwrap()) & 0o777, 0o700, "umask {umask}");
            for end in ["", "-wal", "-shm", ".lock"] {
                assert_eq!(of(&new, end), 0o600, "requery.db{end} with umask {umask}");
            }
        })
        .await;

        let shared = home.path("shared");
        fs::create_dir(&shared).unwrap();
        fs::set_permissions(&shared, fs::Permissions::from_mode(0o755)).unwrap();
        let old = shared.join("requery.db");
        sqlite3(&old, "pragma user_version");
        fs::write(&old, "").unwrap();
        fs::set_permissions(&old, fs::Permissions::from_mode(0o644)).unwrap();
        serve(&old, &|| {
            assert_eq!((mode(&shared) & 0o777, of(&old, ""), of(&old, ".lock")), (0o755, 0o644, 0o600));
        })
        .await;
    }
}

/// The first line that a command prints, if it prints one before it ends.
async fn first_line(mut command: Command) -> Option<String> {
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = tokio::process::Command::from(command).kill_on_drop(true).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    tokio::time::timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap()
}

/// Each command says the way on where it finds no row, and uses the singular for one.
#[tokio::test]
async fn an_empty_list_comes_with_the_way_on() {
    let home = Home::new();
    assert!(home.run(&["hooks", "status"]).contains("`requery hooks install --agent codex` installs hooks"));
    for args in [&["import"][..], &["import", "--dry-run"], &["import", "bin"]] {
        let mut import = home.requery(args);
        import.current_dir(home.path(""));
        let output = import.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.starts_with("no transcript in "), "{args:?}: {text}");
        // A named folder was meant to have one.
        assert_eq!(output.status.success(), args.last() != Some(&"bin"), "{args:?}");
    }
    let folder = home.path("docs/of/requery");
    home.run(&["openapi", "--write", &folder.display().to_string()]);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 3);
    fs::write(home.path("wrong.jsonl"), "[1]\n").unwrap();
    let output = home.requery(&["replay", &home.path("wrong.jsonl").display().to_string()]).output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.starts_with("line 1: not a record: expected an object such as "), "{errors}");
}
