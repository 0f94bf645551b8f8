use proptest::prelude::*;

use super::*;

proptest! {
    /// Against the plainest form of the rule: look through a list of all that was let through.
    #[test]
    fn agrees_with_a_list(steps in prop::collection::vec((0u128..20, 0u64..5), 0..300), events in 1usize..8, within in prop::option::of(1u64..12)) {
        let within = within.map(Duration::from_secs);
        let mut window = Window::new(events, within);
        let mut passed: Vec<(u128, Duration)> = Vec::new();
        let mut now = Duration::ZERO;
        for (key, pause) in steps {
            now += Duration::from_secs(pause);
            let recent = passed.iter().rev().take(events);
            let known = recent.filter(|(_, at)| within.is_none_or(|within| now - *at < within));
            let is_new = !known.map(|(key, _)| *key).collect::<Vec<_>>().contains(&key);
            if is_new {
                passed.push((key, now));
            }
            prop_assert_eq!(window.admit(key, now), is_new);
            prop_assert!(window.order.len() <= events && window.known.len() == window.order.len());
        }
    }
}
