use proptest::prelude::*;

use super::*;

/// The tally of these arrivals.
fn check<P: AsRef<[u8]>>(sent: u64, arrived: impl IntoIterator<Item = P>) -> Tally {
    let mut checker = Checker::new(sent);
    arrived.into_iter().for_each(|payload| checker.arrived(payload.as_ref()));
    checker.finish().0
}

fn events(numbers: impl IntoIterator<Item = u64>) -> Vec<String> {
    numbers.into_iter().map(event).collect()
}

#[test]
fn events_have_one_width_and_are_recognised() {
    for sent in [0, 1, 25, 26, 999, 123_456_789_012] {
        let text = event(sent);
        assert_eq!(text.len(), WIDTH, "{text}");
        assert_eq!(number(text.as_bytes()), Some(sent));
        assert!(text.contains(&id(sent)));
    }
    assert_ne!(event(1), event(2));
}

#[test]
fn complete_input_in_order_has_no_faults() {
    assert_eq!(check(100, events(0..100)), Tally { sent: 100, ..Tally::default() });
}

#[test]
fn repeated_range_is_duplicated_and_not_out_of_order() {
    let tally = check(10, events([0, 1, 2, 3, 1, 2, 3, 4, 5, 6, 7, 8, 9]));
    assert_eq!(tally, Tally { sent: 10, duplicated: 3, ..Tally::default() });
}

#[test]
fn late_event_is_out_of_order() {
    let tally = check(5, events([0, 3, 1, 2, 4]));
    assert_eq!(tally, Tally { sent: 5, out_of_order: 2, ..Tally::default() });
}

#[test]
fn event_that_was_never_sent_is_torn() {
    let tally = check(2, events([0, 1, 2]));
    assert_eq!(tally, Tally { sent: 2, torn: 1, ..Tally::default() });
    assert_eq!(check(1, ["", "{}"]), Tally { sent: 1, lost: 1, torn: 2, ..Tally::default() });
}

#[test]
fn tallies_are_added_in_every_field() {
    let one = Tally { sent: 1, lost: 2, duplicated: 3, out_of_order: 4, torn: 5 };
    assert_eq!(one.with(one), Tally { sent: 2, lost: 4, duplicated: 6, out_of_order: 8, torn: 10 });
}

/// A change of the arrivals.
#[derive(Clone, Debug)]
enum Fault {
    Drop(usize),
    Repeat(usize),
    Swap(usize),
    Tear(usize, usize),
    Flip(usize, usize, u8),
    Join(usize),
}

fn fault(sent: usize) -> impl Strategy<Value = Fault> {
    let at = 0..sent - 1;
    prop_oneof![
        at.clone().prop_map(Fault::Drop),
        at.clone().prop_map(Fault::Repeat),
        at.clone().prop_map(Fault::Swap),
        (at.clone(), 0..WIDTH).prop_map(|(at, kept)| Fault::Tear(at, kept)),
        (at.clone(), 0..WIDTH, 1_u8..).prop_map(|(at, byte, bits)| Fault::Flip(at, byte, bits)),
        at.prop_map(Fault::Join),
    ]
}

proptest! {
    /// Each fault is found and classified.
    #[test]
    fn every_seeded_fault_is_found(fault in fault(50)) {
        let mut arrived: Vec<Vec<u8>> = events(0..50).into_iter().map(String::into_bytes).collect();
        let none = Tally { sent: 50, ..Tally::default() };
        let expected = match fault {
            Fault::Drop(at) => { arrived.remove(at); Tally { lost: 1, ..none } }
            Fault::Repeat(at) => { arrived.insert(at, arrived[at].clone()); Tally { duplicated: 1, ..none } }
            Fault::Swap(at) => { arrived.swap(at, at + 1); Tally { out_of_order: 1, ..none } }
            Fault::Tear(at, kept) => { arrived[at].truncate(kept); Tally { lost: 1, torn: 1, ..none } }
            Fault::Flip(at, byte, bits) => { arrived[at][byte] ^= bits; Tally { lost: 1, torn: 1, ..none } }
            Fault::Join(at) => {
                let second = arrived.remove(at + 1);
                arrived[at].extend(second);
                Tally { lost: 2, torn: 1, ..none }
            }
        };
        prop_assert_eq!(check(50, arrived), expected);
    }
}
