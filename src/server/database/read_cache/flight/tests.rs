use std::time::Duration;

use super::{CROWD, Flights};
use crate::protocol::Cursor;

type Keys = Flights<&'static str, u32>;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn one_request_leads_and_the_next_one_follows_when_it_is_gone() {
    let (flights, now) = (Keys::default(), Duration::ZERO);
    let (first, second) = (flights.join(&"a", None, now), flights.join(&"a", None, now));
    let leader = first.lead().expect("the leader");
    assert!(second.lead().is_none());
    assert!(flights.join(&"b", None, now).lead().is_some(), "another key has a leader of its own");
    drop(leader);
    let leader = second.lead().expect("the next leader");
    leader.land(Some(7));
    drop(second);
    assert_eq!(first.answer(), Some(7));
}

#[test]
fn a_request_that_is_alone_is_never_paced() {
    let (flights, now) = (Keys::default(), Duration::ZERO);
    for at in 0..100 {
        let waiting = flights.join(&"a", None, now + ms(at));
        assert_eq!(waiting.lead().expect("the leader").begin_read(now + ms(at)), Ok(None), "{at}");
    }
    assert_eq!(flights.len(), 0);
}

#[test]
fn a_crowded_key_is_read_once_in_a_window() {
    let (flights, now) = (Keys::default(), Duration::ZERO);
    let crowd: Vec<_> = (0..CROWD).map(|_| flights.join(&"a", None, now)).collect();
    let mut reads = Vec::new();
    for at in 0..1_000 {
        let mut leader = crowd[0].lead().expect("the leader");
        match leader.begin_read(now + ms(at)) {
            Ok(_) => {
                reads.push(at);
                leader.land(None);
            }
            Err(begin) => assert_eq!(begin, ms(reads.last().expect("a read") + 40), "{at}"),
        }
    }
    assert_eq!(reads.len(), 25, "{reads:?}");
    // The crowd has been gone for a second.
    drop(crowd);
    for at in [1_001, 1_002, 1_003] {
        let waiting = flights.join(&"a", None, now + ms(at));
        assert_eq!(waiting.lead().expect("the leader").begin_read(now + ms(at)), Ok(None));
    }
}

#[test]
fn a_smaller_group_is_no_crowd() {
    let (flights, now) = (Keys::default(), Duration::ZERO);
    let group: Vec<_> = (1..CROWD).map(|_| flights.join(&"a", None, now)).collect();
    let mut leader = group[0].lead().expect("the leader");
    assert_eq!((leader.begin_read(now), leader.begin_read(now + ms(1))), (Ok(None), Ok(None)));
}

/// The requests of a crowd whose read fails do not wait for a window each.
#[test]
fn a_read_that_fails_delays_no_other() {
    let (flights, now) = (Keys::default(), Duration::ZERO);
    let crowd: Vec<_> = (0..CROWD).map(|_| flights.join(&"a", None, now)).collect();
    for waiting in &crowd {
        assert!(waiting.lead().expect("the leader").begin_read(now).is_ok());
    }
    crowd[0].lead().expect("the leader").land(None);
    let mut leader = crowd[0].lead().expect("the leader");
    assert!(leader.begin_read(now).is_ok());
    leader.land(None);
    assert_eq!(crowd[1].lead().expect("the leader").begin_read(now), Err(ms(40)));
    // A leader that leaves before its read hands the pace on.
    assert_eq!(crowd[2].lead().expect("the leader").begin_read(now), Err(ms(40)));
}

#[test]
fn a_read_of_changes_begins_at_the_oldest_base_of_the_requests_that_wait() {
    let (flights, now) = (Keys::default(), Duration::ZERO);
    let cursor = |next| Cursor::counter("run", next);
    let bases = [cursor(7), cursor(5), cursor(9), Cursor::counter("another", 2)];
    let waiting: Vec<_> = bases.iter().map(|base| flights.join(&"a", Some(base), now)).collect();
    let mut leader = waiting[0].lead().expect("the leader");
    assert_eq!(leader.begin_read(now), Ok(Some(cursor(5))));
    leader.land(None);
    let later = flights.join(&"a", Some(&cursor(8)), now);
    assert_eq!(later.lead().expect("the leader").begin_read(now + ms(40)), Ok(Some(cursor(8))));
}

#[test]
fn the_answer_of_a_flight_goes_with_its_last_request() {
    let (flights, now) = (Keys::default(), Duration::ZERO);
    let crowd: Vec<_> = (0..CROWD).map(|_| flights.join(&"a", None, now)).collect();
    crowd[0].lead().expect("the leader").land(Some(7));
    drop(crowd);
    // The key is remembered for its pace, without its answer.
    assert_eq!((flights.len(), flights.join(&"a", None, now).answer()), (1, None));
}

#[test]
fn keys_that_are_not_crowded_any_more_are_forgotten() {
    let (flights, now) = (Flights::<u32, u32>::default(), Duration::ZERO);
    for key in 0..3_000 {
        let crowd: Vec<_> = (0..CROWD).map(|_| flights.join(&key, None, now + ms(u64::from(key)))).collect();
        drop(crowd);
    }
    assert!(flights.len() <= 2_001, "{}", flights.len());
}
