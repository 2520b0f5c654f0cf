use std::fs;
use std::time::{Duration, Instant};

use super::{BrokenRecord, MAX_SPOOL_BYTES, Spool, SpoolTally, SpooledRecord};

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
        spool.put(&record(number, b"{}\n\0\xff"), soon()).expect("put");
    }
    let claim = spool.claim().expect("usable").expect("free");
    assert!(spool.claim().expect("usable").is_none());
    let names = claim.waiting().expect("names");
    for (number, name) in names.iter().enumerate() {
        assert_eq!(claim.read(name).expect("readable"), Some(Ok(record(number, b"{}\n\0\xff"))));
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    claim.settle(&names[..10], &names[10..], soon()).expect("settled");
    assert!(spool.is_empty());
    assert_eq!(spool.tally(soon()).expect("a tally"), SpoolTally { aside: 2, ..SpoolTally::default() });
    drop(claim);
    // Numbers of removed records are not reused.
    spool.put(&record(12, b""), soon()).expect("put");
    let claim = spool.claim().expect("usable").expect("free");
    assert_eq!(claim.waiting().expect("names"), ["0000000000000013"]);
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
        spool.put(&record(number, &body), soon()).expect("put");
        assert!(spool.tally(soon()).expect("a tally").bytes <= MAX_SPOOL_BYTES);
    }
    let tally = spool.tally(soon()).expect("a tally");
    assert_eq!(tally.waiting + tally.dropped, 20);
    assert!((13..=16).contains(&tally.waiting), "{tally:?}");
    let claim = spool.claim().expect("usable").expect("free");
    let names = claim.waiting().expect("names");
    let newest = claim.read(names.last().expect("one")).expect("readable").expect("there").expect("whole");
    assert_eq!(newest.delivery, "d-19");
}

#[test]
fn a_damaged_count_file_is_restored_from_the_queue() {
    let (_folder, spool) = spool();
    for number in 0..3 {
        spool.put(&record(number, b"{}"), soon()).expect("put");
    }
    for text in ["", "garbage", "1 2 3\n"] {
        fs::write(spool.folder().join("count"), text).expect("written");
        spool.put(&record(9, b"{}"), soon()).expect("put");
    }
    let claim = spool.claim().expect("usable").expect("free");
    let names = claim.waiting().expect("names");
    assert_eq!(names.last().map(String::as_str), Some("0000000000000006"));
}
