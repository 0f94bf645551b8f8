//! A component at work, from its making to its end, with batches that have everything that a batch can have.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use tidegate_loader::{Loader, Wanted};
use tidegate_sdk::{
    Attributes, Batch, Claim, Component, Cx, Isolation, Lane, Outcome, Output, Placement, Plugin, Port,
    Record, Rejection,
};
use tokio_util::sync::CancellationToken;

/// Events of a batch.
const EVENTS: usize = 50;

/// Lets one instance after the other process this many batches. `plugin` is its name, or `filter/name`. Returns the number
/// of emitted events.
pub(crate) fn work(
    path: &Path,
    plugin: &str,
    options: &Value,
    isolation: &str,
    batches: u64,
) -> Result<usize, Box<dyn Error>> {
    let isolation: Isolation = serde_json::from_value(Value::from(isolation))?;
    let loader = Loader::strict(std::env::current_exe()?);
    let plugins = loader.open(Wanted { path, sha256: None })?;
    let is_it = |one: &&Plugin| one.name() == plugin || format!("{}/{}", one.kind(), one.name()) == plugin;
    let found = plugins.iter().find(is_it).ok_or("there is no such plugin")?;
    let plugin = found.clone().placed(Placement { isolation, ..Placement::default() });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let mut out = 0;
    for _ in 0..3 {
        let component = plugin.build(options)?;
        out += runtime.block_on(life(component, batches))?;
    }
    Ok(out)
}

/// The life of one instance.
async fn life(component: Component, batches: u64) -> Result<usize, Box<dyn Error>> {
    let stopping = CancellationToken::new();
    let cx = Cx::new("worker", stopping.clone());
    let mut events = 0;
    match component {
        Component::Source(mut source) => {
            source.open(&cx).await?;
            let mut committer = source.committer();
            while let Some(read) = source.next(&cx).await? {
                events += read.batch.payloads().filter(|payload| !payload.is_empty()).count();
                if let Some(done) = read.done {
                    done(Outcome::Rejected("none of it is wanted".into()));
                }
                let place = read.batch.runs().last().and_then(|run| run.origin.position.clone());
                if let (Some(committer), Some(place)) = (&mut committer, place) {
                    committer.commit("", &place).await?;
                }
            }
            source.close(&cx).await?;
        }
        Component::Filter(mut filter) => {
            // The output is read after its input is dropped.
            let mut kept = Vec::new();
            for number in 0..batches {
                let batch = batch(number);
                let mut out = Output::new(&batch);
                filter.process(&batch, &mut out)?;
                kept.push(out.take());
            }
            drop(filter);
            events = kept.iter().map(read).sum();
        }
        Component::AsyncFilter(mut filter) => {
            filter.open(&cx).await?;
            for number in 0..batches {
                let batch = batch(number);
                let mut out = Output::new(&batch);
                filter.process(&batch, &mut out, &cx).await?;
                events += read(&out.take());
            }
            filter.close(&cx).await?;
        }
        Component::Sink(mut sink) => {
            sink.open(&cx).await?;
            for number in 0..batches {
                let (rejected, retry) = sink.write(&batch(number), &cx).await?.into_parts();
                events += EVENTS - rejected.len() - retry.map_or(0, |(events, _)| events.len());
            }
            if let Ok(sink) = sink.transactional() {
                let claim = Claim { pipeline: "p".into(), sink: "s".into(), reset: false };
                sink.claim(&claim, &cx).await?;
                let lane = Lane { source: "s".into(), partition: "".into() };
                let _ = sink.commit(&batch(0), &lane, &Record::default(), &cx).await?;
            }
            sink.close(&cx).await?;
        }
    }
    stopping.cancel();
    Ok(events)
}

/// Reads every byte of an output.
fn read((emitted, rejected): &(Vec<(Port, Batch)>, Vec<Rejection>)) -> usize {
    let of = |batch: &Batch| {
        let looked = |event: usize| {
            let bytes = batch.payload(event).iter().chain(batch.key(event).unwrap_or_default());
            let sum = bytes.fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
            let attributes = batch.own_attributes(event).map_or(0, |own| own.iter().count());
            usize::from(sum > 0 || attributes > 0)
        };
        (0..batch.len()).map(looked).sum::<usize>()
    };
    emitted.iter().map(|(_, batch)| of(batch)).sum::<usize>() + rejected.len()
}

/// Events with keys, times and attributes, of two origins.
fn batch(number: u64) -> Batch {
    let part = |sequence: u64| {
        let mut builder = Batch::builder();
        for event in 0..EVENTS / 2 {
            builder.push_copy(format!("event {sequence}.{event}").as_bytes());
            builder.key(format!("key {event}").as_bytes());
            builder.timestamp(event as i64);
            builder.attributes(Arc::new(Attributes::default().with("name", "value")));
        }
        builder.finish().stamped(&Arc::from("source"), sequence)
    };
    Batch::concat(&[part(number * 2), part(number * 2 + 1)])
}
