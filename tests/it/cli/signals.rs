//! Signals, exit codes, deadlines.

use crate::harness::{Tidegate, until};

/// A pipeline of numbered events without an end. `OUT` is a placeholder for the path of its output.
pub(super) const ENDLESS: &str = r#"
    [source.ticks]
    plugin = "generate"
    query = '{n: $n}'
    rate = 1000
    [sink.out]
    plugin = "file"
    path = "OUT"
"#;

/// Checks the output of [`ENDLESS`]: every event, in order.
#[track_caller]
pub(super) fn assert_in_order(output: &str) {
    for (number, line) in output.lines().enumerate() {
        assert_eq!(line, format!(r#"{{"n":{number}}}"#));
    }
}

#[test]
fn signal_drains_and_delivers_everything_read() {
    for signal in ["TERM", "INT"] {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out.jsonl");
        let pipeline = ENDLESS.replace("OUT", &out.display().to_string());
        let mut running = Tidegate::pipeline(&pipeline).start();
        let lines = || std::fs::read_to_string(&out).unwrap_or_default();
        until("a hundred lines", || lines().lines().count() > 100);
        running.signal(signal);
        running.end().expect(0);
        assert_in_order(&lines());
    }
}

#[test]
fn a_second_interrupt_ends_at_once() {
    let pipeline = r#"
        [source.ticks]
        plugin = "generate"
        line = "x"
        count = 10
        [sink.slow]
        plugin = "blackhole"
        rate = 1
        batch = { events = 1 }
    "#;
    let mut running = Tidegate::pipeline(pipeline).start();
    running.wait_for("running");
    running.signal("INT");
    running.wait_for("draining");
    running.signal("INT");
    let ended = running.end().expect(130);
    assert!(ended.stderr.contains("  stopped at once: "), "{}", ended.stderr);
    assert!(!ended.stderr.contains("drain deadline passed"), "{}", ended.stderr);
}

#[test]
fn a_pipeline_that_fails_is_exit_1_and_the_others_end_first() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let pipeline = format!(
        r#"
        [source.missing]
        plugin = "file"
        path = "/nowhere/at/all.jsonl"
        [sink.one]
        plugin = "blackhole"
        [source.ticks]
        plugin = "generate"
        line = "x"
        count = 10
        [sink.two]
        plugin = "file"
        path = "{}"
        "#,
        out.display()
    );
    let ended = Tidegate::pipeline(&pipeline).end().expect(1);
    assert!(ended.stderr.contains("/nowhere/at/all.jsonl"), "{}", ended.stderr);
    assert_eq!(std::fs::read_to_string(out).unwrap().lines().count(), 10);
}

#[test]
fn killed_run_resumes_at_its_position() {
    let folder = tempfile::tempdir().unwrap();
    let (input, out) = (folder.path().join("in"), folder.path().join("out"));
    let text: String = (0..5000).map(|number| format!("{number}\n")).collect();
    std::fs::write(&input, &text).unwrap();
    let data = folder.path().join("data");
    let pipeline = folder.path().join("p.toml");
    let write = |rate: &str| {
        let text = format!(
            "[source.lines]\nplugin = \"file\"\npath = \"{}\"\n[filter.slow]\nplugin = \"throttle\"\n{rate}\n[sink.out]\nplugin = \"file\"\npath = \"{}\"\nbatch = {{ events = 10 }}\n",
            input.display(),
            out.display()
        );
        std::fs::write(&pipeline, text).unwrap();
    };
    let lines = || std::fs::read_to_string(&out).unwrap_or_default().lines().count();
    // The first run is slow, so that the kill comes before its end.
    write("events = 2000\nper = \"1s\"\nburst = 10");
    let call = || Tidegate::new(&["run", "--data-dir"]).arg(&data).arg(&pipeline);
    let running = call().start();
    until("some lines", || lines() >= 100);
    running.signal("KILL");
    drop(running);
    write("events = 1000000\nper = \"1s\"");
    call().end().expect(0);
    let written = std::fs::read_to_string(&out).unwrap();
    let distinct: std::collections::BTreeSet<&str> = written.lines().collect();
    assert_eq!(distinct.len(), 5000, "nothing is lost");
    // A run that ended leaves nothing to resume, so the next one reads the file again.
    std::fs::remove_file(&out).unwrap();
    call().end().expect(0);
    assert_eq!(lines(), 5000);
}
