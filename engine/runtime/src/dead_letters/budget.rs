//! How much of its input a graph may turn into dead letters before it stops.
//!
//! Pure: time and counts are handed in. Both windows slide in steps (a hundredth of the events, a second of the
//! minute), so that they take the same little memory whatever passes through them.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Duration;

use tidegate_config::DeadLetterOptions;

/// The events of a component that its share is of.
const EVENTS: u64 = 10_000;

/// How many events are one step of that window.
const EVENTS_STEP: u64 = 100;

/// The minute, in seconds.
const MINUTE: u64 = 60;

/// What one graph may still turn into dead letters. Once exceeded, it stays so.
#[derive(Debug)]
pub(crate) struct DeadLetterBudget {
    options: DeadLetterOptions,
    minute: Window,
    /// By component, of which there are as many as the pipeline file names.
    shares: BTreeMap<String, Window>,
    exceeded: Option<Exceeded>,
}

/// Why no more may become dead letters.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Exceeded {
    /// Too many of the last events that reached a component.
    EventPermits { letters: u64, share: f64 },
    /// Too many within a minute.
    PerMinute { letters: u64, limit: u64 },
}

impl DeadLetterBudget {
    pub(crate) fn new(options: DeadLetterOptions) -> Self {
        Self { options, minute: Window::new(MINUTE, 1), shares: BTreeMap::new(), exceeded: None }
    }

    /// Counts `letters` of `component`, which `reached` events have reached so far, at `time` since some fixed
    /// moment. If that is too many, none of them may be kept, nor any that come later.
    pub(crate) fn count(
        &mut self,
        time: Duration,
        component: &str,
        reached: u64,
        letters: u64,
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
            let letters = window.add(reached, letters);
            (letters as f64 > share * EVENTS as f64).then_some(Exceeded::EventPermits { letters, share })
        } else {
            None
        };
        self.exceeded = exceeded.or_else(|| {
            let letters = self.minute.add(time.as_secs(), letters);
            let limit = per_minute;
            (limit > 0 && letters > limit).then_some(Exceeded::PerMinute { letters, limit })
        });
        self.exceeded.clone().map_or(Ok(()), Err)
    }
}

impl DeadLetterBudget {
    /// As [`count`](Self::count), for letters that are dropped where there are too many: those count for nothing, and
    /// there is room again as time and events pass. Returns how many there is room for, and why not for all.
    pub(crate) fn offer(
        &mut self,
        time: Duration,
        component: &str,
        reached: u64,
        letters: u64,
    ) -> (u64, Option<Exceeded>) {
        let DeadLetterOptions { share, per_minute, .. } = self.options;
        let (mut room, mut exceeded) = (letters, None);
        let window = self.shares.entry(component.to_owned());
        let window = window.or_insert_with(|| Window::new(EVENTS / EVENTS_STEP, EVENTS_STEP));
        let (sum, most) = (window.add(reached, 0), (share * EVENTS as f64) as u64);
        if share > 0.0 && sum + room > most {
            exceeded = Some(Exceeded::EventPermits { letters: sum + letters, share });
            room = most.saturating_sub(sum);
        }
        let (sum, limit) = (self.minute.add(time.as_secs(), 0), per_minute);
        if limit > 0 && sum + room > limit {
            exceeded = Some(Exceeded::PerMinute { letters: sum + letters, limit });
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
            Self::EventPermits { letters, share } => {
                let percent = share * 100.0;
                write!(
                    formatter,
                    "{letters} of the last 10,000 events, where {percent} % are allowed (`[pipeline] dead_letters.share`)"
                )
            }
            Self::PerMinute { letters, limit } => {
                write!(
                    formatter,
                    "{letters} within a minute, where {limit} are allowed (`[pipeline] dead_letters.per_minute`)"
                )
            }
        }
    }
}

/// A sum over the last stretch of something that grows (time, a count), in steps.
#[derive(Debug)]
struct Window {
    steps: u64,
    width: u64,
    /// The sums of steps that are within the window, each with its number, growing.
    sums: VecDeque<(u64, u64)>,
    total: u64,
}

impl Window {
    /// A window of so many steps of this width.
    fn new(steps: u64, width: u64) -> Self {
        Self { steps, width, sums: VecDeque::new(), total: 0 }
    }

    /// Adds `amount` at `place`, and returns the sum over the window that ends there. A place before the last
    /// one counts as the last one.
    fn add(&mut self, place: u64, amount: u64) -> u64 {
        let last = self.sums.back().map_or(0, |(step, _)| *step);
        let step = (place / self.width).max(last);
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
    fn a_small_input_with_a_dozen_bad_events_does_not_stop() {
        let mut budget = budget(0.01, 100);
        assert_eq!(budget.count(Duration::ZERO, "parse", 1000, 12), Ok(()));
        assert_eq!(budget.count(Duration::ZERO, "parse", 1000, 88), Ok(()));
        assert!(budget.count(Duration::ZERO, "parse", 1000, 1).is_err());
    }

    #[test]
    fn each_limit_is_switched_off_with_zero_and_what_is_exceeded_stays_so() {
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
        assert_eq!(exceeded, Err(Exceeded::EventPermits { letters: 101, share: 0.01 }));
        assert_eq!(share.count(far(5), "b", 99_999_999, 0), exceeded);
        let exceeded = minute.count(far(999), "b", 1, 1);
        assert_eq!(exceeded, Err(Exceeded::PerMinute { letters: 101, limit: 100 }));
        assert_eq!(minute.count(far(5000), "a", 1, 0), exceeded);
    }

    #[test]
    fn components_have_shares_of_their_own_and_share_the_minute() {
        let mut budget = budget(0.01, 150);
        assert_eq!(budget.count(Duration::ZERO, "a", 500, 80), Ok(()));
        assert_eq!(budget.count(Duration::ZERO, "b", 500, 70), Ok(()));
        assert!(matches!(budget.count(Duration::ZERO, "c", 500, 1), Err(Exceeded::PerMinute { .. })));
    }

    #[test]
    fn offered_letters_find_room_again_when_the_window_has_moved_on() {
        let mut budget = budget(0.01, 100);
        let at = |second| Duration::from_secs(second);
        let mut offer = |second, reached, letters| {
            let (room, exceeded) = budget.offer(at(second), "a", reached, letters);
            assert_eq!(exceeded.is_some(), room < letters);
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
        fn a_window_is_exact_to_a_step(adds in prop::collection::vec((0_u64..400, 0_u64..5), 1..80), width in 1_u64..20) {
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
