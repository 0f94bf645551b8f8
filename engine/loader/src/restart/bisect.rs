//! Which event of a batch breaks a plugin: found by trying again, then by halves. Pure: says what to try next.

use std::ops::Range;

/// How often the same events are tried before they are halved, or one is given up: a plugin that breaks at random, or
/// for what came before, is not the fault of the events at hand.
const TRIES: u32 = 2;
/// How often a single event is tried.
const TRIES_OF_ONE: u32 = 3;
/// How many events of a batch may be given up: beyond that, it is not the events.
const KILLERS: usize = 16;

/// A batch on its way through a plugin that may break.
pub(crate) struct Bisection {
    /// What is still to be tried, last first.
    left: Vec<Range<usize>>,
    tries: u32,
    killers: usize,
}

/// What to do after the plugin broke.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Go on with what is next.
    Again,
    /// This event breaks it, each time: reject it, and go on.
    Reject(usize),
    /// So many events break it that it is not the events.
    GiveUp,
}

impl Bisection {
    /// A batch of this many events.
    pub(crate) fn of(events: usize) -> Self {
        Self { left: std::iter::once(0..events).collect(), tries: 0, killers: 0 }
    }

    /// The events to try next, in order.
    pub(crate) fn next(&self) -> Option<Range<usize>> {
        self.left.last().cloned()
    }

    /// These are through.
    pub(crate) fn survived(&mut self) {
        self.left.pop();
        self.tries = 0;
    }

    /// The plugin broke at these.
    pub(crate) fn broke(&mut self) -> Verdict {
        self.tries += 1;
        let Some(range) = self.next() else { return Verdict::GiveUp };
        match range.len() {
            0 | 1 if self.tries < TRIES_OF_ONE => Verdict::Again,
            0 => Verdict::GiveUp,
            1 => {
                self.survived();
                self.killers += 1;
                if self.killers > KILLERS { Verdict::GiveUp } else { Verdict::Reject(range.start) }
            }
            _ if self.tries < TRIES => Verdict::Again,
            length => {
                let middle = range.start + length / 2;
                self.survived();
                self.left.push(middle..range.end);
                self.left.push(range.start..middle);
                Verdict::Again
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of a batch in which these events break the plugin: what got through, what was rejected, how often
    /// it broke.
    fn run(events: usize, killers: &[usize]) -> (Vec<usize>, Vec<usize>, usize) {
        let (mut through, mut rejected, mut broke) = (Vec::new(), Vec::new(), 0);
        let mut bisection = Bisection::of(events);
        while let Some(range) = bisection.next() {
            if !range.clone().any(|event| killers.contains(&event)) {
                through.extend(range);
                bisection.survived();
                continue;
            }
            broke += 1;
            match bisection.broke() {
                Verdict::Again => {}
                Verdict::Reject(event) => rejected.push(event),
                Verdict::GiveUp => break,
            }
        }
        (through, rejected, broke)
    }

    #[test]
    fn one_killer_is_found_and_the_rest_gets_through_in_order() {
        for killer in 0..100 {
            let (through, rejected, broke) = run(100, &[killer]);
            assert_eq!(rejected, [killer]);
            assert_eq!(through, (0..100).filter(|event| *event != killer).collect::<Vec<_>>());
            assert!(broke <= 2 * 7 + 3, "{broke}");
        }
    }

    #[test]
    fn a_plugin_that_broke_once_rejects_nothing() {
        let mut bisection = Bisection::of(10);
        assert_eq!(bisection.broke(), Verdict::Again);
        assert_eq!(bisection.next(), Some(0..10));
        bisection.survived();
        assert_eq!(bisection.next(), None);
    }

    #[test]
    fn one_that_breaks_at_everything_is_given_up() {
        let all: Vec<usize> = (0..1000).collect();
        let (through, rejected, _) = run(1000, &all);
        assert_eq!((through.len(), rejected.len()), (0, KILLERS));
        assert_eq!(run(0, &[]), (vec![], vec![], 0));
        assert_eq!(run(1, &[0]).1, [0]);
    }
}
