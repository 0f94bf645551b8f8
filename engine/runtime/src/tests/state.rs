//! Filter states across reloads, crashes and lost data of a server.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidegate_config::Delivery;
use tidegate_sdk::{AsyncFilter, Batch, ConfigError, Cx, Error, Filter, Output, Plugin, async_trait};

use super::fakes::{Fakes, NoOptions, Script};
use super::{MAIN, numbers};
use crate::{Engine, Reloaded};

/// Each number once, as long as it remembers.
#[derive(Default)]
struct Once {
    seen: BTreeSet<u64>,
    heard: Heard,
    began: bool,
}

/// States that the filters of a test restored: the count of numbers that each knew, and its first new one.
type Heard = Arc<Mutex<Vec<(usize, u64)>>>;

impl Once {
    fn new(heard: &Heard) -> Self {
        Self { heard: Arc::clone(heard), ..Self::default() }
    }

    fn pass(&mut self, batch: &Batch, out: &mut Output) {
        let number = |event: usize| String::from_utf8_lossy(batch.payload(event)).parse().unwrap();
        if !std::mem::replace(&mut self.began, true) {
            self.heard.lock().unwrap().push((self.seen.len(), number(0)));
        }
        (0..batch.len()).filter(|event| self.seen.insert(number(*event))).for_each(|event| out.keep(event));
    }

    fn state(&self) -> Vec<u8> {
        serde_json::to_vec(&self.seen).unwrap()
    }

    fn remember(&mut self, state: &[u8]) -> Result<(), Error> {
        self.seen = serde_json::from_slice(state).map_err(|error| Error::fatal(error.to_string()))?;
        Ok(())
    }
}

impl Filter for Once {
    fn process(&mut self, batch: &Batch, out: &mut Output) -> Result<(), Error> {
        self.pass(batch, out);
        Ok(())
    }
    fn save(&mut self) -> Result<Option<Vec<u8>>, Error> {
        Ok(Some(self.state()))
    }
    fn restore(&mut self, state: &[u8]) -> Result<(), Error> {
        self.remember(state)
    }
}

struct Waiting(Once);

#[async_trait]
impl AsyncFilter for Waiting {
    async fn process(&mut self, batch: &Batch, out: &mut Output, _: &Cx) -> Result<(), Error> {
        self.0.pass(batch, out);
        Ok(())
    }
    async fn save(&mut self, _: &Cx) -> Result<Option<Vec<u8>>, Error> {
        tokio::task::yield_now().await;
        Ok(Some(self.0.state()))
    }
    async fn restore(&mut self, state: &[u8], _: &Cx) -> Result<(), Error> {
        tokio::task::yield_now().await;
        self.0.remember(state)
    }
}

fn once(heard: &Heard) -> Plugin {
    let heard = Arc::clone(heard);
    Plugin::filter("once", "", "", move |_: NoOptions| Ok::<_, ConfigError>(Once::new(&heard)))
}

fn waiting(heard: &Heard) -> Plugin {
    let heard = Arc::clone(heard);
    Plugin::async_filter("once", "", "", move |_: NoOptions| Ok::<_, ConfigError>(Waiting(Once::new(&heard))))
}

/// A source that never ends, the filter, and a sink; the sink's script.
fn graph(filter: Plugin) -> (Fakes, Arc<Script>) {
    let mut fakes = Fakes::new();
    let source = fakes.endless_source();
    let filter = fakes.any_filter(source, filter);
    let sink = fakes.sink(&[(filter, MAIN)]);
    let script = fakes.script(sink);
    (fakes, script)
}

const SINK: usize = 2;

async fn until_written(fakes: &Fakes, more: usize) {
    let enough = fakes.written(SINK).len() + more;
    let enough = async {
        while fakes.written(SINK).len() < enough {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), enough).await.expect("it goes on");
}

async fn changed(engine: &Arc<Engine>, fakes: &mut Fakes) {
    let reloaded = engine.reload(fakes.change(SINK).pipelines()).await.unwrap();
    assert_eq!(reloaded, Reloaded { changed: 1, ..Reloaded::default() });
}

async fn drain(engine: &Engine) {
    engine.drain();
    tokio::time::timeout(Duration::from_secs(30), engine.finished()).await.expect("it ends");
}

/// Each event is there once, in order.
#[track_caller]
fn whole(written: &[String]) {
    assert_eq!(written, numbers(0..written.len() as u64));
}

#[tokio::test(flavor = "multi_thread")]
async fn reload_keeps_filter_states() {
    for plugin in [once, waiting] {
        let heard = Heard::default();
        let (mut fakes, _) = graph(plugin(&heard));
        let engine = Arc::new(fakes.start());
        for _ in 0..5 {
            until_written(&fakes, 100).await;
            changed(&engine, &mut fakes).await;
        }
        until_written(&fakes, 1).await;
        drain(&engine).await;
        whole(&fakes.written(SINK));
        let heard = heard.lock().unwrap().clone();
        assert_eq!(heard.len(), 6);
        assert!(heard.iter().all(|(known, first)| *known as u64 == *first), "{heard:?}");
    }
}

