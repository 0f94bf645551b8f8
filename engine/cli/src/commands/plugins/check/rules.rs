//! Child process: tests the rules in turn, and reports before and after each.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use tidegate_loader::{Loader, Wanted};
use tidegate_sdk::{Component, Kind, Plugin};
use tidegate_testkit::{build_source, conformance, read_all};
use tokio::runtime::Runtime;

use super::CheckEvent;
use crate::commands::plugins::child::send;
use crate::exit::{Exit, Failure};
use crate::files::Files;
use crate::options::{Libraries, Sources};
use crate::registry::Plugins;
use crate::terminal;
use crate::threads::multi_thread;

/// Number of instances that are built and destroyed.
const CYCLES: usize = 1000;
/// Limit of memory that they leave behind, in bytes. Allocators keep some.
const LEFT_BEHIND: usize = 4 << 20;
/// Limit of threads that the library keeps.
const THREADS: usize = 4;
/// Time limit for threads to end.
const THREAD_END: Duration = Duration::from_secs(10);
/// Time limit for a source to end.
const READING: Duration = Duration::from_secs(10);
/// Sample events. A filter should pass some of them.
const SAMPLES: [&[u8]; 4] = [
    br#"{"id":1,"name":"Ada","status":"active","age":36}"#,
    br#"{"id":2,"name":"Grace","status":"gone","age":85}"#,
    b"2026-11-22T10:00:00Z ERROR the disk is full",
    b"plain text",
];

/// Tests the library and reports on standard output.
pub(crate) fn serve(library: &Path, pipeline: Option<&Path>) -> Result<Exit, Failure> {
    // A broken rule is a panic of the test kit. Its message is part of the report, so the hook does not print it too.
    std::panic::set_hook(Box::new(|_| {}));
    let program = std::env::current_exe().map_err(|error| Failure::failed(error.to_string()))?;
    let loader = Loader::strict(program);
    let plugins = loader.open(Wanted { path: library, sha256: None });
    let plugins = plugins.map_err(|refusal| Failure::wrong(refusal.0))?;
    if let Some(title) =
        plugins.first().and_then(|plugin| plugin.library()).map(|library| library.title().to_owned())
    {
        send(&CheckEvent::Library(title))?;
    }
    let runtime = multi_thread()?;
    let tried = pipeline.map(|pipeline| uses(pipeline, library)).transpose()?.unwrap_or_default();
    for plugin in &plugins {
        send(&CheckEvent::Plugin(format!("{} {}", plugin.kind(), plugin.name())))?;
        test_rule("the manual is complete, the schema rejects unknown options, the sample builds", || {
            conformance::plugin(plugin);
        })?;
        let sample = conformance::sample_options(plugin);
        test_rule("a thousand instances leave behind neither memory nor threads", || life(plugin, &sample))?;
        if has_a_domain(plugin, &sample) {
            test_rule("its transaction domain is the same each time", || {
                conformance::domain(plugin, &sample);
            })?;
        }
        let uses = tried.iter().filter(|(kind, name, _)| *kind == plugin.kind() && name == plugin.name());
        let mut options: Vec<Value> = uses.map(|(_, _, options)| options.clone()).collect();
        if options.is_empty() && plugin.kind() == Kind::Filter {
            options.push(sample);
        }
        work(&runtime, plugin, &options)?;
    }
    send(&CheckEvent::Over)?;
    Ok(Exit::Done)
}

/// Returns the uses of the library in a pipeline file: kind, plugin, options.
pub(crate) fn uses(pipeline: &Path, library: &Path) -> Result<Vec<(Kind, String, Value)>, Failure> {
    let libraries = Libraries { plugin: vec![library.to_owned()] };
    let sources = Sources { paths: vec![pipeline.to_owned()], overrides: Vec::new(), libraries };
    let files = Files::load(&sources, &Plugins::built_in(), None);
    if files.tally().0 > 0 {
        return Err(Failure::wrong(files.render(terminal::Paint::PLAIN)));
    }
    let nodes = files.pipelines().flat_map(|pipeline| &pipeline.graphs).flat_map(|graph| &graph.nodes);
    let used = nodes.map(|node| (node.kind(), node.plugin.name().to_owned(), node.options.clone()));
    Ok(used.collect())
}

