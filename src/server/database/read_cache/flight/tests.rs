use std::time::Duration;

use super::{CROWD, Flights};

type Keys = Flights<&'static str, u32>;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn one_request_leads_and_the_next_one_follows_when_it_is_gone() {
    let (flights, now) = (Keys::default(), Duration::ZERO);
    let (first, second) = (flights.join(&"a", now), flights.join(&"a", now));
    let leader = first.lead().expect("the leader");
    assert!(second.lead().is_none());
    assert!(flights.join(&"b", now).lead().is_some(), "another key has a leader of its own");
    drop(leader);
    let leader = second.lead().expect("the next leader");
    leader.land(7);
    drop((leader, second));
    assert_eq!(first.answer(), Some(7));
}

#[test]
fn a_request_that_is_alone_is_never_paced() {
    let (flights, now) = (Keys::default(), Duration::ZERO);
    for at in 0..100 {
        let waiting = flights.join(&"a", now + ms(at));
        assert_eq!(waiting.lead().expect("the leader").begin_read(now + ms(at)), Ok(()), "{at}");
    }
    assert_eq!(flights.len(), 0);
}

#[test]
fn a_crowded_key_is_read_once_in_a_window() {
    let (flights, now) = (Keys::default(), Duration::ZERO);
    let crowd: Vec<_> = (0..CROWD).map(|_| flights.join(&"a", now)).collect();
    let mut reads = Vec::new();
    for at in 0..1_000 {
        let leader = crowd[0].lead().expect("the leader");
        match leader.begin_read(now + ms(at)) {
            Ok(()) => reads.push(at),
            Err(begin) => assert_eq!(begin, ms(reads.last().expect("a read") + 40), "{at}"),
        }
    }
    assert_eq!(reads.len(), 25, "{reads:?}");
    // The crowd has been gone for a second.
    drop(crowd);
    for at in [1_001, 1_002, 1_003] {
        let waiting = flights.join(&"a", now + ms(at));
        assert_eq!(waiting.lead().expect("the leader").begin_read(now + ms(at)), Ok(()));
    }
}

#[test]
fn a_smaller_group_is_no_crowd() {
    let (flights, now) = (Keys::default(), Duration::ZERO);
    let group: Vec<_> = (1..CROWD).map(|_| flights.join(&"a", now)).collect();
    let leader = group[0].lead().expect("the leader");
    assert_eq!((leader.begin_read(now), leader.begin_read(now + ms(1))), (Ok(()), Ok(())));
}

#[test]
fn the_answer_of_a_flight_goes_with_its_last_request() {
    let (flights, now) = (Keys::default(), Duration::ZERO);
    let crowd: Vec<_> = (0..CROWD).map(|_| flights.join(&"a", now)).collect();
    crowd[0].lead().expect("the leader").land(7);
    drop(crowd);
    // The key is remembered for its pace, without its answer.
    assert_eq!((flights.len(), flights.join(&"a", now).answer()), (1, None));
}

#[test]
fn keys_that_are_not_crowded_any_more_are_forgotten() {
    let (flights, now) = (Flights::<u32, u32>::default(), Duration::ZERO);
    for key in 0..3_000 {
        let crowd: Vec<_> = (0..CROWD).map(|_| flights.join(&key, now + ms(u64::from(key)))).collect();
        drop(crowd);
    }
    assert!(flights.len() <= 2_001, "{}", flights.len());
}