/// Guards against the loss of what was in flight: a filter that remembered it would drop it as a repeat.
#[tokio::test(flavor = "multi_thread")]
async fn graph_that_was_cut_off_passes_no_state_and_loses_nothing() {
    let heard = Heard::default();
    let (mut fakes, script) = graph(once(&heard));
    let engine = Arc::new(fakes.start());
    until_written(&fakes, 100).await;
    script.stall();
    script.stalled().await;
    changed(&engine, &mut fakes).await;
    script.go_on();
    until_written(&fakes, 100).await;
    drain(&engine).await;
    whole(&fakes.written(SINK));
    let (known, first) = heard.lock().unwrap()[1];
    assert!(known == 0 && first >= 100, "{known} {first}");
}

#[tokio::test(flavor = "multi_thread")]
async fn graph_that_crashes_starts_without_state_and_loses_nothing() {
    let heard = Heard::default();
    let (mut fakes, script) = graph(once(&heard));
    let engine = Arc::new(fakes.start());
    until_written(&fakes, 100).await;
    changed(&engine, &mut fakes).await;
    until_written(&fakes, 100).await;
    script.panic_at.store(fakes.written(SINK).len() + 100, Ordering::Relaxed);
    while engine.status()[0].restarts == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    until_written(&fakes, 500).await;
    drain(&engine).await;
    // At least once: the batch at which the sink crashed comes again. No other is missing for it.
    let written: BTreeSet<u64> = fakes.written(SINK).iter().map(|text| text.parse().unwrap()).collect();
    assert!(written.iter().copied().eq(0..written.len() as u64));
    let known: Vec<bool> = heard.lock().unwrap().iter().map(|(known, _)| *known > 0).collect();
    assert_eq!(known, [false, true, false]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_graph_that_comes_back_has_its_state_back() {
    let heard = Heard::default();
    let (fakes, _) = graph(once(&heard));
    let (mut next, broken) = graph(once(&heard));
    broken.never_opens.store(true, Ordering::Relaxed);
    let engine = Arc::new(fakes.start());
    until_written(&fakes, 100).await;
    let reloaded = engine.reload(next.change(0).change(SINK).pipelines()).await.unwrap();
    assert_eq!(reloaded.failed.len(), 1, "{reloaded}");
    until_written(&fakes, 100).await;
    drain(&engine).await;
    whole(&fakes.written(SINK));
    let (known, first) = *heard.lock().unwrap().last().unwrap();
    assert!(known as u64 == first && known >= 100, "{known} {first}");
}

/// Guards against the loss of what a server has lost in the moment of a reload, and is delivered again.
#[tokio::test(flavor = "multi_thread")]
async fn filters_of_a_source_that_goes_back_start_without_state() {
    let heard = Heard::default();
    let (mut fakes, script) = graph(once(&heard));
    fakes.delivery = Delivery::EffectivelyOnce;
    let engine = Arc::new(fakes.start());
    let reach = |count: usize| {
        let ledger = || fakes.ledger(SINK).written.len();
        async move {
            while ledger() < count {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    };
    reach(1000).await;
    script.loses_half.store(true, Ordering::Relaxed);
    let mut pipelines = fakes.pipelines();
    pipelines[0].graphs[0].nodes[SINK].options = serde_json::json!({ "change": 1 });
    engine.reload(pipelines.clone()).await.unwrap();
    reach(3000).await;
    // Without a loss, the state is passed here as well.
    pipelines[0].graphs[0].nodes[SINK].options = serde_json::json!({ "change": 2 });
    engine.reload(pipelines).await.unwrap();
    reach(5000).await;
    drain(&engine).await;
    whole(&fakes.ledger(SINK).written);
    let heard = heard.lock().unwrap().clone();
    assert_eq!((heard.len(), heard[1].0), (3, 0), "{heard:?}");
    assert!(heard[2].0 > 1000, "{heard:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_is_refused_costs_nothing() {
    struct Refusing(Once);
    impl Filter for Refusing {
        fn process(&mut self, batch: &Batch, out: &mut Output) -> Result<(), Error> {
            self.0.process(batch, out)
        }
        fn save(&mut self) -> Result<Option<Vec<u8>>, Error> {
            panic!("as the test wants")
        }
        fn restore(&mut self, _: &[u8]) -> Result<(), Error> {
            Err(Error::fatal("not this one"))
        }
    }
    let heard = Heard::default();
    let (mut fakes, _) = graph(once(&heard));
    let engine = Arc::new(fakes.start());
    let refusing = Arc::clone(&heard);
    let refusing = Plugin::filter("once", "", "", move |_: NoOptions| {
        Ok::<_, ConfigError>(Refusing(Once::new(&refusing)))
    });
    for reload in 0..3 {
        until_written(&fakes, 100).await;
        let mut pipelines = fakes.change(SINK).pipelines();
        pipelines[0].graphs[0].nodes[1].plugin = refusing.clone();
        engine.reload(pipelines).await.unwrap();
        assert_eq!(engine.status()[0].restarts, 0, "{reload}");
    }
    until_written(&fakes, 100).await;
    drain(&engine).await;
    whole(&fakes.written(SINK));
    let known: Vec<usize> = heard.lock().unwrap().iter().map(|(known, _)| *known).collect();
    assert_eq!(known, [0, 0, 0, 0]);
}
