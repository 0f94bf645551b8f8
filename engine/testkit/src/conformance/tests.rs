//! The suite itself is tested: plugins that break a rule are caught, by the name of that rule.

use std::panic::AssertUnwindSafe;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use tidegate_sdk::{
    AsyncFilter, Batch, Cx, Delivery, Error, Filter, Output, Plugin, Position, Sink, Source, SourceBatch,
    async_trait, schemars, serde,
};

/// The options of the plugins here.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    /// Which fault to show.
    #[serde(default)]
    fault: String,
}

/// Keeps every event but empty ones, which it rejects.
struct Tested(String);

impl Filter for Tested {
    fn process(&mut self, batch: &Batch, out: &mut Output) -> Result<(), Error> {
        let mut kept = batch.derive();
        let mut foreign = Batch::builder();
        for event in 0..batch.len() {
            let payload = batch.payload(event);
            match self.0.as_str() {
                "panic" if payload.contains(&0) => panic!("a NUL"),
                "error" if payload.is_empty() => return Err(Error::fatal("an empty event")),
                "both" if payload.is_empty() => kept.keep(event),
                "foreign" => foreign.push_copy(payload),
                _ => {}
            }
            let event = if self.0 == "order" { batch.len() - 1 - event } else { event };
            if batch.payload(event).is_empty() {
                out.reject(if self.0 == "range" { 1_000_000 } else { event }, "it is empty");
            } else {
                kept.keep(event);
            }
        }
        out.emit_to(u16::from(self.0 == "port"), kept.finish());
        out.emit(foreign.finish());
        if self.0 == "fork" {
            self.0 = "both".into();
        }
        Ok(())
    }

    fn save(&mut self) -> Result<Option<Vec<u8>>, Error> {
        Ok(matches!(self.0.as_str(), "restore" | "credulous").then(|| b"version 1".to_vec()))
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), Error> {
        assert!(self.0 != "credulous" || state.len() >= 9, "there is always a version");
        Err(Error::fatal("as if it were another's"))
    }

    fn fork(&self) -> Option<Box<dyn Filter>> {
        Some(Box::new(Tested(if self.0 == "both" { "port".into() } else { self.0.clone() })))
    }
}

const SAMPLE: &str = "[filter.one]\nplugin = \"tested\"\nworkers = 2\n";

fn filter(sample: &str) -> Plugin {
    Plugin::filter("tested", "Keeps what is not empty", sample, |options: Options| Ok(Tested(options.fault)))
}

/// The same, as a filter that waits.
struct Waiting(Tested);

#[async_trait]
impl AsyncFilter for Waiting {
    async fn process(&mut self, batch: &Batch, out: &mut Output, cx: &Cx) -> Result<(), Error> {
        match self.0.0.as_str() {
            "never" => Err(Error::retry("the server does not answer")),
            "drain" if cx.is_stopping() => Err(Error::fatal("the pipeline drains")),
            _ => self.0.process(batch, out),
        }
    }
}

/// Which rule the work breaks; empty if none.
fn broken_rule(work: impl FnOnce()) -> String {
    match std::panic::catch_unwind(AssertUnwindSafe(work)) {
        Ok(()) => String::new(),
        Err(panic) => panic.downcast_ref::<String>().cloned().unwrap_or_default(),
    }
}

#[test]
fn a_good_filter_passes_and_each_fault_is_caught() {
    for (fault, rule) in [
        ("panic", "no event makes it panic"),
        ("error", "a bad event is rejected, not the end"),
        ("both", "an event is rejected or emitted, not both"),
        ("foreign", "an emitted batch is made of the input"),
        ("order", "the order of the events is kept"),
        ("range", "a rejected event is of the batch"),
        ("port", "an output that is used is named"),
        ("restore", "what one instance saves, another of the same options can restore"),
        ("credulous", "restore: there is always a version"),
    ] {
        let options = json!({ "fault": fault });
        let found = broken_rule(|| super::filter(&filter(SAMPLE), &options, &["a", "b"]));
        assert!(found.contains(rule), "{fault}: {found}");
    }
    super::filter(&filter(SAMPLE), &json!({}), &["a", "b"]);
}

