//! Micro-benchmarks of the hot path, which show the effect of a change within seconds.
//!
//! Each figure is of one batch of 1,024 events, with events and bytes per second. The other benchmarks measure whole
//! pipelines.

use bytes::Bytes;
use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use serde_json::json;
use tidegate_sdk::framing::{Elements, Lines};
use tidegate_sdk::{Batch, Component, Filter, Kind, Output, Registry};

const EVENTS: usize = 1024;
const EVENT_SIZE: usize = 1 << 20;

/// Names and queries of the measured `jq` filters.
const QUERIES: &[(&str, &str)] = &[
    ("nothing passes", r#"select(.country == "none")"#),
    ("all pass as they are", r#"select(.country != "none")"#),
    ("one in ten is projected", r#"select(.country == "US") | {name, lat}"#),
    ("all are projected", "{name, lat}"),
    ("numbers are compared", "select((.lat | tonumber) > 40)"),
    ("text is put together", r#""\(.name) in \(.country)""#),
    ("on jaq alone", "to_entries | map(.key) | join(\",\")"),
];

fn main() {
    divan::main();
}

/// Lines like those of the other benchmarks, a tenth of them of one country.
fn lines() -> Vec<u8> {
    let mut lines = Vec::new();
    for number in 0..EVENTS {
        let country = ["US", "AD", "FR", "DE", "JP", "BR", "IN", "NG", "AU", "CA"][number % 10];
        let (lat, lng) = (number as f64 / 11.7, number as f64 / -7.3);
        let city = json!({"name": format!("Sant Julià {number}"), "lat": format!("{lat:.5}"), "lng": format!("{lng:.5}"),
            "country": country, "admin1": "06", "admin2": ""});
        lines.extend_from_slice(city.to_string().as_bytes());
        lines.push(b'\n');
    }
    lines
}

fn batch() -> Batch {
    let (mut builder, mut cutter) = (Batch::builder(), Lines::new(EVENT_SIZE));
    cutter.put(lines().into());
    cutter.cut(&mut builder, &mut Vec::new());
    builder.finish()
}

/// A filter as the engine would build it.
fn filter(plugins: Vec<tidegate_sdk::Plugin>, name: &str, options: serde_json::Value) -> Box<dyn Filter> {
    let registry = Registry::new(plugins);
    let plugin = registry.get(Kind::Filter, name).expect("the plugin is there");
    match plugin.build(&options) {
        Ok(Component::Filter(filter)) => filter,
        Ok(_) => unreachable!("it is a plain function"),
        Err(error) => unreachable!("its options are right: {error}"),
    }
}

#[divan::bench(args = QUERIES.iter().map(|(name, _)| *name))]
fn jq(bencher: Bencher, name: &str) {
    let query = QUERIES.iter().find(|(one, _)| *one == name).map(|(_, query)| *query);
    let mut filter = filter(tidegate_jq::plugins(), "jq", json!({ "query": query }));
    let batch = batch();
    bencher.counter(ItemsCount::new(EVENTS)).counter(BytesCount::new(batch.bytes())).bench_local(|| {
        let mut out = Output::new(&batch);
        filter.process(black_box(&batch), &mut out).expect("it goes through");
        out
    });
}

#[divan::bench]
fn parse_logfmt(bencher: Bencher) {
    let mut filter = filter(tidegate_text::plugins(), "parse", json!({ "format": "logfmt" }));
    let line =
        Bytes::from_static(b"time=2026-01-01T00:00:00Z level=info msg=\"a request\" path=/users status=200");
    let mut builder = Batch::builder();
    (0..EVENTS).for_each(|_| builder.push(line.clone()));
    let batch = builder.finish();
    bencher.counter(ItemsCount::new(EVENTS)).counter(BytesCount::new(batch.bytes())).bench_local(|| {
        let mut out = Output::new(&batch);
        filter.process(black_box(&batch), &mut out).expect("it goes through");
        out
    });
}

#[divan::bench]
fn cut_lines(bencher: Bencher) {
    let block = Bytes::from(lines());
    let counters = (ItemsCount::new(EVENTS), BytesCount::new(block.len()));
    bencher.counter(counters.0).counter(counters.1).bench_local(|| {
        let (mut builder, mut cutter) = (Batch::builder(), Lines::new(EVENT_SIZE));
        cutter.put(black_box(&block).clone());
        cutter.cut(&mut builder, &mut Vec::new());
        builder.finish()
    });
}

#[divan::bench]
fn cut_elements_of_an_array(bencher: Bencher) {
    let lines = lines();
    let mut array = vec![b'['];
    array.extend(lines[..lines.len() - 1].iter().map(|byte| if *byte == b'\n' { b',' } else { *byte }));
    array.push(b']');
    bencher.counter(ItemsCount::new(EVENTS)).counter(BytesCount::new(array.len())).bench_local(|| {
        let (mut builder, mut cutter) = (Batch::builder(), Elements::new(EVENT_SIZE));
        cutter.buffer().extend_from_slice(black_box(&array));
        cutter.cut(&mut builder, &mut Vec::new()).expect("it is an array");
        builder.finish()
    });
}

#[divan::bench]
fn select_every_second_event(bencher: Bencher) {
    let batch = batch();
    bencher.counter(ItemsCount::new(EVENTS)).bench_local(|| black_box(&batch).select((0..EVENTS).step_by(2)));
}
