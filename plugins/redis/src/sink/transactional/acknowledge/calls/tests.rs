use proptest::prelude::*;
use serde_json::json;
use tidegate_sdk::Delivery;

use super::*;
use crate::sink::options::Options;

fn shape(command: &str, key: &str) -> Shape {
    let options: Options =
        serde_json::from_value(json!({"url": "redis://h", "command": command, "key": key})).unwrap();
    Shape::new(&options).unwrap()
}

/// Whose each argument is, as the function inside of Redis reads it.
fn read(text: &str) -> Vec<usize> {
    let stretches = text.split_terminator(';').map(|stretch| {
        let numbers: Vec<usize> = stretch.split(',').map(|number| number.parse().unwrap()).collect();
        (numbers[0], numbers[1], numbers[2])
    });
    stretches.flat_map(|(first, count, each)| (0..count * each).map(move |n| first + n / each)).collect()
}

proptest! {
    #[test]
    fn owners_say_whose_each_argument_is(pieces in proptest::collection::vec((0_usize..3, 1_usize..4), 0..40)) {
        let (mut owners, mut expected, mut entry) = (Owners::default(), Vec::new(), 0);
        for (step, count) in pieces {
            entry += step;
            owners.push(entry, count);
            expected.extend(std::iter::repeat_n(entry, count));
        }
        prop_assert_eq!(read(&owners.text()), expected);
    }

    /// Calls cover the entries and the items without a gap, never part what was made of one entry, and are no
    /// larger than they may be, unless one entry is.
    #[test]
    fn calls_cover_everything_and_part_no_entry(made in proptest::collection::vec(0_usize..2_000, 1..40), from in 0_usize..5) {
        let shape = shape("rpush", "list");
        let from = from.min(made.len());
        let entries: Vec<usize> =
            made.iter().enumerate().flat_map(|(entry, count)| std::iter::repeat_n(entry, *count)).collect();
        let source = tidegate_testkit::batch((0..made.len()).map(|_| "x"));
        let batch = source.select(entries.iter().copied()).with_origin(|origin| origin.first = 70);
        let writes = Writes::new(&shape, &batch, 70 + from as u64, &mut Delivery::complete());
        let number = |item: &Item| (item.number - 70) as usize;
        let (mut entry, mut item) = (from, 0);
        for call in calls(&writes, number, from..made.len()) {
            prop_assert_eq!((call.entries.start, call.items.start), (entry, item));
            prop_assert!(call.entries.end > entry);
            let own = writes.items[call.items.clone()].iter().all(|item| call.entries.contains(&number(item)));
            prop_assert!(own && (call.entries.len() == 1 || call.items.len() <= CALL_EVENTS));
            (entry, item) = (call.entries.end, call.items.end);
        }
        prop_assert_eq!((entry, item), (made.len(), writes.items.len()));
    }
}

#[test]
fn entries_of_which_nothing_was_made_are_acknowledged_too() {
    let shape = shape("rpush", "list");
    let nothing = tidegate_testkit::batch(Vec::<&str>::new());
    let writes = Writes::new(&shape, &nothing, 0, &mut Delivery::complete());
    let all = calls(&writes, |_| 0, 0..CALL_EVENTS + 3);
    let cut: Vec<_> = all.iter().map(|call| call.entries.clone()).collect();
    assert_eq!(cut, [0..CALL_EVENTS, CALL_EVENTS..CALL_EVENTS + 3]);
    assert!(all.iter().all(|call| call.items.is_empty()));
}

#[test]
fn a_command_of_its_own_belongs_to_its_event_with_what_stands_around() {
    let shape = shape("xadd", "s");
    let batch = tidegate_testkit::batch(["a", "b"]);
    let writes = Writes::new(&shape, &batch, 0, &mut Delivery::complete());
    let call = calls(&writes, |item| item.number as usize, 0..2).remove(0);
    let (_, _, commands) = call.commands(&shape, &writes);
    let owners: Vec<String> = commands.iter().map(|command| command.owners.text()).collect();
    assert_eq!(owners, ["0,1,3;", "1,1,3;"], "`*`, the name of the field, and its value");
}
