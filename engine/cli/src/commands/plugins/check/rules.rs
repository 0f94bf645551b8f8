//! What the child does: one rule after the other, told before and after.

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

use super::Told;
use crate::commands::plugins::child::tell;
use crate::exit::{Exit, Failure};
use crate::files::Files;
use crate::options::{Libraries, Sources};
use crate::registry::Plugins;
use crate::terminal;
use crate::threads::multi_thread;

/// How many instances are made and destroyed.
const CYCLES: usize = 1000;
/// How much memory they may leave behind, in bytes: what an allocator keeps for itself.
const LEFT_BEHIND: usize = 4 << 20;
/// How many threads the library may keep for itself.
const THREADS: usize = 4;
/// How long threads may take to end.
const SETTLING: Duration = Duration::from_secs(10);
/// How long a source may take to come to its end.
const READING: Duration = Duration::from_secs(10);
/// Events that a filter should let some pass of.
const SAMPLES: [&[u8]; 4] = [
    br#"{"id":1,"name":"Ada","status":"active","age":36}"#,
    br#"{"id":2,"name":"Grace","status":"gone","age":85}"#,
    b"2026-11-22T10:00:00Z ERROR the disk is full",
    b"plain text",
];

/// Looks at the library and tells what it finds on standard output.
pub(crate) fn serve(library: &Path, pipeline: Option<&Path>) -> Result<Exit, Failure> {
    // A broken rule is a panic of the test kit; its words are told, and nobody needs them twice.
    std::panic::set_hook(Box::new(|_| {}));
    let program = std::env::current_exe().map_err(|error| Failure::failed(error.to_string()))?;
    let loader = Loader::strict(program);
    let plugins = loader.open(Wanted { path: library, sha256: None });
    let plugins = plugins.map_err(|refusal| Failure::wrong(refusal.0))?;
    if let Some(title) =
        plugins.first().and_then(|plugin| plugin.library()).map(|library| library.title().to_owned())
    {
        tell(&Told::Library(title))?;
    }
    let runtime = multi_thread()?;
    let tried = pipeline.map(|pipeline| uses(pipeline, library)).transpose()?.unwrap_or_default();
    for plugin in &plugins {
        tell(&Told::Plugin(format!("{} {}", plugin.kind(), plugin.name())))?;
        look(
            "the manual is whole, the schema refuses what it does not know, the sample can be built",
            || conformance::plugin(plugin),
        )?;
        let sample = conformance::sample_options(plugin);
        look("a thousand instances leave neither memory nor threads behind", || life(plugin, &sample))?;
        if has_a_domain(plugin, &sample) {
            look(
                "it acknowledges and writes in one place, and says which in the same words each time",
                || {
                    conformance::domain(plugin, &sample);
                },
            )?;
        }
        let uses = tried.iter().filter(|(kind, name, _)| *kind == plugin.kind() && name == plugin.name());
        let mut options: Vec<Value> = uses.map(|(_, _, options)| options.clone()).collect();
        if options.is_empty() && plugin.kind() == Kind::Filter {
            options.push(sample);
        }
        work(&runtime, plugin, &options)?;
    }
    tell(&Told::Over)?;
    Ok(Exit::Done)
}

/// The uses of the library in a pipeline file: kind, plugin, options.
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

/// Whether it is a source or a sink that acknowledges and writes in one step with others.
fn has_a_domain(plugin: &Plugin, options: &Value) -> bool {
    plugin.build(options).is_ok_and(|mut component| component.capabilities().transaction_domain.is_ok())
}

/// Tries the plugin at its work.
fn work(runtime: &Runtime, plugin: &Plugin, options: &[Value]) -> Result<(), Failure> {
    let rule = match plugin.kind() {
        Kind::Source => "every event comes once, and again from each position; it stops when it is told to",
        Kind::Filter => {
            "whatever comes, events are kept, changed, rejected or dropped, in order, and it goes on"
        }
        Kind::Sink => "whatever comes, it is written or rejected, and it goes on",
    };
    if options.is_empty() {
        tell(&Told::Looking(rule.to_owned()))?;
        let why = "the sample's options are of another machine: give `--pipeline FILE` with a pipeline that uses the plugin and works here";
        return tell(&Told::Skipped(why.to_owned()));
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
                        look(rule, || within(runtime, conformance::source(plugin, options, events)))?;
                    }
                    None => {
                        tell(&Told::Looking(rule.to_owned()))?;
                        tell(&Told::Skipped(format!("it does not come to an end within {READING:?}")))?;
                    }
                }
            }
            Component::Filter(_) => look(rule, || conformance::filter(plugin, options, &SAMPLES))?,
            Component::AsyncFilter(_) => {
                look(rule, || within(runtime, conformance::async_filter(plugin, options, &SAMPLES)))?;
            }
            Component::Sink(_) => {
                look(rule, || within(runtime, conformance::sink(plugin, options, &SAMPLES)))?;
            }
        }
    }
    Ok(())
}

fn within<T>(runtime: &Runtime, work: impl Future<Output = T>) -> T {
    runtime.block_on(work)
}

/// Looks at one rule.
fn look(rule: &str, work: impl FnOnce()) -> Result<(), Failure> {
    tell(&Told::Looking(rule.to_owned()))?;
    match std::panic::catch_unwind(AssertUnwindSafe(work)) {
        Ok(()) => tell(&Told::Kept),
        Err(panic) => tell(&Told::Broken(words(&*panic))),
    }
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default()
}

/// Makes and destroys instances, and looks at what they leave behind.
fn life(plugin: &Plugin, options: &Value) {
    let cycle = |count: usize| {
        for _ in 0..count {
            let built = plugin.build(options);
            assert!(built.is_ok(), "an instance can be made only so often: {:?}", built.err());
        }
    };
    // What is made once, at the first instance, is no leak.
    cycle(CYCLES / 10);
    let (memory, threads) = (resident(), threads_now());
    cycle(CYCLES);
    let left = resident().saturating_sub(memory);
    assert!(
        left < LEFT_BEHIND,
        "{CYCLES} instances left {left} bytes behind: is everything freed in `destroy`?"
    );
    // The engine's own threads for instances that block end a moment after these.
    let since = Instant::now();
    while threads_now() > threads + THREADS && since.elapsed() < SETTLING {
        std::thread::sleep(Duration::from_millis(1));
    }
    let (before, after) = (threads, threads_now());
    assert!(
        after <= before + THREADS,
        "there were {before} threads, and after {CYCLES} instances there are {after}: `destroy` waits for the threads of its instance"
    );
}

/// The memory of this process that is there, in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    kibibytes.unwrap_or_default() << 10
}

fn threads_now() -> usize {
    std::fs::read_dir("/proc/self/task").map(Iterator::count).unwrap_or_default()
}
