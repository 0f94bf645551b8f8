//! The sink `blackhole`: drops all events.

#[cfg(test)]
mod tests;

use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_sdk::{Batch, ConfigError, Cx, Delivery, Error, Plugin, Sink, async_trait};
use tokio::time::Instant;

use crate::bucket::Rate;

const SAMPLE: &str = r#"
[sink.nowhere]
plugin = "blackhole"
"#;

/// Options of the sink `blackhole`.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
struct Options {
    /// The most events a second, such as `1000`, to test a pipeline with a slow sink. The sink keeps this pace while
    /// the pipeline drains, as a slow server would. Default: no limit.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    rate: Option<u64>,
}

struct Blackhole {
    rate: Option<Rate>,
    /// The bucket of the rate: the time at which it is full, in nanoseconds after `started`.
    full: u64,
    started: Instant,
}

pub(crate) fn plugin() -> Plugin {
    Plugin::sink("blackhole", "Counts events and forgets them", SAMPLE, build)
}

fn build(Options { rate }: Options) -> Result<Blackhole, ConfigError> {
    let rate = rate.map(|events| {
        // A timer is late by about a millisecond. The burst makes up for ten.
        let burst = (events / 100).max(1);
        let refused = || ConfigError::at("/rate", "it is between 1 and 1,000,000,000 events a second");
        Rate::new(events, std::time::Duration::from_secs(1), burst).ok_or_else(refused)
    });
    let rate = rate.transpose()?;
    Ok(Blackhole { rate, full: 0, started: Instant::now() })
}

#[async_trait]
impl Sink for Blackhole {
    async fn write(&mut self, batch: &Batch, cx: &Cx) -> Result<Delivery, Error> {
        let Some(rate) = self.rate else { return Ok(Delivery::complete()) };
        let mut taken = 0;
        while taken < batch.len() {
            let elapsed = cx.now().monotonic.saturating_duration_since(self.started);
            match rate.admit(&mut self.full, elapsed.as_nanos() as u64) {
                Ok(()) => taken += 1,
                Err(wait) => tokio::time::sleep(std::time::Duration::from_nanos(wait)).await,
            }
        }
        Ok(Delivery::complete())
    }

    fn fork(&self) -> Option<Box<dyn Sink>> {
        // Several sinks with a rate would take several times as much.
        let free = self.rate.is_none();
        free.then(|| Box::new(Self { rate: None, full: 0, started: self.started }) as Box<dyn Sink>)
    }
}
