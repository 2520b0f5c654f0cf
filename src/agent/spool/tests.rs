use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use super::place::{agent_checksum, open_places};
use super::{
    BrokenRecord, MAX_SPOOL_BYTES, MAX_WAIT_BEHIND_MS, PlaceName, Spool, SpoolPlace, SpoolTally, SpooledRecord,
};

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

fn record(number: usize, body: &[u8]) -> SpooledRecord {
    SpooledRecord {
        source: "codex".into(),
        delivery: format!("d-{number}"),
        at_ms: 7,
        process: number.is_multiple_of(2).then(|| format!("-:{number}")),
        body: body.to_vec(),
    }
}

fn put(spool: &Spool, record: &SpooledRecord) {
    let place = spool.take_place("an agent", &record.delivery, 0, soon()).expect("a place");
    spool.put(record, &place, soon()).expect("put");
}

fn spool() -> (tempfile::TempDir, Spool) {
    let folder = tempfile::tempdir().expect("a folder");
    let spool = Spool::of(folder.path(), "127.0.0.1", 7373);
    (folder, spool)
}

#[test]
fn all_names_of_this_machine_lead_to_one_spool() {
    let (folder, spool) = spool();
    for host in ["localhost", "LOCALHOST", "127.0.0.1", "[::1]", "::1", "0.0.0.0"] {
        assert_eq!(Spool::of(folder.path(), host, 7373).folder(), spool.folder(), "{host}");
    }
    let other = Spool::of(folder.path(), "../board.example", 80);
    assert_eq!(other.folder(), folder.path().join(".._board.example-80"));
}