/// Returns true if it is a source or sink that acknowledges and writes in one transaction with others.
fn has_a_domain(plugin: &Plugin, options: &Value) -> bool {
    plugin.build(options).is_ok_and(|mut component| component.capabilities().transaction_domain.is_ok())
}

/// Tests the plugin with events.
fn work(runtime: &Runtime, plugin: &Plugin, options: &[Value]) -> Result<(), Failure> {
    let rule = match plugin.kind() {
        Kind::Source => "every event comes once, and again from each position; it stops on request",
        Kind::Filter => "any event is kept, changed, rejected or dropped, in order, and the filter continues",
        Kind::Sink => "any event is written or rejected, and the sink continues",
    };
    if options.is_empty() {
        send(&CheckEvent::Testing(rule.to_owned()))?;
        let why = "the options of its sample do not fit this machine: give `--pipeline FILE` with a working pipeline that uses the plugin";
        return send(&CheckEvent::Skipped(why.to_owned()));
    }
    for options in options {
        let built = plugin.build(options).map_err(|error| Failure::wrong(error.to_string()))?;
        match built {
            Component::Source(_) => {
                let count = within(runtime, async {
                    let read =
                        tokio::time::timeout(READING, read_all(&mut *build_source(plugin, options))).await;
                    read.ok().and_then(Result::ok).map(|(events, _)| events.len())
                });
                match count {
                    Some(events) => {
                        test_rule(rule, || within(runtime, conformance::source(plugin, options, events)))?;
                    }
                    None => {
                        send(&CheckEvent::Testing(rule.to_owned()))?;
                        send(&CheckEvent::Skipped(format!("it does not end within {READING:?}")))?;
                    }
                }
            }
            Component::Filter(_) => test_rule(rule, || conformance::filter(plugin, options, &SAMPLES))?,
            Component::AsyncFilter(_) => {
                test_rule(rule, || within(runtime, conformance::async_filter(plugin, options, &SAMPLES)))?;
            }
            Component::Sink(_) => {
                test_rule(rule, || within(runtime, conformance::sink(plugin, options, &SAMPLES)))?;
            }
        }
    }
    Ok(())
}

fn within<T>(runtime: &Runtime, work: impl Future<Output = T>) -> T {
    runtime.block_on(work)
}

/// Tests one rule.
fn test_rule(rule: &str, work: impl FnOnce()) -> Result<(), Failure> {
    send(&CheckEvent::Testing(rule.to_owned()))?;
    match std::panic::catch_unwind(AssertUnwindSafe(work)) {
        Ok(()) => send(&CheckEvent::Kept),
        Err(panic) => send(&CheckEvent::Broken(words(&*panic))),
    }
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default()
}

/// Builds and destroys instances, and compares memory and threads before and after.
fn life(plugin: &Plugin, options: &Value) {
    let cycle = |count: usize| {
        for _ in 0..count {
            let built = plugin.build(options);
            assert!(built.is_ok(), "the number of instances is limited: {:?}", built.err());
        }
    };
    // An allocation of the first instance is no leak.
    cycle(CYCLES / 10);
    let (memory, threads) = (resident(), threads_now());
    cycle(CYCLES);
    let left = resident().saturating_sub(memory);
    assert!(
        left < LEFT_BEHIND,
        "{CYCLES} instances leave behind {left} bytes: is everything freed in `destroy`?"
    );
    // The engine's own threads for instances that block end a moment after these.
    let since = Instant::now();
    while threads_now() > threads + THREADS && since.elapsed() < THREAD_END {
        std::thread::sleep(Duration::from_millis(1));
    }
    let (before, after) = (threads, threads_now());
    assert!(
        after <= before + THREADS,
        "there were {before} threads, and after {CYCLES} instances there are {after}: `destroy` waits for the threads of its instance"
    );
}

/// Returns the resident memory of this process in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    kibibytes.unwrap_or_default() << 10
}

fn threads_now() -> usize {
    std::fs::read_dir("/proc/self/task").map(Iterator::count).unwrap_or_default()
}