#[test]
fn a_bad_manual_is_caught() {
    #[derive(Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only the schema of it is looked at")]
    struct Undescribed {
        fault: Option<String>,
    }
    #[derive(Deserialize, JsonSchema)]
    #[expect(dead_code, reason = "only the schema of it is looked at")]
    struct Open {
        /// The fault.
        fault: Option<String>,
    }
    #[derive(Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only the schema of it is looked at")]
    struct Engine {
        /// The number of events.
        workers: Option<u8>,
    }
    let summary = "Keeps what is not empty";
    let build = || Ok(Tested(String::new()));
    for (plugin, rule) in [
        (filter("[filter.one"), "the sample is TOML"),
        (filter("[filter.one]\nplugin = \"other\""), "the sample uses the plugin"),
        (filter("[filter.one]\nplugin = \"tested\"\nfalt = 1"), "the sample can be built"),
        (
            Plugin::filter("Tested", summary, SAMPLE, move |_: Options| build()),
            "the name is of lower-case letters, digits",
        ),
        (
            Plugin::filter("tested", "It keeps.", SAMPLE, move |_: Options| build()),
            "the summary is one sentence",
        ),
        (
            Plugin::filter("tested", summary, SAMPLE, move |_: Undescribed| build()),
            "every option is described",
        ),
        (Plugin::filter("tested", summary, SAMPLE, move |_: Open| build()), "unknown options are refused"),
        (Plugin::filter("tested", summary, SAMPLE, move |_: Engine| build()), "the engine's own keys"),
    ] {
        let found = broken_rule(|| super::plugin(&plugin));
        assert!(found.contains(rule), "{rule}: {found}");
    }
}

/// Counts to 10, two a batch.
struct Counting(String, u64);

#[async_trait]
impl Source for Counting {
    async fn open(&mut self, cx: &Cx) -> Result<(), Error> {
        if let Some(position) = cx.resume("") {
            self.1 = position.read::<u64>()?;
        }
        Ok(())
    }

    async fn next(&mut self, cx: &Cx) -> Result<Option<SourceBatch>, Error> {
        if self.1 >= 10 || cx.is_stopping() {
            let ended = self.1 == 11;
            self.1 = 11;
            return Ok((self.0 == "after_end" && ended).then(|| crate::batch(["late"]).into()));
        }
        let mut builder = Batch::builder();
        for number in self.1..self.1 + 2 {
            builder.push_copy(number.to_string().as_bytes());
        }
        self.1 += 2;
        builder.set_position(Position::new(&(self.1 - u64::from(self.0 == "repeat"))));
        Ok(Some(builder.finish().into()))
    }
}

/// Takes everything but empty events.
struct Taking(String);

#[async_trait]
impl Sink for Taking {
    async fn write(&mut self, batch: &Batch, cx: &Cx) -> Result<Delivery, Error> {
        let mut delivery = Delivery::complete();
        for (event, payload) in batch.payloads().enumerate() {
            match (self.0.as_str(), payload.is_empty()) {
                ("twice", true) => (0..2).for_each(|_| delivery.reject(event, "it is empty")),
                ("drain", _) if cx.is_stopping() => return Err(Error::retry("the pipeline drains")),
                (_, true) => delivery.reject(event, "it is empty"),
                _ => {}
            }
        }
        Ok(delivery)
    }
}

fn on_runtime(work: impl Future<Output = ()>) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    broken_rule(|| runtime.block_on(work))
}

#[test]
fn a_good_source_passes_and_each_fault_is_caught() {
    let sample = "[source.one]\nplugin = \"counting\"\n";
    let plugin =
        Plugin::source("counting", "Counts", sample, |options: Options| Ok(Counting(options.fault, 0)));
    let test = |fault: &str, events| {
        let options = json!({ "fault": fault });
        on_runtime(async { super::source(&plugin, &options, events).await })
    };
    assert_eq!(test("", 10), "");
    assert!(test("", 11).contains("every event is read"));
    assert!(test("after_end", 10).contains("after the end comes nothing"));
    let repeat = test("repeat", 10);
    assert!(repeat.contains("without a gap and without a repeat"), "{repeat}");
}

#[test]
fn a_good_sink_passes_and_each_fault_is_caught() {
    let sample = "[sink.one]\nplugin = \"taking\"\n";
    let plugin = Plugin::sink("taking", "Takes", sample, |options: Options| Ok(Taking(options.fault)));
    let test = |fault: &str| {
        let options = json!({ "fault": fault });
        on_runtime(async { super::sink(&plugin, &options, &["a", "b"]).await })
    };
    assert_eq!(test(""), "");
    assert!(test("twice").contains("an event is rejected once"));
    assert!(test("drain").contains("good events are delivered"));
}

#[test]
fn a_good_filter_that_waits_passes_and_each_fault_is_caught() {
    let plugin = Plugin::async_filter("tested", "Keeps what is not empty", SAMPLE, |options: Options| {
        Ok(Waiting(Tested(options.fault)))
    });
    let test = |fault: &str| {
        let options = json!({ "fault": fault });
        on_runtime(async { super::async_filter(&plugin, &options, &["a", "b"]).await })
    };
    assert_eq!(test(""), "");
    assert!(test("panic").contains("no event makes it panic"));
    assert!(test("never").contains("a batch goes through some time"));
    assert!(test("drain").contains("a bad event is rejected, not the end"));
    assert!(test("foreign").contains("an emitted batch is made of the input"));
}
