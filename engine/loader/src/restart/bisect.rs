//! Finds the event of a batch that breaks a plugin: retries the batch, then halves it. Pure: decides what to try next.

use std::ops::Range;

/// Number of tries of the same events before they are halved. A plugin may break at random, or because of earlier events.
const TRIES: u32 = 2;
/// Number of tries of a single event.
const TRIES_OF_ONE: u32 = 3;
/// Number of events of one batch that may be rejected. With more, the events are not the cause.
const KILLERS: usize = 16;

/// The search in one batch.
pub(crate) struct Bisection {
    /// The ranges that are not tried yet, last first.
    left: Vec<Range<usize>>,
    tries: u32,
    killers: usize,
}

/// The next step after a break.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Try the next range.
    Again,
    /// Reject this event, which breaks the plugin each time, and continue.
    Reject(usize),
    /// Give up: too many events break the plugin.
    GiveUp,
}

impl Bisection {
    /// The search in a batch of this many events.
    pub(crate) fn of(events: usize) -> Self {
        Self { left: std::iter::once(0..events).collect(), tries: 0, killers: 0 }
    }

    /// The next range to try.
    pub(crate) fn next(&self) -> Option<Range<usize>> {
        self.left.last().cloned()
    }

    /// Records that the plugin survived the range.
    pub(crate) fn survived(&mut self) {
        self.left.pop();
        self.tries = 0;
    }

    /// Records that the plugin broke at the range.
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

    /// Runs the search with these killers. Returns the events that got through, the rejected events and the number of breaks.
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
    fn single_killer_is_found_and_the_rest_gets_through_in_order() {
        for killer in 0..100 {
            let (through, rejected, broke) = run(100, &[killer]);
            assert_eq!(rejected, [killer]);
            assert_eq!(through, (0..100).filter(|event| *event != killer).collect::<Vec<_>>());
            assert!(broke <= 2 * 7 + 3, "{broke}");
        }
    }

    #[test]
    fn single_break_rejects_nothing() {
        let mut bisection = Bisection::of(10);
        assert_eq!(bisection.broke(), Verdict::Again);
        assert_eq!(bisection.next(), Some(0..10));
        bisection.survived();
        assert_eq!(bisection.next(), None);
    }

    #[test]
    fn search_gives_up_if_every_event_breaks_the_plugin() {
        let all: Vec<usize> = (0..1000).collect();
        let (through, rejected, _) = run(1000, &all);
        assert_eq!((through.len(), rejected.len()), (0, KILLERS));
        assert_eq!(run(0, &[]), (vec![], vec![], 0));
        assert_eq!(run(1, &[0]).1, [0]);
    }
}
