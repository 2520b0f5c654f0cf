//! A server on a small disk, its writers and its screens, and the check of them all after each fault.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::OwnedRwLockWriteGuard;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::claims::record_claims;
use super::fault::Fault;
use super::ledger::{Contents, Ledger};
use super::server::Server;
use super::writers::{SQL_WRITERS, Writing, task_of};
use crate::app::{PATIENCE, sqlite3};
use crate::screens::Screens;
use crate::small_disk::SmallDisk;
use crate::store::Store;

/// The time in which the server has to notice that it cannot write, or that its file is away.
const NOTICED: Duration = Duration::from_secs(8);

/// Changes the task that no writer changes. A screen that missed this one change stays wrong, while a later write would
/// put any other task right.
pub const LANDMARK: &str = "update tasks set title = 'landmark ' || hex(randomblob(4)) where title glob 'landmark*'";

pub struct World {
    pub server: Server,
    pub writing: Arc<Writing>,
    screens: Screens,
    /// A copy from the beginning.
    pub old_copy: PathBuf,
    tasks: JoinSet<()>,
    sql_paused: Option<OwnedRwLockWriteGuard<()>>,
    pub small_disk: Option<SmallDisk>,
    _folder: Option<TempDir>,
}

impl World {
    pub async fn new() -> Self {
        // Room for the database, its log and a few copies.
        let small_disk = SmallDisk::mount("48m");
        let folder = small_disk.is_none().then(|| TempDir::new().unwrap());
        let path = small_disk.as_ref().map(SmallDisk::path).or(folder.as_ref().map(TempDir::path)).unwrap();
        let mut server = Server::new(path.join("requery.db"));
        server.start().await.unwrap();
        let rows: Vec<String> =
            SQL_WRITERS.map(|writer| format!("('{}', 'title {writer} at 0', 'p')", task_of(writer))).collect();
        sqlite3(&server.database, &format!("insert into tasks (id, title, project) values {}", rows.join(",")));
        sqlite3(&server.database, "insert into tasks (title) values ('landmark'), ('filler')");
        let writing = Arc::new(Writing::new(&server));
        let mut tasks = JoinSet::new();
        let mut screens = Screens::follow(server.address).await;
        screens.rest = screens.rest.bearing_outages();
        for viewer in &screens.viewers {
            tasks.spawn(record_claims(viewer.name, viewer.client.clone(), writing.clone()));
        }
        writing.start(&server, &mut tasks);
        let old_copy = server.beside("old.db");
        let mut world =
            Self { server, writing, screens, old_copy, tasks, sql_paused: None, small_disk, _folder: folder };
        world.quiet().await;
        world.until_written(10).await;
        world.back_up(&world.old_copy);
        world
    }

    /// Lets one fault happen and end while the writers write, and checks everything.
    pub async fn suffer(&mut self, fault: &Fault) {
        let (log, refused) = (self.server.log().len(), self.writing.ledger().refused);
        let began = Instant::now();
        fault.break_it(self).await;
        self.until_tried(20).await;
        self.check_readiness(fault, refused).await;
        fault.heal_it(self).await;
        assert!(
            self.server.is_ready_within(204, PATIENCE).await,
            "/readyz is not 204 after {fault:?}\n{}",
            self.server.log_tail()
        );
        let was_away = began.elapsed();
        self.quiet().await;
        let refused = self.writing.ledger().refused - refused;
        let lines = self.server.log().split_off(log);
        let told: Vec<&str> = lines.lines().filter(|line| line.contains("ERROR") || line.contains("WARN")).collect();
        println!(
            "{fault:?}: {was_away:.0?}, {refused} writes refused, settled after {:.0?}\n    {}",
            began.elapsed(),
            told.join("\n    ")
        );
        assert!(
            refused == 0 || !told.is_empty(),
            "{refused} writes were refused during {fault:?}, and the log has no word"
        );
    }

    /// Waits until the API took so many writes.
    pub async fn until_written(&mut self, writes: u64) {
        self.until_grown(writes, |ledger| ledger.acknowledged_by_api).await;
    }

    /// Waits until the API was asked for so many writes, whatever came of them.
    pub async fn until_tried(&mut self, writes: u64) {
        self.until_grown(writes, |ledger| ledger.attempts).await;
    }

    /// Waits until the API has refused a write.
    pub async fn until_refused(&mut self) {
        self.until_grown(1, |ledger| ledger.refused).await;
    }

    async fn until_grown(&mut self, by: u64, count: fn(&Ledger) -> u64) {
        let before = count(&self.writing.ledger());
        let until = Instant::now() + PATIENCE;
        while count(&self.writing.ledger()) < before + by {
            let log = self.server.log_tail();
            assert!(Instant::now() < until, "the writers do not come on\n{log}");
            sleep(Duration::from_millis(10)).await;
            self.server.check_running();
        }
    }

