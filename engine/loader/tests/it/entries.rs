use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use serde_json::json;
use tidegate_sdk::{
    AsyncFilter, Claim, Component, Cx, Delivery, Error, Isolation, Lane, Outcome, Output, Position, Record,
    Sink, Source,
};
use tidegate_testkit::{batch, context};

use crate::world::{LIMIT, World, built, open, placed};

/// Time after which a call counts as hung. No other call may take as long, however busy the machine is.
const HANG_TIME: Duration = Duration::from_secs(3);

/// Number of entry points that are tried at the same time, so that the hanging ones wait together.
const AT_ONCE: usize = 9;

/// Waits until `condition` holds.
async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let limit = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < limit, "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// A run of a component that breaks in one place, once.
struct Run<'a> {
    library: &'a Path,
    at: &'a str,
    way: &'a str,
    mark: PathBuf,
    /// The errors of the calls that did not succeed: `open: the plugin ...`.
    errors: Vec<String>,
}

impl<'a> Run<'a> {
    fn new(world: &World, library: &'a Path, plugin: &str, at: &'a str, way: &'a str) -> Self {
        let mark = world.path(&format!("{plugin}-{at}-{way}"));
        Self { library, at, way, mark, errors: Vec::new() }
    }

    /// The component. If it breaks while it is built, the error is noted, and it is built again.
    fn built(&mut self, name: &str) -> Component {
        let call_time = if self.way == "hang" { HANG_TIME } else { LIMIT };
        let plugin = placed(&open(self.library).unwrap(), name, Isolation::Process, call_time);
        let options = json!({ "at": self.at, "way": self.way, "mark": self.mark });
        match built(&plugin, &options) {
            Ok(component) => component,
            Err(error) => {
                self.errors.push(format!("build: {error}"));
                built(&plugin, &options).unwrap()
            }
        }
    }

    /// Notes how a call failed.
    fn note<T>(&mut self, call: &str, result: Result<T, Error>) -> Option<T> {
        result.map_err(|error| self.errors.push(format!("{call}: {}", death(error.message())))).ok()
    }

    /// The errors, once the process in which it broke has ended.
    async fn over(self, component: impl Sized) -> Vec<String> {
        drop(component);
        let mut process = String::new();
        until(&format!("`{}` is called", self.at), || {
            process = std::fs::read_to_string(&self.mark).unwrap_or_default();
            !process.is_empty()
        })
        .await;
        let process = format!("/proc/{process}/stat");
        let alive = || std::fs::read_to_string(&process).is_ok_and(|stat| !stat.contains(") Z "));
        until(&format!("the end of the process that broke at `{}`", self.at), || !alive()).await;
        self.errors
    }
}

/// The error, with the same text for each way to hang.
fn death(error: &str) -> String {
    let limit = format!("{HANG_TIME:?}");
    let after = |found: usize| found + error[found..].find(&limit).unwrap() + limit.len();
    let hang = error.find("did not return from `").map(|found| (found, after(found)));
    hang.map_or(error.to_owned(), |(from, to)| format!("{}hung{}", &error[..from], &error[to..]))
}

async fn source(mut run: Run<'_>) -> Vec<String> {
    let Component::Source(mut source) = run.built("source") else { panic!("it is a source") };
    let (cx, stopping) = context();
    while run.note("open", source.open(&cx).await).is_none() {}
    let mut committer = source.committer().unwrap();
    let read = again(&mut run, &mut *source, &cx).await.unwrap();
    assert_eq!(read.batch.texts(), ["event"], "{} {}", run.at, run.way);
    read.done.unwrap()(Outcome::Delivered);
    let place = Position::new(&1);
    while run.note("commit", committer.commit("", &place).await).is_none() {
        // What has broken is noticed by the next read.
        let noticed = source.next(&cx).await;
        run.note("next", noticed);
        while run.note("open", source.open(&cx).await).is_none() {}
    }
    stopping.cancel();
    assert!(again(&mut run, &mut *source, &cx).await.is_none(), "what was read does not come twice");
    run.note("close", source.close(&cx).await);
    run.over((source, committer)).await
}

/// Reads until there is an answer.
async fn again(run: &mut Run<'_>, source: &mut dyn Source, cx: &Cx) -> Option<tidegate_sdk::SourceBatch> {
    loop {
        let read = source.next(cx).await;
        if let Some(read) = run.note("next", read) {
            return read;
        }
    }
}

async fn filter(mut run: Run<'_>, name: &str) -> Vec<String> {
    let Component::AsyncFilter(mut filter) = run.built(name) else { panic!("it runs apart, so it waits") };
    let (cx, stopping) = context();
    while run.note("open", filter.open(&cx).await).is_none() {}
    pass(&mut run, &mut *filter, &cx).await;
    stopping.cancel();
    pass(&mut run, &mut *filter, &cx).await;
    run.note("close", filter.close(&cx).await);
    run.over(filter).await
}

/// Everything passes, once.
async fn pass(run: &mut Run<'_>, filter: &mut dyn AsyncFilter, cx: &Cx) {
    let given = batch(["one", "two"]);
    let mut out = Output::new(&given);
    let processed = filter.process(&given, &mut out, cx).await;
    run.note("process", processed);
    let (emitted, rejected) = out.take();
    assert_eq!((emitted[0].1.texts(), rejected.len()), (vec!["one".into(), "two".into()], 0));
}

async fn claimed(sink: &mut dyn Sink, claim: &Claim, cx: &Cx) -> Result<(), Error> {
    sink.transactional()?.claim(claim, cx).await.map(drop)
}

