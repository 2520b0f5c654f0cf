//! The faults: how each is made, and how a person ends it.

use std::fs;
use std::path::PathBuf;

use super::ledger::Contents;
use super::world::{LANDMARK, World};
use crate::app::{PATIENCE, sqlite3};
use crate::io_faults::IoFault;

const DAY: i64 = 24 * 3600;

#[derive(Clone, Debug)]
pub enum Fault {
    /// The disk is full for a while.
    DiskFull,
    /// Calls of the server fail for a while.
    Io(IoFault),
    /// The server is killed and started again, while the screens are connected or hidden behind a dead network.
    Killed { hidden: bool },
    /// The same with a clean end.
    Stopped { hidden: bool },
    /// The database file is moved away and back.
    MovedAway,
    /// An older copy takes the place of the database.
    Restored { way: Restore, copy: Copied },
    /// A second server is started on the same database.
    SecondServer(Name),
    /// The `-wal` file is removed, and the server is killed afterwards or not.
    WalRemoved { killed: bool },
    /// The power fails: so many percent of the `-wal` file are left.
    PowerCut { left: u64 },
    /// A row of the change log has a time of many days later, all other rows have one of long ago.
    StampedAhead,
    /// The clock of the server steps.
    ClockStepped { days: i64, restarted: bool },
    /// A program writes this into SQLite's own table, as the last id of a change.
    Sequence(&'static str),
    /// A program empties SQLite's own table of the last ids, and the change log too or not.
    Forgotten { changes: bool },
    /// A program deletes changes, right behind a write.
    Pruned { left: u32 },
    /// A program makes a table anew, as tools do that change columns. The triggers of the table are gone.
    Rebuilt(&'static str),
}

#[derive(Clone, Copy, Debug)]
pub enum Restore {
    /// A copy is moved to the name of the database, under the running server.
    MovedUnderServer,
    /// `.restore` of `sqlite3`, under the running server.
    ThroughSqlite,
    /// The server is stopped, and a copy is moved to the name.
    MovedWhileStopped,
    /// The server was killed, and a copy is moved to the name. The person forgets the `-wal` file.
    MovedBesideOldWal,
    /// The server was killed, the `-wal` file is removed, and the copy is written over the file.
    CopiedOver,
}

#[derive(Clone, Copy, Debug)]
pub enum Copied {
    AtTheBeginning,
    /// Just before: only the last writes are missing.
    JustBefore,
}

/// The name under which a second server opens the database.
#[derive(Clone, Copy, Debug)]
pub enum Name {
    Same,
    SymbolicLink,
    HardLink,
}

impl Fault {
    /// Whether `/readyz` has to be 503 while the fault is in place.
    pub fn takes_the_database_away(&self, writes_were_refused: bool) -> bool {
        match self {
            Self::MovedAway => true,
            Self::DiskFull => writes_were_refused,
            _ => false,
        }
    }

    pub async fn break_it(&self, world: &mut World) {
        match self {
            Self::DiskFull => {
                if let Some(disk) = &world.small_disk {
                    disk.fill();
                    world.until_refused().await;
                }
            }
            Self::Io(fault) => {
                if let Some(faults) = world.server.io_faults.clone() {
                    faults.until_hit(&[*fault], async || provoke(world, fault).await).await;
                }
            }
            Self::Killed { hidden } => {
                world.hide_from_screens(*hidden);
                world.server.kill().await;
                world.change_landmark();
            }
            Self::Stopped { hidden } => {
                world.hide_from_screens(*hidden);
                world.server.stop().await;
                world.change_landmark();
            }
            Self::MovedAway => {
                fs::rename(world.file(""), world.file(".away")).unwrap();
                world.until_refused().await;
            }
            Self::Restored { way, copy } => restore(world, *way, *copy).await,
            Self::SecondServer(name) => {
                let path = world.file(".other");
                match name {
                    Name::Same => {}
                    Name::SymbolicLink => std::os::unix::fs::symlink(world.file(""), &path).unwrap(),
                    Name::HardLink => fs::hard_link(world.file(""), &path).unwrap(),
                }
                let path = if matches!(name, Name::Same) { world.file("") } else { path };
                let refused = world.server.start_second(&path).await;
                assert!(refused.is_err(), "a second server serves the database as {name:?}");
            }
            Self::WalRemoved { killed } => {
                world.pause_sql().await;
                let by_api = world.writing.by_api.clone().write_owned().await;
                world.writing.ledger().begin_loss();
                if !killed {
                    // After this checkpoint the file alone has all writes.
                    sqlite3(&world.server.database, "pragma wal_checkpoint(full)");
                }
                fs::remove_file(world.file("-wal")).unwrap();
                let alone = world.server.beside("alone.db");
                fs::copy(world.file(""), &alone).unwrap();
                let left = Contents::of_a_part(&alone);
                world.writing.ledger().end_loss(&left);
                drop(by_api);
                if *killed {
                    world.until_tried(10).await;
                    world.server.kill().await;
                }
            }
            Self::PowerCut { left } => {
                world.change_landmark();
                world.until_written(10).await;
                world.hide_from_screens(true);
                world.pause_sql().await;
                world.writing.ledger().begin_loss();
                world.server.kill().await;
                cut(world, *left);
            }
            Self::StampedAhead => {
                world.hide_from_screens(true);
                world.server.kill().await;
                let newest = sqlite3(&world.server.database, "select max(id) from changes");
                world.until_sql(&format!("select max(id) >= {newest} + 10 from changes"), "1").await;
                world.pause_sql().await;
                world.change_landmark();
                let sql = format!(
                    "begin immediate; update changes set at = (unixepoch() - 8 * {DAY}) * 1000; \
                     update changes set at = at + 38 * {DAY} * 1000 where id = {newest} - 15; commit"
                );
                sqlite3(&world.server.database, &sql);
                let oldest = sqlite3(&world.server.database, "select min(id) from changes");
                // Only changes that are folded are pruned, and a server prunes when it starts. The first of the two
                // starts can already prune.
                let by_api = world.writing.by_api.clone().write_owned().await;
                world.server.start().await.unwrap();
                world.until_sql("select next > (select max(id) from changes) from folded", "1").await;
                world.server.kill().await;
                world.server.start().await.unwrap();
                world.until_sql(&format!("select min(id) > {oldest} from changes"), "1").await;
                drop(by_api);
            }
            Self::ClockStepped { days, restarted } => {
                if let Some(clock) = &world.server.clock {
                    clock.set(days * DAY);
                }
                if *restarted {
                    world.server.kill().await;
                    world.server.start().await.unwrap();
                }
            }
            Self::Sequence(last) => {
                world.writing.ledger().certify(false);
                let sql = format!("update sqlite_sequence set seq = {last} where name = 'changes'");
                sqlite3(&world.server.database, &sql);
            }
            Self::Forgotten { changes } => {
                world.writing.ledger().certify(false);
                let run = sqlite3(&world.server.database, "select token from runs order by id desc limit 1");
                let emptied = if *changes { "delete from changes;" } else { "" };
                let sql = format!("begin immediate; {LANDMARK}; {emptied} delete from sqlite_sequence; commit");
                sqlite3(&world.server.database, &sql);
                if *changes {
                    // The numbers are given out again. Until the server finds that, the other writers use its old
                    // epoch.
                    let is_new = format!("select token <> '{run}' from runs order by id desc limit 1");
                    world.until_sql(&is_new, "1").await;
                }
            }
            Self::Pruned { left } => {
                let sql = format!(
                    "begin immediate; {LANDMARK}; \
                     delete from changes where id <= (select max(id) - {left} from changes); commit"
                );
                sqlite3(&world.server.database, &sql);
            }
            Self::Rebuilt(table) => {
                // Until the triggers are back, no write can have a cursor of its own.
                world.writing.ledger().certify(false);
                rebuild(world, table);
            }
        }
    }

    pub async fn heal_it(&self, world: &mut World) {
        match self {
            Self::DiskFull => {
                if let Some(disk) = &world.small_disk {
                    disk.make_room();
                }
            }
            Self::Io(_) => {
                if let Some(faults) = &world.server.io_faults {
                    faults.clear();
                }
            }
            Self::Killed { .. } | Self::Stopped { .. } => {
                world.server.start().await.unwrap();
                world.hide_from_screens(false);
            }
            Self::MovedAway => {
                assert!(!world.file("").exists(), "a new file has the name of the file that was moved away");
                fs::rename(world.file(".away"), world.file("")).unwrap();
            }
            Self::Restored { way, .. } => {
                if !world.server.is_started() {
                    start_after_restore(world, *way).await;
                }
                assert!(
                    world.server.is_ready_within(204, PATIENCE).await,
                    "/readyz is not 204 after {self:?}\n{}",
                    world.server.log_tail()
                );
                world.writing.ledger().certify(true);
                world.hide_from_screens(false);
            }
            Self::SecondServer(_) => {
                let _ = fs::remove_file(world.file(".other"));
            }
            Self::WalRemoved { .. } | Self::PowerCut { .. } => {
                if !world.server.is_started() {
                    world.server.start().await.unwrap();
                }
                world.writing.ledger().certify(true);
                world.hide_from_screens(false);
            }
            Self::StampedAhead => world.hide_from_screens(false),
            Self::ClockStepped { .. } => {
                if let Some(clock) = &world.server.clock {
                    clock.set(0);
                }
            }
            Self::Sequence(_) | Self::Forgotten { .. } => world.writing.ledger().certify(true),
            Self::Pruned { .. } => {}
            Self::Rebuilt(_) => {
                mend_triggers(world).await;
                world.change_landmark();
                world.writing.ledger().certify(true);
            }
        }
    }
}

/// Lets the server make the call that has to fail.
async fn provoke(world: &mut World, fault: &IoFault) {
    if fault.call == "open" {
        // A program that opens the file before the server would not find the newest changes.
        world.pause_sql().await;
        // A file that comes back is opened again.
        fs::rename(world.file(""), world.file(".away")).unwrap();
        assert!(world.server.is_ready_within(503, PATIENCE).await);
        fs::rename(world.file(".away"), world.file("")).unwrap();
    } else {
        // Only a checkpoint reads and writes the database file.
        world.grow_wal();
    }
    world.until_tried(20).await;
}

async fn restore(world: &mut World, way: Restore, copied: Copied) {
    let copy = match copied {
        Copied::AtTheBeginning => world.old_copy.clone(),
        Copied::JustBefore => {
            let copy = world.server.beside("recent.db");
            world.back_up(&copy);
            world.change_landmark();
            world.until_written(10).await;
            copy
        }
    };
    let left = Contents::of(&copy);
    assert!(left.count() > 0);
    world.pause_sql().await;
    match way {
        Restore::MovedUnderServer | Restore::ThroughSqlite => {}
        Restore::MovedWhileStopped => {
            world.hide_from_screens(true);
            world.server.stop().await;
        }
        Restore::MovedBesideOldWal | Restore::CopiedOver => {
            world.hide_from_screens(true);
            world.server.kill().await;
        }
    }
    world.writing.ledger().begin_loss();
    let beside: PathBuf = world.file(".restored");
    fs::copy(&copy, &beside).unwrap();
    match way {
        Restore::MovedUnderServer | Restore::MovedWhileStopped | Restore::MovedBesideOldWal => {
            fs::rename(&beside, world.file("")).unwrap();
        }
        Restore::ThroughSqlite => {
            sqlite3(&world.server.database, &format!(".restore '{}'", beside.display()));
        }
        Restore::CopiedOver => {
            fs::copy(&copy, world.file("")).unwrap();
            remove_log_files(world);
        }
    }
    let _ = fs::remove_file(&beside);
    if !world.server.is_started() && !matches!(way, Restore::MovedBesideOldWal) {
        world.fill_log();
    }
    world.writing.ledger().end_restore(&left);
    // Other programs write on into the restored file where this cannot damage it: no old `-wal` file is beside it.
    if !matches!(way, Restore::MovedUnderServer | Restore::MovedBesideOldWal) {
        world.resume_sql();
    }
}

async fn start_after_restore(world: &mut World, way: Restore) {
    match (way, world.server.start().await) {
        (Restore::MovedBesideOldWal, Err(error)) => {
            assert!(error.contains("-wal"), "the refusal names no way out: {error}");
            remove_log_files(world);
            world.server.start().await.unwrap();
        }
        (_, started) => started.unwrap(),
    }
}

fn remove_log_files(world: &World) {
    for end in ["-wal", "-shm"] {
        let _ = fs::remove_file(world.file(end));
    }
}

/// Cuts the `-wal` file of a server that was killed, and says which writes are left.
fn cut(world: &mut World, percent: u64) {
    let wal = fs::File::options().write(true).open(world.file("-wal")).unwrap();
    let length = wal.metadata().unwrap().len();
    wal.set_len((length * percent / 100).max(synced(world)).min(length)).unwrap();
    // Another program must not touch the file before the server does, so the copies are read.
    let copy = world.server.beside("cut.db");
    for end in ["", "-wal"] {
        let mut to = copy.clone().into_os_string();
        to.push(end);
        fs::copy(world.file(end), to).unwrap();
    }
    let left = Contents::of_a_part(&copy);
    world.writing.ledger().end_loss(&left);
    // Other programs write before the server is back, so that change ids are given again.
    world.fill_log();
    world.resume_sql();
}

/// The length of the part of the `-wal` file that a checkpoint has brought into the database, or was about to. SQLite
/// syncs that part before, so no loss of power takes it away.
fn synced(world: &World) -> u64 {
    /// The place of the number of frames in the index of the log, and the sizes of the header of the log and of a
    /// frame.
    const ATTEMPTED: usize = 128;
    const HEADER: u64 = 32;
    const FRAME: u64 = 24 + 4096;
    let index = fs::read(world.file("-shm")).unwrap();
    let frames = u32::from_ne_bytes(index[ATTEMPTED..ATTEMPTED + 4].try_into().unwrap());
    HEADER + u64::from(frames) * FRAME
}

fn rebuild(world: &World, table: &str) {
    let database = &world.server.database;
    let made = sqlite3(database, &format!("select sql from sqlite_schema where name = '{table}'"));
    let columns = &made[made.find('(').unwrap()..];
    let indexes =
        format!("select sql || ';' from sqlite_schema where tbl_name = '{table}' and type = 'index' and sql > ''");
    let indexes = sqlite3(database, &indexes);
    let sql = format!(
        "pragma legacy_alter_table = on; begin immediate; create table {table}_anew {columns}; \
         insert into {table}_anew select * from {table}; drop table {table}; \
         alter table {table}_anew rename to {table}; {indexes} commit"
    );
    sqlite3(database, &sql);
}

/// The triggers come back by themselves, or at the next start.
async fn mend_triggers(world: &mut World) {
    if world.server.readiness().await == Some(503) {
        world.server.stop().await;
        world.server.run(&["migrate"]).await;
        world.server.start().await.unwrap();
    }
}
