//! Plugins of shared libraries that crash, hang and lie, in processes and on threads.
//!
//! The tests build the libraries in `tests/evil` with the C compiler.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::harness::{Ended, Tidegate, root, until};

/// A folder with a library, a pipeline, its input and its output.
pub(crate) struct Place(tempfile::TempDir);

impl Place {
    /// A place with the library `tests/evil/NAME.c`.
    pub(crate) fn new(evil: &str) -> Self {
        Self::with(&root().join("tests/evil").join(evil))
    }

    /// A place with this library.
    pub(crate) fn with(source: &Path) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        place.build(source);
        place
    }

    fn build(&self, source: &Path) {
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-fvisibility=hidden", "-O1", "-w", "-o"])
            .arg(self.path("libevil.so"))
            .arg("-I")
            .arg(root().join("engine/abi/include"))
            .arg(source)
            .status();
        assert!(built.unwrap().success(), "{} is built", source.display());
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn input(&self, lines: &[String]) {
        std::fs::write(self.path("in"), lines.iter().map(|line| format!("{line}\n")).collect::<String>())
            .unwrap();
    }

    /// Writes the pipeline `p`, in which `FOLDER` is this folder.
    pub(crate) fn pipeline(&self, text: &str) {
        let head = "[plugins]\nlibraries = [\"./libevil.so\"]\n";
        let text = format!("{head}{text}").replace("FOLDER", &self.0.path().display().to_string());
        std::fs::write(self.path("p.toml"), text).unwrap();
    }

    fn call(&self, arguments: &[&str]) -> Tidegate {
        Tidegate::new(arguments).arg("--data-dir").arg(self.path("data"))
    }

    pub(crate) fn run(&self) -> Tidegate {
        self.call(&["run"]).arg(self.path("p.toml"))
    }

    pub(crate) fn out(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.path("out")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn notes(&self) -> String {
        let notes = std::fs::read(self.path("notes")).unwrap_or_default();
        String::from_utf8_lossy(&notes).into_owned()
    }

    /// The reasons of the dead letters.
    pub(crate) fn reasons(&self) -> Vec<String> {
        let listed =
            self.call(&["dead-letters", "list", "--format", "json", "--limit", "1000"]).end().expect(0);
        let dead_letters =
            listed.lines().into_iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
        dead_letters.map(|dead_letter| dead_letter["reason"].as_str().unwrap().to_owned()).collect()
    }
}

/// `count` lines, of which those with these numbers kill.
pub(crate) fn lines(count: usize, killers: &[usize]) -> Vec<String> {
    let line = |number| {
        let word = if killers.contains(&number) { "KILL" } else { "line" };
        format!("{word} {number}")
    };
    (0..count).map(line).collect()
}

fn harmless(lines: &[String]) -> Vec<&String> {
    lines.iter().filter(|line| !line.contains("KILL")).collect()
}

/// A filter that breaks at some events, before a sink that holds each event once.
pub(crate) const FILTER: &str = r#"
[pipeline]
delivery = "effectively_once"
[source.lines]
plugin = "file"
path = "FOLDER/in"
[filter.bad]
plugin = "evil"
isolation = "process"
call_time = "2s"
[sink.out]
plugin = "file"
path = "FOLDER/out"
"#;

/// Runs lines through the filter. All lines except the killers arrive once, in order, and each killer is a dead letter.
#[track_caller]
fn filtered(place: &Place, pipeline: &str, lines: &[String], death: &[&str]) -> Ended {
    place.input(lines);
    place.pipeline(pipeline);
    let ended = place.run().end().expect(0);
    let out = place.out();
    assert_eq!(out.iter().collect::<Vec<_>>(), harmless(lines), "stderr:\n{}", ended.stderr);
    let reasons = place.reasons();
    assert_eq!(reasons.len(), lines.len() - out.len(), "{reasons:?}");
    for reason in reasons {
        assert!(death.iter().any(|death| reason.contains(death)), "{reason}");
    }
    ended
}

#[test]
fn filter_that_segfaults_costs_only_the_events_that_crash_it() {
    filtered(
        &Place::new("faults/segfault.c"),
        FILTER,
        &lines(1000, &[0, 417, 999]),
        &["the plugin crashed (SIGSEGV)"],
    );
}

#[test]
fn filter_that_aborts_is_restarted_and_its_output_is_in_the_log() {
    let place = Place::new("faults/abort.c");
    let ended = filtered(&place, FILTER, &lines(200, &[77]), &["the plugin crashed (SIGABRT)"]);
    let said = ended.stderr.lines().find(|line| line.contains("this cannot be, says the library"));
    assert!(said.unwrap().contains("component=\"bad\""), "{said:?}");
}

#[test]
fn filter_that_calls_exit_ends_only_its_own_process() {
    filtered(&Place::new("faults/exit.c"), FILTER, &lines(200, &[199]), &["the plugin called exit(3)"]);
}

#[test]
fn filter_that_overflows_its_stack_is_restarted() {
    let deaths = ["crashed (SIGABRT)", "crashed (SIGSEGV)"];
    filtered(&Place::new("faults/overflow.c"), FILTER, &lines(50, &[7]), &deaths);
}

#[test]
fn filter_that_never_returns_is_killed() {
    let why = "the plugin did not return from `process` within 500ms";
    let pipeline = FILTER.replace("2s", "500ms");
    filtered(&Place::new("faults/loop.c"), &pipeline, &lines(3, &[1]), &[why]);
}

#[test]
fn filter_that_blocks_on_a_thread_is_stopped_and_abandoned() {
    let why = "the plugin did not return from `process` within 300ms";
    for isolation in ["process", "thread"] {
        let pipeline = FILTER.replace("2s", "300ms").replace("\"process\"", &format!("{isolation:?}"));
        filtered(&Place::new("faults/hang.c"), &pipeline, &lines(1, &[0]), &[why]);
    }
}

#[test]
fn a_filter_that_crashes_by_chance_loses_nothing_and_rejects_nothing() {
    let place = Place::new("nth.c");
    let all = lines(60_000, &[]);
    let ended = filtered(&place, FILTER, &all, &[]);
    assert!(ended.stderr.contains("crashed (SIGABRT); restarting it"), "{}", ended.stderr);
}

#[test]
fn batch_that_a_filter_keeps_stays_unchanged() {
    for isolation in ["process", "inline"] {
        let pipeline = FILTER.replace("\"process\"", &format!("{isolation:?}"));
        let ended = filtered(&Place::new("retain.c"), &pipeline, &lines(60_000, &[]), &[]);
        assert!(!ended.stderr.contains("crashed"), "{}", ended.stderr);
    }
}

#[test]
fn every_kind_of_garbage_is_noticed() {
    let killers: Vec<String> = (0..7).map(|kind| format!("KILL{kind}")).collect();
    let mixed: Vec<String> = killers.into_iter().flat_map(|killer| [killer, "good".into()]).collect();
    for isolation in ["process", "inline"] {
        let pipeline = FILTER.replace("\"process\"", &format!("{isolation:?}"));
        filtered(&Place::new("garbage.c"), &pipeline, &mixed, &["the plugin broke the contract: "]);
    }
}

/// A sink that breaks at some events.
const SINK: &str = r#"
[source.lines]
plugin = "file"
path = "FOLDER/in"
[sink.bad]
plugin = "evil"
isolation = "process"
call_time = "500ms"
path = "FOLDER/out"
"#;

#[test]
fn sink_that_crashes_costs_only_the_events_that_crash_it() {
    let ways = [
        ("faults/segfault.c", 300, "the plugin crashed (SIGSEGV)"),
        ("faults/exit.c", 300, "the plugin called exit(3)"),
        ("faults/loop.c", 2, "the plugin did not return from `write` within 500ms"),
    ];
    for (evil, count, death) in ways {
        filtered(&Place::new(evil), SINK, &lines(count, &[1]), &[death]);
    }
}

/// A source that breaks in every fourth call.
const SOURCE: &str = r#"
[pipeline]
delivery = "effectively_once"
[source.bad]
plugin = "evil"
isolation = "process"
call_time = "500ms"
count = COUNT
[sink.out]
plugin = "file"
path = "FOLDER/out"
"#;

#[test]
fn source_that_crashes_resumes_at_its_position() {
    for (evil, count) in [
        ("faults/segfault.c", 1000),
        ("faults/abort.c", 1000),
        ("faults/exit.c", 1000),
        ("faults/loop.c", 500),
    ] {
        let place = Place::new(evil);
        place.pipeline(&SOURCE.replace("COUNT", &count.to_string()));
        place.run().end().expect(0);
        let all: Vec<String> = (0..count).map(|number| format!("event {number}")).collect();
        assert_eq!(place.out(), all, "{evil}");
        assert!(place.reasons().is_empty());
    }
}

#[test]
fn crash_within_a_transaction_neither_loses_nor_duplicates() {
    let place = Place::new("torn.c");
    let all = lines(1000, &[]);
    place.input(&all);
    place.pipeline(
        r#"
[pipeline]
delivery = "effectively_once"
[source.lines]
plugin = "file"
path = "FOLDER/in"
[sink.torn]
plugin = "torn"
isolation = "process"
path = "FOLDER/out"
batch = { events = 100 }
"#,
    );
    let ended = place.run().end().expect(0);
    assert!(ended.stderr.contains("restarts: `torn`: the plugin crashed (SIGABRT)"), "{}", ended.stderr);
    assert_eq!(place.out(), all);
}

/// A source and a sink of one transaction domain. An entry that ends in 0 becomes no event, one that ends in 1 two events.
const GROUP: &str = r#"
[pipeline]
delivery = "effectively_once"
[source.entries]
plugin = "entries"
path = "FOLDER/out"
count = 150
[filter.shape]
plugin = "jq"
query = 'if .n % 10 == 0 then empty elif .n % 10 == 1 then ., "again" else . end'
[sink.acknowledging]
plugin = "entries"
isolation = "process"
path = "FOLDER/out"
batch = { events = 20 }
"#;

#[test]
fn crash_within_ack_and_write_neither_loses_nor_duplicates() {
    let place = Place::new("group.c");
    place.pipeline(GROUP);
    let ended = place.run().end().expect(0);
    let logged = |text: &str| assert!(ended.stderr.contains(text), "{text}: {}", ended.stderr);
    logged("entries -> acknowledging: effectively once");
    logged("the plugin crashed (SIGABRT); restarting it");
    let line = |number: usize| match number % 10 {
        0 => format!("{number}"),
        1 => format!("{number} {{\"n\":{number}}} \"again\""),
        _ => format!("{number} {{\"n\":{number}}}"),
    };
    let mut found = place.out();
    found.sort_by_key(|line| line.split(' ').next().and_then(|number| number.parse::<usize>().ok()));
    assert_eq!(found, (0..150).map(line).collect::<Vec<_>>());
    assert!(place.reasons().is_empty());
}

#[test]
fn sink_with_a_transaction_domain_without_ack_and_write_is_refused() {
    let place = Place::new("group.c");
    let text = std::fs::read_to_string(root().join("tests/evil/group.c")).unwrap();
    let source = place.path("without.c");
    std::fs::write(&source, text.replace(", .ack_and_write = ack_and_write", "")).unwrap();
    place.build(&source);
    place.pipeline(GROUP);
    let printed = Tidegate::new(&["check"]).arg(place.path("p.toml")).end().expect(2).stderr;
    assert!(printed.contains("names a transaction domain, and `ack_and_write` is NULL"), "{printed}");
}

/// A source that records each call in a file.
const ACKS: &str = r#"
[source.acks]
plugin = "acks"
isolation = "ISOLATION"
path = "FOLDER/notes"
count = COUNT
[filter.some]
plugin = "jq"
query = "."
[sink.out]
plugin = "blackhole"
"#;

#[test]
fn source_gets_the_outcome_of_each_batch() {
    for isolation in ["process", "inline"] {
        let place = Place::new("acks.c");
        place.pipeline(&ACKS.replace("COUNT", "3").replace("ISOLATION", isolation));
        let ended = place.run().end().expect(0);
        let notes = place.notes();
        for batch in 0..3 {
            // `jq` rejects lines that are not JSON.
            assert!(notes.contains(&format!("done {batch} 1 malformed JSON")), "{isolation}: {notes}");
        }
        assert!(notes.ends_with("close\n"), "{isolation}: {notes}");
        let said = ended.stderr.lines().find(|line| line.contains("waiting for the next batch")).unwrap();
        assert!(said.contains("WARN") && said.contains("component=\"acks\""), "{said}");
    }
}

#[test]
fn source_gets_commits_while_it_reads_and_the_drain_signal() {
    for isolation in ["process", "inline"] {
        let place = Place::new("acks.c");
        let endless = ACKS.replace("COUNT", "1000000000").replace("ISOLATION", isolation);
        place.pipeline(&endless.replace("[filter.some]\nplugin = \"jq\"\nquery = \".\"\n", ""));
        let mut running = place.run().start();
        let safe = b"commit \"\xff"; // Not UTF-8, as positions may be.
        until("what is safe", || {
            let notes = std::fs::read(place.path("notes")).unwrap_or_default();
            notes.windows(safe.len()).any(|bytes| bytes == safe)
        });
        running.signal("TERM");
        running.end().expect(0);
        let notes = place.notes();
        assert!(notes.contains("\ndrain\n") && notes.contains("\nclose\n"), "{isolation}: {notes}");
    }
}

#[test]
fn wrong_options_are_reported_like_those_of_a_built_in_plugin_in_every_isolation() {
    let place = Place::new("acks.c");
    let check = |isolation| {
        place.pipeline(&ACKS.replace("COUNT", "0").replace("ISOLATION", isolation));
        Tidegate::new(&["check"]).arg(place.path("p.toml")).end().expect(2).stderr
    };
    let printed = check("process");
    assert!(
        printed.contains("there is nothing to read") && printed.contains("give it at least 1"),
        "{printed}"
    );
    assert_eq!(printed, check("inline"));
}
