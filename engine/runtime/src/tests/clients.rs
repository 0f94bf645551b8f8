//! Requests: several are worked on at once, each leaves as it is ready, and one that is over cancels its work.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidegate_config::{BatchOptions, EngineOptions, RetryOptions};
use tidegate_sdk::{
    AsyncFilter, Batch, Client, ConfigError, Cx, Delivery, Error, Filter, Outcome, Output, Plugin, Sink,
    Source, SourceBatch, async_trait,
};
use tokio::sync::{Barrier, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::fakes::{Fakes, NoOptions};
use super::until;
use super::{MAIN, numbers};
use crate::metrics::status::{End, Health};

const PATIENCE: Duration = Duration::from_secs(20);

/// Clients whose requests are events of their own: `0`, `1`, ...
struct Requests {
    clients: Vec<CancellationToken>,
    next: usize,
    outcomes: mpsc::Sender<(usize, Outcome)>,
    /// True if the source ends when all requests are read.
    ends: bool,
}

#[async_trait]
impl Source for Requests {
    async fn next(&mut self, cx: &Cx) -> Result<Option<SourceBatch>, Error> {
        let number = self.next;
        self.next += 1;
        let Some(client) = self.clients.get(number) else {
            if !self.ends {
                cx.stopping().await;
            }
            return Ok(None);
        };
        let mut builder = Batch::builder();
        builder.push_copy(number.to_string().as_bytes());
        let outcomes = self.outcomes.clone();
        let batch = SourceBatch::from(builder.finish()).sent_by(Client::waiting(client.clone()));
        Ok(Some(batch.on_done(move |outcome| drop(outcomes.try_send((number, outcome))))))
    }
}

/// The clients of a source that is added to `fakes`.
struct Clients {
    clients: Vec<CancellationToken>,
    outcomes: mpsc::Receiver<(usize, Outcome)>,
}

impl Clients {
    fn of(fakes: &mut Fakes, count: usize, ends: bool) -> (usize, Self) {
        let clients: Vec<_> = (0..count).map(|_| CancellationToken::new()).collect();
        let (sender, outcomes) = mpsc::channel(1024);
        let given = clients.clone();
        let build = move |_: NoOptions| {
            Ok::<_, ConfigError>(Requests { clients: given.clone(), next: 0, outcomes: sender.clone(), ends })
        };
        (fakes.any_source(Plugin::source("requests", "", "", build)), Self { clients, outcomes })
    }

    async fn next(&mut self) -> (usize, Outcome) {
        let next = tokio::time::timeout(PATIENCE, self.outcomes.recv()).await;
        next.expect("a request is answered").expect("the source is there")
    }
}

/// Goes on when it is at work on as many batches as meet at the barrier.
#[derive(Clone)]
struct Meeting {
    barrier: Arc<Barrier>,
    at_once: usize,
}

#[async_trait]
impl AsyncFilter for Meeting {
    async fn process(&mut self, _: &Batch, out: &mut Output, _: &Cx) -> Result<(), Error> {
        let met = tokio::time::timeout(PATIENCE, self.barrier.wait()).await;
        met.map_err(|_| Error::fatal("the others were not given their batches"))?;
        out.keep_all();
        Ok(())
    }

    fn fork(&self) -> Option<Box<dyn AsyncFilter>> {
        Some(Box::new(self.clone()))
    }

    fn at_once(&self) -> usize {
        self.at_once
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_worked_on_at_once() {
    let mut fakes = Fakes::new();
    let (source, mut clients) = Clients::of(&mut fakes, 20, true);
    let meeting = Meeting { barrier: Arc::new(Barrier::new(20)), at_once: 20 };
    let build = move |_: NoOptions| Ok::<_, ConfigError>(meeting.clone());
    let filter = fakes.any_filter(source, Plugin::async_filter("meeting", "", "", build));
    let sink = fakes.sink(&[(filter, MAIN)]);
    let (ends, status) = fakes.run().await;
    assert_eq!(ends, [End::Ended]);
    assert_eq!(fakes.written(sink).len(), 20);
    assert!(status[0].components.iter().all(|one| one.health == Health::Ended), "{:?}", status[0]);
    for _ in 0..20 {
        assert_eq!(clients.next().await.1, Outcome::Delivered);
    }
}

/// Works on many batches. The one of `0` goes on when that of `10` has been given to another instance.
#[derive(Clone)]
struct Late {
    given: watch::Sender<bool>,
    /// Number of instances are at work, and the most that were.
    at_work: Arc<(AtomicUsize, AtomicUsize)>,
    at_once: usize,
}

#[async_trait]
impl AsyncFilter for Late {
    async fn process(&mut self, batch: &Batch, out: &mut Output, _: &Cx) -> Result<(), Error> {
        let (now, most) = &*self.at_work;
        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        match batch.payload(0) {
            b"0" if self.at_once > 10 => {
                let mut given = self.given.subscribe();
                let other = tokio::time::timeout(PATIENCE, given.wait_for(|given| *given)).await;
                other.map_err(|_| Error::fatal("no other batch was given"))?.map_err(|_| Error::fatal(""))?;
            }
            b"10" => drop(self.given.send_replace(true)),
            _ => {}
        }
        tokio::task::yield_now().await;
        now.fetch_sub(1, Ordering::SeqCst);
        out.keep_all();
        Ok(())
    }

    fn fork(&self) -> Option<Box<dyn AsyncFilter>> {
        Some(Box::new(self.clone()))
    }

    fn at_once(&self) -> usize {
        self.at_once
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_order_of_what_no_client_waits_for_is_restored_and_the_limit_is_one_of_events() {
    // The batches have ten events each.
    for (at_once, most) in [(40, 4), (10, 1), (2, 1)] {
        let mut fakes = Fakes::new();
        let source = fakes.source(2_000);
        let late = Late { given: watch::Sender::new(false), at_work: Arc::default(), at_once };
        let at_work = Arc::clone(&late.at_work);
        let build = move |_: NoOptions| Ok::<_, ConfigError>(late.clone());
        let filter = fakes.any_filter(source, Plugin::async_filter("late", "", "", build));
        let sink = fakes.sink(&[(filter, MAIN)]);
        let (ends, _) = fakes.run().await;
        assert_eq!(ends, [End::Ended]);
        assert_eq!(fakes.written(sink), numbers(0..2_000));
        assert!(at_work.1.load(Ordering::SeqCst) <= most, "at most {most} batches of {at_once} events");
    }
}

/// Never gets through with event `0`, in one of several ways, and lets all others pass.
#[derive(Clone, Copy)]
struct Never(&'static str);

impl Never {
    fn fails(self, batch: &Batch) -> bool {
        batch.payloads().any(|payload| payload == b"0")
    }
}

#[async_trait]
impl AsyncFilter for Never {
    async fn process(&mut self, batch: &Batch, out: &mut Output, _: &Cx) -> Result<(), Error> {
        if self.fails(batch) {
            if self.0 == "waits" {
                batch.cancelled().await;
            }
            return Err(Error::retry("ill"));
        }
        out.keep_all();
        Ok(())
    }

    fn fork(&self) -> Option<Box<dyn AsyncFilter>> {
        Some(Box::new(*self))
    }

    fn at_once(&self) -> usize {
        if self.0 == "alone" { 1 } else { 2 }
    }
}

impl Filter for Never {
    fn process(&mut self, batch: &Batch, out: &mut Output) -> Result<(), Error> {
        if self.fails(batch) {
            return Err(Error::retry("ill"));
        }
        out.keep_all();
        Ok(())
    }
}

#[async_trait]
impl Sink for Never {
    async fn write(&mut self, batch: &Batch, _: &Cx) -> Result<Delivery, Error> {
        if self.fails(batch) {
            return Err(Error::retry("ill"));
        }
        Ok(Delivery::complete())
    }
}

/// Pauses that no test waits for; a sink writes one event at a time.
fn patient() -> EngineOptions {
    let hours = tidegate_sdk::Duration::seconds(36_000);
    let retry = RetryOptions { base: hours, cap: hours, attempts: None };
    let batch = BatchOptions { events: 1, ..BatchOptions::default() };
    EngineOptions { retry, batch, ..EngineOptions::default() }
}

fn never(how: &'static str) -> Plugin {
    match how {
        "filter" => Plugin::filter("never", "", "", move |_: NoOptions| Ok::<_, ConfigError>(Never(how))),
        "sink" => Plugin::sink("never", "", "", move |_: NoOptions| Ok::<_, ConfigError>(Never(how))),
        _ => Plugin::async_filter("never", "", "", move |_: NoOptions| Ok::<_, ConfigError>(Never(how))),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_over_cancels_its_retries() {
    for how in ["alone", "pauses", "waits", "filter", "sink"] {
        let mut fakes = Fakes::new();
        let (source, mut clients) = Clients::of(&mut fakes, 2, false);
        let never = fakes.any_filter(source, never(how));
        fakes.engine(never, patient());
        if how != "sink" {
            fakes.sink(&[(never, MAIN)]);
        }
        let engine = fakes.start();
        let status = || engine.status()[0].components[never].clone();
        // Whatever works on one batch at a time is at the first one for hours; the others get the second one through.
        if matches!(how, "pauses" | "waits") {
            assert_eq!(clients.next().await, (1, Outcome::Delivered), "{how}");
        } else {
            let failed = async {
                until(|| matches!(status().health, Health::Waiting(_))).await;
            };
            tokio::time::timeout(PATIENCE, failed).await.expect("the first one fails");
        }
        clients.clients[0].cancel();
        let mut outcomes = BTreeMap::from([clients.next().await]);
        if !matches!(how, "pauses" | "waits") {
            outcomes.extend([clients.next().await]);
            assert_eq!(outcomes[&1], Outcome::Delivered, "{how}");
        }
        assert_eq!(outcomes[&0], Outcome::Delivered, "{how}: dropped, and the graph is not restarted for it");
        assert_eq!(status().counts.cancelled, 1, "{how}");
        engine.drain();
        engine.finished().await;
        assert_eq!(engine.status()[0].restarts, 0, "{how}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_pause_hold_up_no_other() {
    let mut fakes = Fakes::new();
    let (source, mut clients) = Clients::of(&mut fakes, 50, true);
    let build = |_: NoOptions| Ok::<_, ConfigError>(Paused(Arc::default()));
    let filter = fakes.any_filter(source, Plugin::async_filter("paused", "", "", build));
    fakes.engine(filter, patient());
    let _sink = fakes.sink(&[(filter, MAIN)]);
    let engine = fakes.start();
    let mut delivered = Vec::new();
    while delivered.len() < 25 {
        delivered.push(clients.next().await.0);
    }
    assert!(delivered.iter().all(|number| number % 2 == 1), "{delivered:?}");
    clients.clients.iter().for_each(CancellationToken::cancel);
    tokio::time::timeout(PATIENCE, engine.finished()).await.expect("nothing is left to wait for");
}

/// Never gets through with even numbers. Works on two events at once.
struct Paused(Arc<Mutex<()>>);

#[async_trait]
impl AsyncFilter for Paused {
    async fn process(&mut self, batch: &Batch, out: &mut Output, _: &Cx) -> Result<(), Error> {
        let number: usize = batch.texts()[0].parse().map_err(|_| Error::fatal("no number"))?;
        if number.is_multiple_of(2) {
            return Err(Error::retry("even"));
        }
        out.keep_all();
        Ok(())
    }

    fn fork(&self) -> Option<Box<dyn AsyncFilter>> {
        Some(Box::new(Self(Arc::clone(&self.0))))
    }

    fn at_once(&self) -> usize {
        2
    }
}
