//! Number of allocations from file to file.
//!
//! A test binary of its own, because its global allocator counts the allocations of every thread of the process.

use std::alloc::System;
use std::path::Path;
use std::time::Duration;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tempfile::TempDir;
use tidegate_config::{Environment, Text};
use tidegate_runtime::{Engine, Options};
use tidegate_sdk::{Registry, Size};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Runs `events` events from file through `jq` to file, and returns the number of allocations.
fn allocations(events: usize) -> usize {
    let folder = TempDir::new().expect("a folder for the files");
    let path = |name: &str| folder.path().join(name);
    let line = |number: usize| {
        let country = ["US", "FR", "DE", "PT"][number % 4];
        format!(
            "{{\"name\":\"town {number}\",\"lat\":\"42.5{number}\",\"lng\":\"1.5\",\"country\":\"{country}\",\"n\":{number}}}\n"
        )
    };
    std::fs::write(path("in"), (0..events).map(line).collect::<String>()).expect("the input is written");
    let text = format!(
        "[source.in]\nplugin = \"file\"\npath = {:?}\n\
         [filter.us]\nplugin = \"jq\"\nquery = 'select(.country == \"US\")'\n\
         [filter.shape]\nplugin = \"jq\"\nquery = '{{name, lat}}'\n\
         [sink.out]\nplugin = \"file\"\npath = {:?}\n",
        path("in"),
        path("out")
    );
    let region = Region::new(ALLOCATOR);
    run(&text, &path("data"));
    let change = region.change();
    let written = std::fs::read_to_string(path("out")).expect("the output is read");
    assert_eq!(written.lines().count(), events / 4);
    change.allocations + change.reallocations
}

fn run(text: &str, data_dir: &Path) {
    let registry = Registry::new(tidegate_file::plugins().into_iter().chain(tidegate_jq::plugins()));
    let text = Text { path: "pipeline.toml".to_owned(), text: text.to_owned() };
    let environment = Environment {
        variable: &|_| None,
        secret_file: &|_| Err("there is none".to_owned()),
        library: &|_, _| Ok(Vec::new()),
    };
    let loaded = tidegate_config::load(&text, &registry, &environment, &[]);
    let pipeline = loaded.pipeline.unwrap_or_else(|| panic!("{:?}", loaded.diagnostics));
    let options = Options { data_dir: data_dir.to_owned(), memory: Size(64 << 20), start_over: false };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("threads start").block_on(async {
        let engine = Engine::start(vec![pipeline], &options).expect("the pipeline starts");
        let ended = tokio::time::timeout(Duration::from_secs(300), engine.finished()).await;
        ended.expect("the pipeline ends");
    });
}

/// Both counts include the start and the end of the engine; the difference is the cost of the events.
#[test]
fn a_million_events_take_a_few_thousand_allocations() {
    let (few, many) = (40_000, 240_000);
    let (start, all) = (allocations(few), allocations(many));
    let a_million = all.saturating_sub(start) * 1_000_000 / (many - few);
    assert!(a_million < 9_000, "{a_million} allocations for a million events; {start} for the first {few}");
}