async fn committed(
    sink: &mut dyn Sink,
    (lane, record): (&Lane, &Record),
    cx: &Cx,
) -> Result<Delivery, Error> {
    sink.transactional()?.commit(&batch(["one"]), lane, record, cx).await
}

async fn sink(mut run: Run<'_>) -> Vec<String> {
    let Component::Sink(mut sink) = run.built("sink") else { panic!("it is a sink") };
    let (cx, stopping) = context();
    while run.note("open", sink.open(&cx).await).is_none() {}
    deliver(&mut run, &mut *sink, &cx).await;
    let claim = Claim { pipeline: "p".into(), sink: "s".into(), reset: false };
    let lane = Lane { source: "s".into(), partition: "".into() };
    let record = Record { position: None, base: 0, done: 2 };
    // After a break within a transaction, the sink is opened and claimed again.
    while run.note("claim", claimed(&mut *sink, &claim, &cx).await).is_none() {
        run.note("open", sink.open(&cx).await);
    }
    while run.note("commit", committed(&mut *sink, (&lane, &record), &cx).await).is_none() {
        run.note("open", sink.open(&cx).await);
    }
    stopping.cancel();
    deliver(&mut run, &mut *sink, &cx).await;
    run.note("close", sink.close(&cx).await);
    run.over(sink).await
}

/// Everything is delivered.
async fn deliver(run: &mut Run<'_>, sink: &mut dyn Sink, cx: &Cx) {
    let written = sink.write(&batch(["one", "two"]), cx).await;
    let (rejected, again) = run.note("write", written).unwrap().into_parts();
    assert!(rejected.is_empty() && again.is_none(), "{rejected:?} {again:?}");
}

/// Every entry point of every kind, each with the error that the engine receives if the instance breaks there once; `DEATH`
/// stands for the way. There is none where the loader restarts the instance, or where no call waits for an answer.
const ENTRIES: [(&str, &str, &[&str]); 27] = [
    ("source", "create", &["build: the plugin DEATH before it was ready"]),
    ("source", "describe", &["build: the plugin DEATH before it was ready"]),
    ("source", "open", &["open: the plugin DEATH while it opened"]),
    ("source", "next", &["next: the plugin DEATH"]),
    ("source", "commit", &["commit: the plugin DEATH at a commit", "next: the plugin DEATH"]),
    ("source", "batch_done", &["commit: the plugin DEATH at a commit", "next: the plugin DEATH"]),
    ("source", "drain", &["next: the plugin DEATH"]),
    ("source", "close", &["close: the plugin DEATH while it closed"]),
    ("source", "stop", &[]),
    ("source", "destroy", &[]),
    ("filter", "create", &["build: the plugin DEATH before it was ready"]),
    ("filter", "open", &["open: the plugin DEATH while it opened"]),
    ("filter", "process", &[]),
    ("filter", "drain", &[]),
    ("filter", "close", &["close: the plugin DEATH while it closed"]),
    ("filter", "stop", &[]),
    ("filter", "destroy", &[]),
    ("router", "route", &[]),
    ("sink", "create", &["build: the plugin DEATH before it was ready"]),
    ("sink", "open", &["open: the plugin DEATH while it opened"]),
    ("sink", "write", &[]),
    ("sink", "claim", &["claim: the plugin DEATH"]),
    ("sink", "commit", &["commit: the plugin DEATH"]),
    ("sink", "drain", &[]),
    ("sink", "close", &["close: the plugin DEATH while it closed"]),
    ("sink", "stop", &[]),
    ("sink", "destroy", &[]),
];

/// Every entry point breaks in this way.
async fn each(way: &str, death: &str, left_out: &[&str]) {
    let world = World::new();
    let library = world.c("evil/entry.c", &[]);
    let entries = ENTRIES.into_iter().filter(|(_, at, _)| !left_out.contains(at));
    let tried = futures_util::stream::iter(entries).map(|(kind, at, expected)| {
        let run = Run::new(&world, &library, kind, at, way);
        async move {
            let errors = match kind {
                "source" => source(run).await,
                "sink" => sink(run).await,
                filter_or_router => filter(run, filter_or_router).await,
            };
            let expected: Vec<String> = expected.iter().map(|line| line.replace("DEATH", death)).collect();
            assert_eq!(errors, expected, "{kind} {at} {way}");
        }
    });
    tried.buffer_unordered(AT_ONCE).collect::<()>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_entry_point_may_crash() {
    each("segfault", "crashed (SIGSEGV)", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_entry_point_may_abort() {
    each("abort", "crashed (SIGABRT)", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_entry_point_may_end_the_process() {
    each("exit", "called exit(7)", &[]).await;
}

/// `create` and `describe` are given twenty seconds, which is too long for a test.
#[tokio::test(flavor = "multi_thread")]
async fn each_entry_point_may_hang() {
    each("hang", "hung", &["create", "describe"]).await;
}

#[test]
fn a_library_that_breaks_as_it_is_loaded_is_refused() {
    let world = World::new();
    for place in ["LOAD", "INIT"] {
        for (way, death) in
            [("SEGFAULT", "crashes (SIGSEGV)"), ("ABORT", "crashes (SIGABRT)"), ("EXIT", "calls exit(7)")]
        {
            let refused = open(&world.c("evil/entry.c", &[&format!("-DAT_{place}={way}")])).unwrap_err();
            let error = refused.to_string();
            assert!(error.ends_with(&format!("{death} when it is loaded, so it is not")), "{error}");
        }
    }
}
