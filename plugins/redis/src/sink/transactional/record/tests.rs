use std::collections::BTreeMap;

use tidegate_sdk::{Class, Lane, Record};

use super::{Held, State, Stored, compare, field, lane};

fn some_lane() -> Lane {
    Lane { source: "lines".into(), partition: "a/b \"c\"".into() }
}

fn at(done: u64) -> Stored {
    Stored::new(Record { position: None, base: 0, done })
}

/// The verdict if this process holds 5, has sent 9, and the server has `found` by `owner` of `epoch`.
fn judged(epoch: Option<u64>, owner: &str, found: Option<u64>) -> Result<u64, (Class, String)> {
    let mut known = BTreeMap::from([(some_lane(), Held { stored: at(5), sent: vec![at(7), at(9)] })]);
    let lanes = found.map(|done| (field(&some_lane()), at(done).text)).into_iter().collect();
    let state = State { epoch, owner: owner.to_owned(), lanes };
    match compare(("me", 3), &mut known, state) {
        Ok(()) => Ok(known[&some_lane()].stored.record.done),
        Err(error) => Err((error.class(), error.message().to_owned())),
    }
}

#[test]
fn a_lane_is_a_field_and_back() {
    assert_eq!(lane(&field(&some_lane())).unwrap(), some_lane());
    assert!(lane("epoch").is_err());
}

#[test]
fn a_lost_answer_is_found_out() {
    assert_eq!(judged(Some(3), "me", Some(5)), Ok(5));
    assert_eq!(judged(Some(3), "me", Some(7)), Ok(7), "the first of two");
    assert_eq!(judged(Some(3), "me", Some(9)), Ok(9));
}

#[test]
fn lost_data_is_replayed() {
    let (class, message) = judged(Some(3), "me", Some(2)).unwrap_err();
    assert_eq!((class, message.contains("back 3 events")), (Class::Replay, true), "{message}");
    let (class, message) = judged(Some(3), "me", None).unwrap_err();
    assert_eq!((class, message.contains("back 5 events")), (Class::Replay, true), "{message}");
    assert_eq!(judged(Some(2), "me before", Some(5)).unwrap_err().0, Class::Replay);
}

#[test]
fn another_owner_and_an_empty_server_are_the_end() {
    let (class, message) = judged(Some(4), "other", Some(5)).unwrap_err();
    assert_eq!((class, message.contains("another process")), (Class::Fatal, true), "{message}");
    assert_eq!(judged(Some(3), "other", Some(5)).unwrap_err().0, Class::Fatal);
    let (class, message) = judged(None, "", None).unwrap_err();
    assert_eq!((class, message.contains("gone")), (Class::Fatal, true), "{message}");
}
