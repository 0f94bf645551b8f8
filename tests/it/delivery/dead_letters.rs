//! Dead letters: budget, store, replay.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;
use tidegate_servers::http::{Answer, Server};

use crate::harness::{Ended, Tidegate, http, until};

/// A folder with a pipeline, its input and its state.
struct Place(tempfile::TempDir);

impl Place {
    fn new(input: &str) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        std::fs::write(place.path("in"), input).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes the pipeline `p`, whose source `lines` reads the input.
    fn pipeline(&self, before: &str, source: &str, rest: &str) {
        let text = format!(
            "{before}\n[source.lines]\nplugin = \"file\"\npath = \"{}\"\n{source}\n{}",
            self.path("in").display(),
            rest.replace("OUT", &self.path("out").display().to_string())
        );
        std::fs::write(self.path("p.toml"), text).unwrap();
    }

    fn call(&self, arguments: &[&str]) -> Tidegate {
        Tidegate::new(arguments).arg("--data-dir").arg(self.path("data"))
    }

    fn run(&self) -> Tidegate {
        self.call(&["run"]).arg(self.path("p.toml"))
    }

    fn replay(&self, which: &[&str]) -> Ended {
        let mut arguments = vec!["dead-letters", "replay"];
        arguments.extend(which);
        self.call(&arguments).arg(self.path("p.toml")).end()
    }