    /// Waits until a question to the database has this answer.
    pub async fn until_sql(&self, question: &str, answer: &str) {
        let until = Instant::now() + PATIENCE;
        while sqlite3(&self.server.database, question) != answer {
            assert!(Instant::now() < until, "{question} is not {answer}\n{}", self.server.log_tail());
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// `/readyz` is 503 when no write is taken.
    async fn check_readiness(&mut self, fault: &Fault, refused_before: u64) {
        if !self.server.is_started() {
            return;
        }
        let acknowledged_before = self.writing.ledger().acknowledged_by_api;
        let must_be_away = fault.takes_the_database_away(self.writing.ledger().refused > refused_before);
        let until = Instant::now() + NOTICED;
        loop {
            let is_away = self.server.readiness().await == Some(503);
            let writes = self.writing.ledger().acknowledged_by_api > acknowledged_before;
            if is_away || writes && !must_be_away {
                return;
            }
            let log = self.server.log_tail();
            assert!(
                Instant::now() < until,
                "/readyz is not 503 during {fault:?}, and the API took writes: {writes}\n{log}"
            );
            sleep(Duration::from_millis(20)).await;
            self.server.check_running();
        }
    }

    /// Stops the writers and checks that no acknowledged write is lost, that every screen shows the database, and that
    /// no screen ever showed less than its cursor said.
    async fn quiet(&mut self) {
        self.sql_paused = None;
        self.until_written(5).await;
        let by_api = self.writing.by_api.clone().write_owned().await;
        let by_sql = self.writing.by_sql.clone().write_owned().await;
        let until = Instant::now() + PATIENCE;
        loop {
            let stored = Contents::of(&self.server.database);
            let missing = self.writing.ledger().missing(&stored);
            let back_again = self.writing.ledger().back_again(&stored);
            assert!(back_again.is_empty(), "a restore was undone: {back_again:?}");
            if missing.is_empty() && self.server.spooled() == 0 {
                break;
            }
            // Only a hook can still be on its way, through the spool.
            let lost = missing.iter().any(|mark| mark.word != super::ledger::Word::Prompt);
            assert!(
                !lost && Instant::now() < until,
                "{} acknowledged writes are not stored, {} hooks are spooled: {:?}\n{}",
                missing.len(),
                self.server.spooled(),
                missing.iter().take(9).map(|mark| mark.text()).collect::<Vec<_>>(),
                self.server.log_tail()
            );
            sleep(Duration::from_millis(50)).await;
        }
        sqlite3(&self.server.database, "begin immediate; rollback");
        self.screens.settle(&Store::File(self.server.database.clone())).await;
        let false_claims = self.writing.ledger().false_claims();
        assert!(
            false_claims.is_empty(),
            "false claims of freshness:\n{}",
            false_claims[..false_claims.len().min(9)].join("\n")
        );
        let wrong = std::mem::take(&mut self.writing.ledger().wrong);
        assert!(wrong.is_empty(), "wrong answers:\n{}\n{}", wrong.join("\n"), self.server.log_tail());
        self.server.check_running();
        drop((by_api, by_sql));
    }

    /// Copies the database as a person does, with the command `.backup` of `sqlite3`.
    pub fn back_up(&self, copy: &Path) {
        let _ = std::fs::remove_file(copy);
        sqlite3(&self.server.database, &format!(".backup '{}'", copy.display()));
    }

    /// Changes the task that no writer changes.
    pub fn change_landmark(&self) {
        sqlite3(&self.server.database, LANDMARK);
    }

    /// Logs more changes than a fault can have thrown away, so that the ids of lost changes are given again.
    pub fn fill_log(&self) {
        let sql = "with recursive n (n) as (select 1 union all select n + 1 from n where n < 400) \
            insert into events (task_id, kind, title) select id, 'log', 'filler' from tasks, n where tasks.title = 'filler'";
        sqlite3(&self.server.database, sql);
    }

    /// Writes so much that the next commit of the server makes a checkpoint.
    pub fn grow_wal(&self) {
        let sql = "pragma wal_autocheckpoint = 0; \
            with recursive n (n) as (select 1 union all select n + 1 from n where n < 80) \
            insert into events (task_id, kind, body) select id, 'bulk', hex(zeroblob(30000)) from tasks, n where title = 'filler'; \
            delete from events where kind = 'bulk'";
        sqlite3(&self.server.database, sql);
    }

    /// Stops the writers of `sqlite3` until the next check.
    pub async fn pause_sql(&mut self) {
        if self.sql_paused.is_none() {
            self.sql_paused = Some(self.writing.by_sql.clone().write_owned().await);
        }
    }

    pub fn resume_sql(&mut self) {
        self.sql_paused = None;
    }

    /// Holds back all bytes between the screens and the server, or lets them through on new connections.
    pub fn hide_from_screens(&self, hidden: bool) {
        for proxy in &self.screens.proxies {
            proxy.stall(hidden);
            proxy.cut();
        }
    }

    /// The database, or one of the files beside it.
    pub fn file(&self, end: &str) -> PathBuf {
        let mut path = self.server.database.clone().into_os_string();
        path.push(end);
        path.into()
    }

    /// Ends everything, and checks that no process and no mount is left.
    pub async fn end(mut self) {
        self.tasks.shutdown().await;
        drop(self.screens);
        self.server.stop().await;
        let folder = self.server.database.parent().unwrap().to_owned();
        drop(self.small_disk);
        let left = processes_with(&folder);
        assert!(left.is_empty(), "processes are left: {left:?}");
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
        assert!(!mounts.contains(folder.to_str().unwrap()), "the small file system is still mounted");
    }
}

/// The command lines that contain this path.
fn processes_with(path: &Path) -> Vec<String> {
    let path = path.to_str().unwrap();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let lines = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " ")).filter(|line| line.contains(path)).collect()
}
