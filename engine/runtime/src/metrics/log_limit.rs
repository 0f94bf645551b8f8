//! Limit on the log lines about rejected events.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// The shortest time between two lines about one kind of events.
const LINES_EVERY: Duration = Duration::from_secs(10);

/// Limit of one line in [`LINES_EVERY`], with the number of events since the last line.
#[derive(Debug, Default)]
pub(crate) struct LogLimit(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    last_line: Option<Instant>,
    events: u64,
}

impl LogLimit {
    /// Counts events. Returns their number since the last line if another line is due.
    pub(crate) fn count(&self, events: usize) -> Option<u64> {
        let mut counted = self.0.lock();
        counted.events += events as u64;
        if counted.last_line.is_some_and(|last| last.elapsed() < LINES_EVERY) {
            return None;
        }
        counted.last_line = Some(Instant::now());
        Some(std::mem::take(&mut counted.events))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn line_is_due_once_in_an_interval_and_counts_all_events_since() {
        let limit = LogLimit::default();
        assert_eq!(limit.count(3), Some(3));
        assert_eq!((limit.count(4), limit.count(5)), (None, None));
        tokio::time::advance(LINES_EVERY).await;
        assert_eq!(limit.count(1), Some(10));
    }
}
