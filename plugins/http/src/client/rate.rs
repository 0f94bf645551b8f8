//! The largest rate of requests.

use std::str::FromStr;
use std::time::Duration;

use parking_lot::Mutex;
use tidegate_sdk::ConfigError;
use tokio::time::Instant;

/// A number of requests in a span of time: `"5/s"`, `"100/m"`, `"30/10s"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    /// The time between two requests.
    gap: Duration,
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let problem = || {
            format!("`{text}` is not a rate; write requests and a span of time, such as \"5/s\" or \"100/m\"")
        };
        let (number, span) = text.split_once('/').ok_or_else(problem)?;
        let number: u32 = number.trim().parse().ok().filter(|number| *number > 0).ok_or_else(problem)?;
        let span = span.trim();
        let spelled =
            if span.starts_with(|c: char| c.is_ascii_digit()) { span.into() } else { format!("1{span}") };
        let span: tidegate_sdk::Duration = spelled.parse().map_err(|_| problem())?;
        let gap = span.0.checked_div(number).filter(|gap| !gap.is_zero()).ok_or_else(problem)?;
        if gap > Duration::from_secs(86_400) {
            return Err(format!("`{text}` is less than one request a day"));
        }
        Ok(Self { gap })
    }
}

/// Spaces the requests of one component evenly.
#[derive(Debug)]
pub(crate) struct Pace {
    rate: Rate,
    /// The time of the next request.
    next: Mutex<Option<Instant>>,
}

impl Pace {
    /// Parses the option `rate`.
    ///
    /// # Errors
    /// It is not a rate.
    pub(crate) fn new(rate: &str) -> Result<Self, ConfigError> {
        let rate = rate.parse().map_err(|error: String| ConfigError::at("/rate", error))?;
        Ok(Self { rate, next: Mutex::new(None) })
    }

    /// Waits for the turn of the next request.
    pub(crate) async fn wait(&self) {
        let now = Instant::now();
        let turn = {
            let mut next = self.next.lock();
            let turn = next.map_or(now, |next| next.max(now));
            *next = Some(turn + self.rate.gap);
            turn
        };
        if turn > now {
            tokio::time::sleep_until(turn).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_requests_in_a_span_of_time() {
        let gap = |text: &str| text.parse::<Rate>().map(|rate| rate.gap.as_millis());
        assert_eq!(gap("5/s"), Ok(200));
        assert_eq!(gap("100/m"), Ok(600));
        assert_eq!(gap("30/10s"), Ok(333));
        assert_eq!(gap("3600 / h"), Ok(1000));
        for text in ["", "5", "/s", "0/s", "-1/s", "5/", "5/parsec", "1/1000d", "1.5/s"] {
            assert!(gap(text).is_err(), "{text}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn requests_are_spaced_evenly_and_no_turn_is_saved_up() {
        let pace = Pace::new("10/s").unwrap();
        let start = Instant::now();
        for _ in 0..3 {
            pace.wait().await;
        }
        assert_eq!(start.elapsed().as_millis(), 200);
        tokio::time::advance(Duration::from_secs(10)).await;
        let later = Instant::now();
        pace.wait().await;
        pace.wait().await;
        assert_eq!(later.elapsed().as_millis(), 100, "idle time is not a burst later");
    }
}
