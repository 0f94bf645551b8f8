//! The times of polls.

use std::time::Duration;

use croner::Cron;
use jiff::Zoned;
use jiff::tz::TimeZone;
use tidegate_sdk::{ConfigError, ConfigErrors, Cx, Error};
use tokio::time::Instant;

use super::options::PollOptions;

/// The times of polls.
#[derive(Debug)]
pub(super) enum Schedule {
    /// A single poll, at once.
    Once,
    /// A fixed rhythm from the first poll on.
    Interval { period: Duration, last: Option<Instant> },
    /// Times of the day.
    Cron { cron: Box<Cron>, zone: TimeZone },
}

/// The longest interval, within the range of the clock.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);

/// The longest sleep until a time of day, so that a change of the clock is noticed.
const STEP: Duration = Duration::from_secs(30);

impl Schedule {
    pub(super) fn new(options: &PollOptions) -> Result<Self, ConfigError> {
        match (options.interval, &options.schedule) {
            (Some(period), None) if period.is_zero() => {
                Err(ConfigError::at("/interval", "the interval is zero")
                    .help("write a span of time, such as \"60s\""))
            }
            (Some(period), None) => Ok(Self::Interval { period: period.0.min(LONGEST), last: None }),
            (None, Some(schedule)) => {
                let mut errors = ConfigErrors::default();
                let zone = TimeZone::get(&options.time_zone).map_err(|_| {
                    ConfigError::at("/time_zone", format!("`{}` is not a known time zone", options.time_zone))
                        .help("write it like \"Europe/Berlin\" or \"UTC\"")
                });
                match (errors.keep(zone), errors.keep(cron(schedule))) {
                    (Some(zone), Some(cron)) => Ok(Self::Cron { cron: Box::new(cron), zone }),
                    _ => Err(errors.into_error()),
                }
            }
            (None, None) if options.times == Some(1) => Ok(Self::Once),
            (None, None) => Err(ConfigError::at("", "`interval` or `schedule` is missing")
                .help("for example `interval = \"60s\"`")),
            (Some(_), Some(_)) => {
                Err(ConfigError::at("/schedule", "`interval` and `schedule` exclude each other")
                    .help("leave one of them out"))
            }
        }
    }

    /// Records a poll that starts now without a wait, because it continues after a restart.
    pub(super) fn begun(&mut self) {
        if let Self::Interval { last, .. } = self {
            *last = Some(Instant::now());
        }
    }

    /// Waits for the next poll. Returns false if the pipeline drains before.
    pub(super) async fn wait(&mut self, cx: &Cx) -> Result<bool, Error> {
        match self {
            Self::Once => {}
            Self::Interval { period, last } => {
                if let Some(before) = *last {
                    let due = following(before, Instant::now(), *period);
                    if !cx.sleep(due.saturating_duration_since(Instant::now())).await {
                        return Ok(false);
                    }
                    *last = Some(due);
                } else {
                    *last = Some(Instant::now());
                }
            }
            Self::Cron { cron, zone } => {
                let next = cron.find_next_occurrence(&Zoned::now().with_time_zone(zone.clone()), false);
                let due =
                    next.map_err(|error| Error::fatal(format!("the schedule has no next time: {error}")))?;
                loop {
                    let left = due.timestamp().duration_since(jiff::Timestamp::now());
                    let left = Duration::try_from(left).unwrap_or_default();
                    if left.is_zero() {
                        break;
                    }
                    if !cx.sleep(left.min(STEP)).await {
                        return Ok(false);
                    }
                }
            }
        }
        Ok(!cx.is_stopping())
    }
}

/// Returns the first tick of the rhythm `before`, `before + period`, ... that is after `before` and not in the past.
fn following(before: Instant, now: Instant, period: Duration) -> Instant {
    let missed = (now - before).as_nanos() / period.as_nanos();
    let ticks = u32::try_from(missed).unwrap_or(u32::MAX - 1) + 1;
    before + period.saturating_mul(ticks).min(LONGEST)
}

fn cron(schedule: &str) -> Result<Cron, ConfigError> {
    let problem = |message: String| {
        ConfigError::at("/schedule", message).help(
            "write five fields (minute, hour, day, month, day of the week), or six with the seconds in front",
        )
    };
    if schedule.split_whitespace().count() > 6 {
        return Err(problem(format!("`{schedule}` has more than six fields")));
    }
    schedule.parse::<Cron>().map_err(|error| problem(format!("`{schedule}` is not a schedule: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rhythm_stays_and_missed_ticks_are_skipped() {
        let start = Instant::now();
        let after = |seconds: u64| start + Duration::from_secs(seconds);
        let period = Duration::from_secs(60);
        assert_eq!(following(start, after(1), period), after(60));
        assert_eq!(following(start, after(59), period), after(60));
        assert_eq!(following(start, after(61), period), after(120), "a slow poll skips a tick");
        assert_eq!(following(start, after(150), period), after(180), "two are skipped, none is made up for");
    }

    #[test]
    fn schedules_have_five_or_six_fields() {
        let next = |text: &str| {
            let from: Zoned = "2026-03-28T12:00:00+01:00[Europe/Berlin]".parse().unwrap();
            cron(text).unwrap().find_next_occurrence(&from, false).unwrap().to_string()
        };
        assert_eq!(next("0 6 * * MON-FRI"), "2026-03-30T06:00:00+02:00[Europe/Berlin]");
        assert_eq!(next("15 0 6 * * *"), "2026-03-29T06:00:15+02:00[Europe/Berlin]");
        for text in ["", "* * * *", "0 0 0 * * * 2026", "99 * * * *", "hourly"] {
            assert_eq!(cron(text).unwrap_err().pointer, "/schedule", "{text}");
        }
    }
}
