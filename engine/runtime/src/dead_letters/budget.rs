//! Budget of dead letters: the share of its input that a graph may reject before it stops.
//!
//! Pure: time and counts are parameters. Both windows slide in steps (a hundredth of the events, a second of the
//! minute), so their memory is constant.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Duration;

use tidegate_config::DeadLetterOptions;

/// Size of the window of events that the share refers to.
const EVENTS: u64 = 10_000;

/// Number of events in one step of that window.
const EVENTS_STEP: u64 = 100;

/// The minute, in seconds.
const MINUTE: u64 = 60;

/// Budget of one graph. Once exceeded, it stays exceeded.
#[derive(Debug)]
pub(crate) struct DeadLetterBudget {
    options: DeadLetterOptions,
    minute: Window,
    /// By component; as many as the pipeline file names.
    shares: BTreeMap<String, Window>,
    exceeded: Option<Exceeded>,
}

/// The limit that was exceeded.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Exceeded {
    /// Too many of the last `seen` events that reached a component.
    Share { dead_letters: u64, seen: u64, share: f64 },
    /// Too many within a minute.
    PerMinute { dead_letters: u64, limit: u64 },
}

impl DeadLetterBudget {
    pub(crate) fn new(options: DeadLetterOptions) -> Self {
        Self { options, minute: Window::new(MINUTE, 1), shares: BTreeMap::new(), exceeded: None }
    }

    /// Counts dead letters of a component that `reached` events have reached so far, at `time` since some fixed moment.
    /// If they are too many, none of them may be kept, nor any later one.
    pub(crate) fn count(
        &mut self,
        time: Duration,
        component: &str,
        reached: u64,
        dead_letters: u64,
    ) -> Result<(), Exceeded> {
        if let Some(exceeded) = &self.exceeded {
            return Err(exceeded.clone());
        }
        let DeadLetterOptions { share, per_minute, .. } = self.options;
        let exceeded = if share > 0.0 {
            let window = match self.shares.get_mut(component) {
                Some(window) => window,
                None => self
                    .shares
                    .entry(component.to_owned())
                    .or_insert_with(|| Window::new(EVENTS / EVENTS_STEP, EVENTS_STEP)),
            };
            let dead_letters = window.add(reached, dead_letters);
            let seen = reached.min(EVENTS);
            (dead_letters as f64 > share * EVENTS as f64).then_some(Exceeded::Share {
                dead_letters,
                seen,
                share,
            })
        } else {
            None
        };
        self.exceeded = exceeded.or_else(|| {
            let dead_letters = self.minute.add(time.as_secs(), dead_letters);
            let limit = per_minute;
            (limit > 0 && dead_letters > limit).then_some(Exceeded::PerMinute { dead_letters, limit })
        });
        self.exceeded.clone().map_or(Ok(()), Err)
    }
}

impl DeadLetterBudget {
    /// Counts dead letters that are dropped where there is no room. Those do not count, and there is room again as time and
    /// events pass. Returns the number that there is room for, and the limit that refuses the others.
    pub(crate) fn offer(
        &mut self,
        time: Duration,
        component: &str,
        reached: u64,
        dead_letters: u64,
    ) -> (u64, Option<Exceeded>) {
        let DeadLetterOptions { share, per_minute, .. } = self.options;
        let (mut room, mut exceeded) = (dead_letters, None);
        let window = self.shares.entry(component.to_owned());
        let window = window.or_insert_with(|| Window::new(EVENTS / EVENTS_STEP, EVENTS_STEP));
        let (sum, most) = (window.add(reached, 0), (share * EVENTS as f64) as u64);
        if share > 0.0 && sum + room > most {
            exceeded =
                Some(Exceeded::Share { dead_letters: sum + dead_letters, seen: reached.min(EVENTS), share });
            room = most.saturating_sub(sum);
        }
        let (sum, limit) = (self.minute.add(time.as_secs(), 0), per_minute);
        if limit > 0 && sum + room > limit {
            exceeded = Some(Exceeded::PerMinute { dead_letters: sum + dead_letters, limit });
            room = limit.saturating_sub(sum);
        }
        window.add(reached, room);
        self.minute.add(time.as_secs(), room);
        (room, exceeded)
    }
}

impl fmt::Display for Exceeded {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Share { dead_letters, seen, share } => {
                let (percent, allowed) = (share * 100.0, (share * EVENTS as f64) as u64);
                write!(
                    formatter,
                    "{dead_letters} of the last {seen} events, where {allowed} are allowed ({percent} % of 10,000, \
                     `[pipeline] dead_letters.share`)"
                )
            }
            Self::PerMinute { dead_letters, limit } => {
                write!(
                    formatter,
                    "{dead_letters} within a minute, where {limit} are allowed (`[pipeline] dead_letters.per_minute`)"
                )
            }
        }
    }
}

/// Sliding sum over a growing axis (time or a count), in steps.
#[derive(Debug)]
struct Window {
    steps: u64,
    width: u64,
    /// The sums of the steps in the window, with their numbers, in order.
    sums: VecDeque<(u64, u64)>,
    total: u64,
}

impl Window {
    /// Creates a window of `steps` steps of this width.
    fn new(steps: u64, width: u64) -> Self {
        Self { steps, width, sums: VecDeque::new(), total: 0 }
    }