#[test]
fn records_keep_their_order_and_one_process_claims_them() {
    let (_folder, spool) = spool();
    assert!(spool.is_empty());
    assert_eq!(spool.tally(soon()).expect("a tally"), SpoolTally::default());
    for number in 0..12 {
        put(&spool, &record(number, b"{}\n\0\xff"));
    }
    let claim = spool.claim().expect("usable").expect("free");
    assert!(spool.claim().expect("usable").is_none());
    let names = claim.waiting(7).expect("names");
    for (number, name) in names.iter().enumerate() {
        assert_eq!(claim.read(name).expect("readable"), Some(Ok(record(number, b"{}\n\0\xff"))));
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    claim.settle(&names[..10], &names[10..], soon()).expect("settled");
    assert!(spool.is_empty());
    assert_eq!(spool.tally(soon()).expect("a tally"), SpoolTally { aside: 2, ..SpoolTally::default() });
    drop(claim);
    // Numbers of removed records are not reused.
    put(&spool, &record(12, b""));
    let claim = spool.claim().expect("usable").expect("free");
    assert_eq!(claim.waiting(7).expect("names"), [&*format!("0000000000000013-{:016x}", agent_checksum("an agent"))]);
}

#[test]
fn incomplete_and_altered_files_are_refused() {
    let text = record(1, b"{\"a\": 1}").encode();
    assert_eq!(SpooledRecord::decode(&text), Ok(record(1, b"{\"a\": 1}")));
    for end in 0..text.len() {
        assert_eq!(SpooledRecord::decode(&text[..end]), Err(BrokenRecord), "{end}");
    }
    for at in 0..text.len() {
        let mut torn = text.clone();
        torn[at] = 0;
        assert_eq!(SpooledRecord::decode(&torn), Err(BrokenRecord), "{at}");
    }
    assert_eq!(SpooledRecord::decode(&[text.as_slice(), b"x"].concat()), Err(BrokenRecord));
}

#[test]
fn a_full_queue_drops_and_counts_its_oldest_records() {
    let (_folder, spool) = spool();
    let body = vec![b' '; 4 * 1024 * 1024 - 4096];
    for number in 0..20 {
        put(&spool, &record(number, &body));
        assert!(spool.tally(soon()).expect("a tally").bytes <= MAX_SPOOL_BYTES);
    }
    let tally = spool.tally(soon()).expect("a tally");
    assert_eq!(tally.waiting + tally.dropped, 20);
    assert!((13..=16).contains(&tally.waiting), "{tally:?}");
    let claim = spool.claim().expect("usable").expect("free");
    let names = claim.waiting(7).expect("names");
    let newest = claim.read(names.last().expect("one")).expect("readable").expect("there").expect("whole");
    assert_eq!(newest.delivery, "d-19");
}

#[test]
fn a_damaged_count_file_is_restored_from_the_queue() {
    let (_folder, spool) = spool();
    for number in 0..3 {
        put(&spool, &record(number, b"{}"));
    }
    for text in ["", "garbage", "1 2 3\n"] {
        fs::write(spool.folder().join("count"), text).expect("written");
        put(&spool, &record(9, b"{}"));
    }
    let claim = spool.claim().expect("usable").expect("free");
    let names = claim.waiting(7).expect("names");
    assert!(names.last().is_some_and(|name| name.starts_with("0000000000000006-")), "{names:?}");
}

#[test]
fn a_record_waits_behind_the_open_places_of_its_agent_process() {
    let (_folder, spool) = spool();
    let take = |agent: &str, number: usize, at_ms| {
        spool.take_place(agent, &format!("d-{number}"), at_ms, soon()).expect("a place")
    };
    let (first, second, of_other) = (take("one", 1, 1_000), take("one", 2, 1_001), take("other", 3, 1_002));
    assert!(!spool.is_behind(&first, 1_100) && spool.is_behind(&second, 1_100) && !spool.is_behind(&of_other, 1_100));
    spool.put(&record(2, b"{}"), &second, soon()).expect("put");
    spool.put(&record(3, b"{}"), &of_other, soon()).expect("put");
    drop((second, of_other));
    let claim = spool.claim().expect("usable").expect("free");
    let numbers = |now_ms| -> Vec<String> {
        let names = claim.waiting(now_ms).expect("names");
        let number = |name: &String| name[..16].parse::<u64>().expect("a number") / 1_000 - 999;
        names.iter().map(|name| number(name).to_string()).collect()
    };
    assert_eq!(numbers(1_100), ["3"]);
    assert_eq!(numbers(1_000 + MAX_WAIT_BEHIND_MS), ["2", "3"], "an open place holds up others for a limited time");
    assert_eq!(numbers(1_100), ["3"]);
    spool.put(&record(1, b"{}"), &first, soon()).expect("put");
    drop(first);
    assert_eq!(numbers(1_100), ["1", "2", "3"]);
}

/// exFAT and some network file systems refuse hard links.
#[test]
fn a_place_needs_no_hard_link() {
    let folder = tempfile::tempdir().expect("a folder");
    let places = folder.path().join("places");
    fs::create_dir(&places).expect("a folder");
    let unnamed = folder.path().join("part-place");
    let refused = |_: &Path, _: &Path| Err(io::ErrorKind::PermissionDenied.into());
    let take = || SpoolPlace::take_by(refused, &places, &unnamed, PlaceName { number: 7, agent: 1, at_ms: 5 });
    let taken = [take().expect("a place"), take().expect("a place")];
    assert_eq!(taken.each_ref().map(|place| place.name.number), [7, 8], "a place replaces no other");
    assert_eq!(open_places(&places).len(), 2, "both files are locked");
    assert!(!fs::exists(&unnamed).expect("readable"));
    drop(taken);
    assert_eq!(fs::read_dir(&places).expect("readable").count(), 0);
    fs::remove_dir(&places).expect("removed");
    assert!(take().is_err(), "no folder");
    assert!(!fs::exists(&unnamed).expect("readable"));
}

#[test]
fn the_place_of_a_killed_process_holds_up_no_record() {
    let (_folder, spool) = spool();
    let first = spool.take_place("one", "d-1", 7, soon()).expect("a place");
    let left = spool.folder().join("places/0000000000000000-").display().to_string();
    let left = format!("{left}{:016x}-7", agent_checksum("one"));
    fs::write(&left, "half a record").expect("written");
    let second = spool.take_place("one", "d-2", 7, soon()).expect("a place");
    assert!(spool.is_behind(&second, 8));
    drop(first);
    fs::write(&left, "half a record").expect("written");
    assert!(!spool.is_behind(&second, 8));
    assert!(!fs::exists(&left).expect("readable"));
}

#[test]
fn a_record_is_kept_while_another_process_holds_the_lock() {
    let (_folder, spool) = spool();
    let place = spool.take_place("one", "d-1", 7, soon()).expect("a place");
    let count = fs::File::open(spool.folder().join("count")).expect("a file");
    count.lock().expect("locked");
    spool.put(&record(1, b"{}"), &place, Instant::now()).expect("put");
    spool.count_unread().expect("counted");
    spool.count_unread().expect("counted");
    drop(count);
    let tally = spool.tally(soon()).expect("a tally");
    assert_eq!((tally.waiting, tally.dropped, tally.unread), (1, 0, 2));
}
