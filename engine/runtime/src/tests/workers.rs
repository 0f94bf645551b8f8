//! Several instances of a filter, side by side.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tidegate_config::EngineOptions;
use tidegate_sdk::{AsyncFilter, Batch, ConfigError, Cx, Error, Filter, Output, Plugin, async_trait};
use tokio::sync::watch;

use super::fakes::{Fakes, NoOptions, Script};
use super::{MAIN, numbers};
use crate::metrics::status::End;

/// Keeps everything. Whichever is given event 0 goes on only when the sink of this script has written something.
struct Late(Arc<OnceLock<Arc<Script>>>);

impl Filter for Late {
    fn process(&mut self, batch: &Batch, out: &mut Output) -> Result<(), Error> {
        if batch.payload(0) == b"0" {
            let script = self.0.get().unwrap();
            tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(script.has_written()));
        }
        out.keep_all();
        Ok(())
    }

    fn fork(&self) -> Option<Box<dyn Filter>> {
        Some(Box::new(Self(Arc::clone(&self.0))))
    }
}

/// Keeps everything, and waits: whichever is given event 0 goes on only when another is given event 10.
struct Meeting(watch::Sender<bool>);

#[async_trait]
impl AsyncFilter for Meeting {
    async fn process(&mut self, batch: &Batch, out: &mut Output, _: &Cx) -> Result<(), Error> {
        match batch.payload(0) {
            b"0" => {
                let mut second = self.0.subscribe();
                let given = second.wait_for(|given| *given);
                let met = tokio::time::timeout(Duration::from_secs(20), given).await;
                met.map_err(|_| Error::fatal("no other worker received a batch"))?.unwrap();
            }
            b"10" => drop(self.0.send_replace(true)),
            _ => {}
        }
        out.keep_all();
        Ok(())
    }

    fn fork(&self) -> Option<Box<dyn AsyncFilter>> {
        Some(Box::new(Self(self.0.clone())))
    }
}

fn workers(workers: usize) -> EngineOptions {
    EngineOptions { workers, ..EngineOptions::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_keep_the_order() {
    let mut fakes = Fakes::new();
    let source = fakes.source(20_000);
    let odd = fakes.filter(source, |number| !number.is_multiple_of(2));
    fakes.engine(odd, workers(4));
    let sink = fakes.sink(&[(odd, MAIN)]);
    let (ends, _) = fakes.run().await;
    assert_eq!(ends, [End::Ended]);
    let expected: Vec<String> = (1..20_000).step_by(2).map(|number| number.to_string()).collect();
    assert_eq!(fakes.written(sink), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_that_wait_work_side_by_side_and_keep_the_order() {
    let mut fakes = Fakes::new();
    let source = fakes.source(2_000);
    let second = watch::Sender::new(false);
    let build = move |_: NoOptions| Ok::<_, ConfigError>(Meeting(second.clone()));
    let meeting = fakes.any_filter(source, Plugin::async_filter("meeting", "", "", build));
    fakes.engine(meeting, workers(3));
    let all = fakes.filter(meeting, |_| true);
    fakes.engine(all, workers(3));
    let sink = fakes.sink(&[(all, MAIN)]);
    let (ends, _) = fakes.run().await;
    assert_eq!(ends, [End::Ended]);
    assert_eq!(fakes.written(sink), numbers(0..2_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_worker_holds_up_no_other_where_order_is_not_kept() {
    let mut fakes = Fakes::new();
    let source = fakes.source(1000);
    let script = Arc::new(OnceLock::new());
    let late = Arc::clone(&script);
    let build = move |_: NoOptions| Ok::<_, ConfigError>(Late(Arc::clone(&late)));
    let slow = fakes.any_filter(source, Plugin::filter("late", "", "", build));
    fakes.engine(slow, EngineOptions { order: false, ..workers(2) });
    let sink = fakes.sink(&[(slow, MAIN)]);
    assert!(script.set(fakes.script(sink)).is_ok());
    let (ends, _) = fakes.run().await;
    assert_eq!(ends, [End::Ended]);
    let mut written: Vec<u64> = fakes.written(sink).iter().map(|number| number.parse().unwrap()).collect();
    assert_ne!(written[0], 0, "what was read first came later");
    written.sort_unstable();
    assert!(written.into_iter().eq(0..1000), "each event came once");
}