    /// Adds `amount` at `position`, and returns the sum over the window that ends there. A position before the last one
    /// counts as the last one.
    fn add(&mut self, position: u64, amount: u64) -> u64 {
        let last = self.sums.back().map_or(0, |(step, _)| *step);
        let step = (position / self.width).max(last);
        match self.sums.back_mut() {
            Some((known, sum)) if *known == step => *sum += amount,
            _ => self.sums.push_back((step, amount)),
        }
        self.total += amount;
        while let Some((_, sum)) = self.sums.front().filter(|(known, _)| *known + self.steps <= step) {
            self.total -= sum;
            self.sums.pop_front();
        }
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn budget(share: f64, per_minute: u64) -> DeadLetterBudget {
        DeadLetterBudget::new(DeadLetterOptions { share, per_minute, ..DeadLetterOptions::default() })
    }

    #[test]
    fn small_input_with_a_dozen_bad_events_does_not_stop() {
        let mut budget = budget(0.01, 100);
        assert_eq!(budget.count(Duration::ZERO, "parse", 1000, 12), Ok(()));
        assert_eq!(budget.count(Duration::ZERO, "parse", 1000, 88), Ok(()));
        assert!(budget.count(Duration::ZERO, "parse", 1000, 1).is_err());
    }

    #[test]
    fn each_limit_is_switched_off_with_zero_and_stays_exceeded() {
        let far = |number: u64| Duration::from_secs(number * 100);
        let mut off = budget(0.0, 0);
        let mut share = budget(0.01, 0);
        let mut minute = budget(0.0, 100);
        for number in 0..1000 {
            assert_eq!(off.count(Duration::ZERO, "a", number, 50), Ok(()));
            assert_eq!(share.count(Duration::ZERO, "a", number * 10_000, 100), Ok(()));
            assert_eq!(minute.count(far(number), "a", number, 100), Ok(()));
        }
        let exceeded = share.count(Duration::ZERO, "a", 9_990_001, 1);
        assert_eq!(exceeded, Err(Exceeded::Share { dead_letters: 101, seen: 10_000, share: 0.01 }));
        assert_eq!(share.count(far(5), "b", 99_999_999, 0), exceeded);
        let exceeded = minute.count(far(999), "b", 1, 1);
        assert_eq!(exceeded, Err(Exceeded::PerMinute { dead_letters: 101, limit: 100 }));
        assert_eq!(minute.count(far(5000), "a", 1, 0), exceeded);
    }

    /// The message spoke of the last 10,000 events when only 500 had been seen.
    #[test]
    fn message_names_the_events_that_were_seen() {
        let mut budget = budget(0.01, 0);
        let exceeded = budget.count(Duration::ZERO, "parse", 1000, 500).unwrap_err();
        assert_eq!(
            exceeded.to_string(),
            "500 of the last 1000 events, where 100 are allowed (1 % of 10,000, `[pipeline] dead_letters.share`)"
        );
        let (room, exceeded) = self::budget(0.01, 0).offer(Duration::ZERO, "parse", 20_000, 500);
        assert_eq!(room, 100);
        assert!(exceeded.unwrap().to_string().starts_with("500 of the last 10000 events"));
    }

    #[test]
    fn components_have_shares_of_their_own_and_one_limit_per_minute() {
        let mut budget = budget(0.01, 150);
        assert_eq!(budget.count(Duration::ZERO, "a", 500, 80), Ok(()));
        assert_eq!(budget.count(Duration::ZERO, "b", 500, 70), Ok(()));
        assert!(matches!(budget.count(Duration::ZERO, "c", 500, 1), Err(Exceeded::PerMinute { .. })));
    }

    #[test]
    fn offered_dead_letters_have_room_again_when_the_window_has_moved() {
        let mut budget = budget(0.01, 100);
        let at = |second| Duration::from_secs(second);
        let mut offer = |second, reached, dead_letters| {
            let (room, exceeded) = budget.offer(at(second), "a", reached, dead_letters);
            assert_eq!(exceeded.is_some(), room < dead_letters);
            room
        };
        assert_eq!(offer(0, 100, 40), 40);
        assert_eq!(offer(0, 100, 100), 60, "as many as there is room for");
        assert_eq!(offer(0, 101, 1), 0);
        assert_eq!(offer(59, 20_000, 1), 0, "the minute is not over");
        assert_eq!(offer(61, 20_000, 100), 100);
    }

    proptest! {
        /// The sum is at least that of the window less a step, and at most that of the window.
        #[test]
        fn window_is_exact_to_a_step(adds in prop::collection::vec((0_u64..400, 0_u64..5), 1..80), width in 1_u64..20) {
            let steps = 10;
            let mut window = Window::new(steps, width);
            let (mut place, mut added) = (0, Vec::new());
            for (further, amount) in adds {
                place += further % (width * 4);
                added.push((place, amount));
                let total = window.add(place, amount);
                let within = |length: u64| {
                    let sums = added.iter().filter(|(known, _)| *known + length > place);
                    sums.map(|(_, amount)| amount).sum::<u64>()
                };
                prop_assert!(total >= within((steps - 1) * width + 1));
                prop_assert!(total <= within(steps * width));
                prop_assert!(window.sums.len() <= steps as usize);
            }
        }
    }
}