    fn dead_letters(&self, filters: &[&str]) -> Vec<Value> {
        let mut arguments = vec!["dead-letters", "list", "--format", "json", "--limit", "100000"];
        arguments.extend(filters);
        let listed = self.call(&arguments).end().expect(0);
        listed.lines().into_iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn out(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.path("out")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

fn numbers(range: std::ops::Range<u32>) -> String {
    range.map(|number| format!("{{\"n\":{number}}}\n")).collect()
}

const BY_NUMBER: &str =
    "[filter.number]\nplugin = \"jq\"\nquery = '.n'\n[sink.out]\nplugin = \"file\"\npath = \"OUT\"\n";

const TO_STDOUT: &str = "[filter.number]\nplugin = \"jq\"\nquery = '.n'\n[sink.out]\nplugin = \"stdout\"\n";

#[test]
fn small_file_with_a_dozen_bad_lines_does_not_stop() {
    let place = Place::new(&(numbers(0..1000) + &"oops\n".repeat(12)));
    place.pipeline("", "", BY_NUMBER);
    place.run().end().expect(0);
    assert_eq!(place.dead_letters(&[]).len(), 12);
    assert_eq!(place.out().len(), 1000);
}

#[test]
fn bad_file_fails_the_run_and_the_next_run_loses_nothing() {
    let place = Place::new(&(numbers(0..100) + &"oops\n".repeat(5000) + &numbers(100..200)));
    place.pipeline("", "", BY_NUMBER);
    let ended = place.run().end().expect(1);
    assert!(
        ended.stderr.contains("`number`: too many dead letters: 5000 of the last 5200 events"),
        "{}",
        ended.stderr
    );
    assert!(ended.stderr.contains("fix the cause and restart, or raise the budget"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("list them with"), "none is kept:\n{}", ended.stderr);
    assert!(place.dead_letters(&[]).is_empty(), "what is over the budget is not kept");
    place.pipeline("[pipeline]\ndead_letters = { share = 0, per_minute = 0 }", "", BY_NUMBER);
    place.run().end().expect(0);
    assert_eq!(place.dead_letters(&[]).len(), 5000);
    let expected: Vec<String> = (0..200).map(|number| number.to_string()).collect();
    assert_eq!(place.out(), expected, "the good events of the batch over the budget are delivered once");
}

/// The position stayed where the run had begun, so that everything before the bad events was delivered again.
#[test]
fn run_after_a_bad_file_resumes_after_the_batches_that_were_delivered() {
    let place = Place::new(&(numbers(0..20_000) + &"oops\n".repeat(5000)));
    place.pipeline("", "", BY_NUMBER);
    place.run().end().expect(1);
    let first = place.out().len();
    assert!((8192..20_000).contains(&first), "{first}");
    place.pipeline("[pipeline]\ndead_letters = { share = 0, per_minute = 0 }", "", BY_NUMBER);
    place.run().end().expect(0);
    assert_eq!((place.out().len(), place.dead_letters(&[]).len()), (20_000, 5000));
}

#[test]
fn standard_input_over_the_budget_is_drained_in_part_with_the_count() {
    let input = "{\"n\":1}\n".to_owned() + &"oops\n".repeat(500);
    let out = tempfile::tempdir().unwrap();
    let pipeline = format!(
        "[source.lines]\nplugin = \"stdin\"\n{}",
        BY_NUMBER.replace("OUT", &out.path().join("out").display().to_string())
    );
    let mut running = Tidegate::pipeline(&pipeline).start_with(input.as_bytes());
    running.wait_for("waits: too many dead letters: 500 of the last 501 events, where 100 are allowed");
    running.signal("TERM");
    let ended = running.end().expect(3);
    let counted = "drained in part: 501 events not delivered: 0 will be read again, 501 lost";
    assert!(ended.stderr.contains(counted), "{}", ended.stderr);
}

#[test]
fn endless_bad_input_waits_unready_and_nothing_is_lost() {
    let place = Place::new(&(numbers(0..10) + &"oops\n".repeat(500)));
    let limit = "[pipeline]\ndead_letters = { share = 0, per_minute = 10 }";
    place.pipeline(limit, "follow = true", BY_NUMBER);
    let mut running = place.run().arg("--admin").arg("127.0.0.1:0").start();
    let address = running.address("listening on");
    running.wait_for("too many dead letters: 500 within a minute, where 10 are allowed");
    let ready = http(address, "GET /readyz", "", b"");
    assert_eq!(ready.status, 503, "{}", ready.body);
    let body: Value = serde_json::from_str(&ready.body).unwrap();
    let components = body["graphs"][0]["components"].as_array().unwrap();
    let number = components.iter().find(|one| one["component"] == "number").unwrap();
    assert_eq!(number["health"], "blocked", "{number}");
    assert!(number["reason"].as_str().unwrap().starts_with("too many dead letters"), "{number}");
    running.signal("TERM");
    let ended = running.end().expect(3);
    let counted = "drained in part: 510 events not delivered: 510 will be read again, 0 lost";
    assert!(ended.stderr.contains(counted), "{}", ended.stderr);
    assert!(place.dead_letters(&[]).is_empty());

    place.pipeline("[pipeline]\ndead_letters = { share = 0, per_minute = 0 }", "follow = true", BY_NUMBER);
    let mut running = place.run().start();
    until("all is kept", || place.dead_letters(&[]).len() == 500 && place.out().len() >= 10);
    running.signal("TERM");
    running.end().expect(0);
}

#[test]
fn replayed_event_enters_where_it_was_rejected_with_its_attributes() {
    let place = Place::new("{\"n\":1}\n{\"n\":\"2\"}\n{\"n\":\"x\"}\n{\"n\":4}\n");
    let filters = |query: &str| {
        format!(
            "[filter.first]\nplugin = \"jq\"\nquery = '.first = true'\n[filter.number]\nplugin = \"jq\"\nquery = '{query}'\n[sink.out]\nplugin = \"file\"\npath = \"OUT\"\n"
        )
    };
    place.pipeline("", "", &filters("if .n | type == \"string\" then error(\"a text\") else .n end"));
    place.run().end().expect(0);
    let dead_letters = place.dead_letters(&["--component", "number", "--reason", "A TEXT"]);
    assert_eq!(dead_letters.len(), 2, "{dead_letters:?}");
    assert_eq!(dead_letters[0]["payload"], r#"{"n":"2","first":true}"#);
    assert!(place.dead_letters(&["--reason", "something else"]).is_empty());
    let shown = place.call(&["dead-letters", "show", "1"]).end().expect(0);
    assert!(shown.stdout.contains("replay     at `number`, as it is below"), "{}", shown.stdout);

    // The first event passes now. The second is rejected again, for another reason.
    place.pipeline("", "", &filters("[(.n | tonumber), .first, ($meta.attributes | length > 0)]"));
    let ended = place.replay(&["--all"]).expect(0);
    assert!(
        ended.stderr.contains("1 dead letter of p delivered and removed; 1 rejected again and kept"),
        "{}",
        ended.stderr
    );
    assert_eq!(place.out(), ["1", "4", "[2,true,true]"]);
    let left = place.dead_letters(&[]);
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!((&left[0]["id"], &left[0]["attempts"]), (&dead_letters[1]["id"], &Value::from(2)));
    assert_eq!(
        (&left[0]["payload"], &left[0]["index"]),
        (&dead_letters[1]["payload"], &dead_letters[1]["index"])
    );
    assert_eq!(left[0]["source"], "lines");
    assert_ne!(left[0]["reason"], dead_letters[1]["reason"]);

    let removed = place.call(&["dead-letters", "remove", "--all"]).end().expect(0);
    assert!(removed.stderr.contains("1 dead letter of p removed"), "{}", removed.stderr);
    assert!(place.dead_letters(&[]).is_empty());
}

#[test]
fn dead_letter_of_a_sink_is_removed_after_delivery() {
    let place = Place::new("\"good\"\n\"bad\"\n\"worse\"\n");
    let strict = Arc::new(AtomicBool::new(true));
    let still = Arc::clone(&strict);
    let server = Server::start(move |request| match request.text().as_str() {
        text if text.contains("worse") => Answer::status(400),
        text if text.contains("bad") && still.load(Ordering::Relaxed) => Answer::status(400),
        _ => Answer::status(200),
    });
    let sink =
        format!("[sink.api]\nplugin = \"http\"\nurl = \"{}\"\nformat = \"single\"\n", server.url("/in"));
    place.pipeline("", "", &sink);
    place.run().end().expect(0);
    assert_eq!(place.dead_letters(&["--component", "api"]).len(), 2);
    strict.store(false, Ordering::Relaxed);
    place.replay(&["--component", "api"]).expect(0);
    let dead_letters = place.dead_letters(&[]);
    assert_eq!(dead_letters.len(), 1, "{dead_letters:?}");
    assert_eq!(dead_letters[0]["payload"], "\"worse\"");
    let good = server.requests().iter().filter(|request| request.text().contains("good")).count();
    assert_eq!(good, 1, "the source does not run in a replay");
}

#[test]
fn killed_or_stopped_replay_loses_no_dead_letter() {
    let place = Place::new(&(0..300).map(|number| format!("{number}\n")).collect::<String>());
    let off = "[pipeline]\ndead_letters = { share = 0, per_minute = 0 }";
    let rest = |first: &str, rate: u32| {
        format!(
            "[filter.first]\nplugin = \"jq\"\nquery = '{first}'\n[filter.slow]\nplugin = \"throttle\"\nevents = {rate}\nper = \"1s\"\nburst = 10\n[sink.out]\nplugin = \"file\"\npath = \"OUT\"\nbatch = {{ events = 5 }}\n"
        )
    };
    place.pipeline(off, "", &rest("error(\"not yet\")", 1000));
    place.run().end().expect(0);
    assert_eq!(place.dead_letters(&[]).len(), 300);
    place.pipeline(off, "", &rest(".", 200));
    for (signal, lines) in [("KILL", 30), ("TERM", 90)] {
        let call = place.call(&["dead-letters", "replay", "--all"]).arg(place.path("p.toml"));
        let mut running = call.start();
        until("some are delivered", || place.out().len() >= lines);
        running.signal(signal);
        running.end();
        let delivered: std::collections::BTreeSet<String> = place.out().into_iter().collect();
        let left = place.dead_letters(&[]);
        assert!(delivered.len() + left.len() >= 300, "{} and {}", delivered.len(), left.len());
        assert!(left.len() < 300, "what was delivered is removed on the way");
    }
    place.pipeline(off, "", &rest(".", 1_000_000));
    place.replay(&["--all"]).expect(0);
    let delivered: std::collections::BTreeSet<String> = place.out().into_iter().collect();
    assert_eq!((delivered.len(), place.dead_letters(&[]).len()), (300, 0));
}

#[test]
fn replayed_event_that_another_component_rejects_is_its_dead_letter() {
    let place = Place::new("[1,\"x\",3]\n");
    let rest = |split: &str| {
        format!(
            "[filter.split]\nplugin = \"jq\"\nquery = '{split}'\n[filter.number]\nplugin = \"jq\"\nquery = 'if type == \"string\" then error(\"no number\") else . end'\n[sink.out]\nplugin = \"file\"\npath = \"OUT\"\n"
        )
    };
    place.pipeline("", "", &rest("error(\"not yet\")"));
    place.run().end().expect(0);
    place.pipeline("", "", &rest(".[]"));
    place.replay(&["1"]).expect(0);
    assert_eq!(place.out(), ["1", "3"]);
    let dead_letters = place.dead_letters(&[]);
    assert_eq!(dead_letters.len(), 1, "{dead_letters:?}");
    assert_eq!(
        (&dead_letters[0]["component"], &dead_letters[0]["payload"]),
        (&"number".into(), &"\"x\"".into())
    );
    // Batch 0 only names the file and holds no event.
    assert_eq!((&dead_letters[0]["source"], &dead_letters[0]["sequence"]), (&"lines".into(), &1.into()));
}

#[test]
fn replay_reports_events_that_it_cannot_replay() {
    let place = Place::new(&format!("{}\nnot json\n", "x".repeat(5000)));
    place.pipeline("[pipeline]\nevent_size = \"1KiB\"", "", BY_NUMBER);
    place.run().end().expect(0);
    let dead_letters = place.dead_letters(&["--component", "lines"]);
    assert_eq!(dead_letters.len(), 1);
    let id = dead_letters[0]["id"].to_string();
    let ended = place.replay(&[&id]).expect(2);
    assert!(
        ended.stderr.contains("refused while it was read, and only its beginning is kept"),
        "{}",
        ended.stderr
    );
    let ended = place.replay(&["77"]).expect(2);
    assert!(ended.stderr.contains("no dead letter 77"), "{}", ended.stderr);
    let ended = place.replay(&[]).expect(2);
    assert!(ended.stderr.contains("choose the dead letters to replay"), "{}", ended.stderr);
    // The component is renamed.
    place.pipeline("", "", &BY_NUMBER.replace("filter.number", "filter.renamed"));
    let ended = place.replay(&["--all"]).expect(2);
    assert!(ended.stderr.contains("`number`, is not in the pipeline"), "{}", ended.stderr);
    assert!(ended.stderr.contains("nothing was replayed"), "{}", ended.stderr);
    assert_eq!(place.dead_letters(&[]).len(), 2, "nothing is removed");
}

#[test]
fn dead_letters_of_a_running_pipeline_cannot_be_replayed() {
    let place = Place::new("not json\n");
    place.pipeline("", "follow = true", BY_NUMBER);
    let running = place.run().start();
    until("there is a dead letter", || place.dead_letters(&[]).len() == 1);
    for arguments in [vec!["dead-letters", "remove", "1"], vec!["dead-letters", "replay", "1"]] {
        let call = place.call(&arguments);
        let call = if arguments[1] == "replay" { call.arg(place.path("p.toml")) } else { call };
        let ended = call.end().expect(1);
        let process = format!("another process ({}) runs this pipeline", running.id());
        assert!(
            ended.stderr.contains(&process) && ended.stderr.contains("stop it first"),
            "{}",
            ended.stderr
        );
    }
    assert_eq!(place.dead_letters(&[]).len(), 1);
}

#[test]
fn unwritable_store_blocks_the_lane() {
    let place = Place::new("{\"n\":1}\nnot json\n{\"n\":2}\n");
    place.pipeline("", "", BY_NUMBER);
    // A dangling link in place of the folder stops even root.
    std::fs::create_dir_all(place.path("data/p")).unwrap();
    std::os::unix::fs::symlink(place.path("elsewhere"), place.path("data/p/dead-letters")).unwrap();
    let mut running = place.run().start();
    running.wait_for("the dead-letter store cannot be written, so the component waits");
    std::fs::create_dir(place.path("elsewhere")).unwrap();
    let ended = running.end().expect(0);
    assert!(ended.stderr.contains("can be written again"), "{}", ended.stderr);
    assert_eq!(place.dead_letters(&[]).len(), 1);
    assert_eq!(place.out(), ["1", "2"]);
}

/// A call under `strace` with these options.
fn traced(place: &Place, options: &[&str]) -> Tidegate {
    let binary = Path::new(env!("CARGO_BIN_EXE_tidegate"));
    let call = Tidegate::other("strace").arg("-f").arg("-y").arg("-o").arg(place.path("trace"));
    let call = options.iter().fold(call, Tidegate::arg);
    call.arg(binary).arg("run").arg("--data-dir").arg(place.path("data")).arg(place.path("p.toml"))
}

#[test]
fn full_disk_blocks_the_lane() {
    tidegate_servers::require!(Trace);
    let place = Place::new("{\"n\":1}\nnot json\n{\"n\":2}\n");
    place.pipeline("", "", TO_STDOUT);
    let inject = ["-e", "trace=fdatasync", "-e", "inject=fdatasync:error=ENOSPC:when=1"];
    let ended = traced(&place, &inject).end().expect(0);
    assert!(
        ended.stderr.contains("cannot be written, so the component waits: No space left"),
        "{}",
        ended.stderr
    );
    assert_eq!(place.dead_letters(&[]).len(), 1);
    assert_eq!(ended.lines(), ["1", "2"]);
}

#[test]
fn position_is_stored_only_after_the_dead_letter_is_durable() {
    tidegate_servers::require!(Trace);
    let place = Place::new("{\"n\":1}\nnot json\n{\"n\":2}\n");
    place.pipeline("", "", TO_STDOUT);
    // Slow enough to show a position that is stored too early.
    let delay = "inject=fdatasync:delay_enter=400000:when=1";
    traced(&place, &["-e", "trace=fdatasync", "-e", delay]).end().expect(0);
    let trace = std::fs::read_to_string(place.path("trace")).unwrap();
    let lines: Vec<&str> = trace.lines().collect();
    let begun =
        lines.iter().position(|line| line.contains("fdatasync(") && line.contains("dead-letters")).unwrap();
    let thread = lines[begun].split(' ').next().unwrap();
    let resumed = |line: &&str| line.starts_with(thread) && line.contains("fdatasync resumed");
    let ended =
        if lines[begun].contains("<unfinished") { lines.iter().position(resumed).unwrap() } else { begun };
    let stored =
        |(_, line): &(usize, &&str)| line.contains("fdatasync(") && line.contains("lines.position.new");
    let stored: Vec<usize> = lines.iter().enumerate().filter(stored).map(|(at, _)| at).collect();
    // The position before the first event may be stored earlier: it only names the file.
    let early = stored.iter().filter(|at| **at < ended).count();
    assert!(early <= 1 && early < stored.len() && lines[ended].contains("= 0"), "{trace}");
}

#[test]
fn a_replay_of_nothing_reports_it_and_fails_unless_there_are_no_dead_letters() {
    let place = Place::new("1\n");
    place.pipeline("", "", BY_NUMBER);
    let ended = place.replay(&["--all"]).expect(0);
    assert!(ended.stderr.contains("nothing was replayed: there are no dead letters"), "{}", ended.stderr);
    let ended = place.replay(&["--reason", "malformed"]).expect(2);
    assert!(ended.stderr.contains("nothing was replayed: no dead letter of `p` matches"), "{}", ended.stderr);
    let ended = place.replay(&["--all", "--component", "number"]).expect(2);
    assert!(ended.stderr.contains("nothing was replayed"), "{}", ended.stderr);
}

#[test]
fn dead_letters_are_removed_although_a_number_is_missing() {
    let place = Place::new("a\nb\nc\n");
    place.pipeline("", "", BY_NUMBER);
    place.run().end().expect(0);
    let ids: Vec<String> = place.dead_letters(&[]).iter().map(|one| one["id"].to_string()).collect();
    assert_eq!(ids.len(), 3);
    let remove = |ids: &[&str]| {
        let mut arguments = vec!["dead-letters", "remove"];
        arguments.extend(ids);
        place.call(&arguments).end()
    };
    let ended = remove(&[&ids[0], "770", &ids[2], "771"]).expect(2);
    assert!(ended.stderr.contains("2 dead letters of p removed"), "{}", ended.stderr);
    assert!(ended.stderr.contains("there is no dead letter 770, 771"), "{}", ended.stderr);
    let left: Vec<String> = place.dead_letters(&[]).iter().map(|one| one["id"].to_string()).collect();
    assert_eq!(left, [ids[1].as_str()]);
    remove(&["770"]).expect(2);
    remove(&[&ids[1]]).expect(0);
}
