//! Files as they are in the field: killed over, replaced, rotated, special.

use std::fs;
use std::path::Path;

use crate::harness::{Tidegate, until};

fn lines(prefix: &str, count: u32) -> String {
    (0..count).map(|number| format!("{prefix} {number:06}\n")).collect()
}

fn count(path: &Path, prefix: &str) -> usize {
    fs::read_to_string(path).unwrap_or_default().lines().filter(|line| line.starts_with(prefix)).count()
}

/// The numbers `base` and `done` of the only lane, by the last line of the ledger.
fn record(ledger: &Path) -> (u64, u64) {
    let text = fs::read_to_string(ledger).unwrap();
    let last = text.lines().rfind(|line| line.contains("\"done\"")).unwrap();
    let number = |name: &str| {
        let rest = &last[last.rfind(name).unwrap() + name.len()..];
        rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
    };
    (number("\"base\":"), number("\"done\":"))
}

/// Kills a run within a batch of its source, replaces the input, and counts what arrives of the new one.
#[track_caller]
fn replaced_after_a_kill(follow: bool, replace: fn(&Path, &str)) {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in.log"), folder.path().join("out.log"));
    let pipeline = folder.path().join("p.toml");
    let text = format!(
        "[pipeline]\ndelivery = \"effectively_once\"\n\
         [source.in]\nplugin = \"file\"\npath = \"{}\"\nfollow = {follow}\npoll_interval = \"20ms\"\n\
         [sink.out]\nplugin = \"file\"\npath = \"{}\"\nbatch = {{ events = 100 }}\n",
        input.display(),
        output.display()
    );
    fs::write(&pipeline, text).unwrap();
    fs::write(&input, lines("old", 20_000)).unwrap();
    let run = || Tidegate::new(&["run"]).arg(&pipeline).arg("--data-dir").arg(folder.path().join("data"));
    let mut running = run().start();
    until("some of it is written", || count(&output, "old") >= 1000);
    running.signal("KILL");
    running.end();
    let (base, done) = record(&folder.path().join("out.log.tidegate"));
    assert!(done > base, "the kill met no batch in its middle: {base} {done}");
    replace(&input, &lines("new", 20_000));
    let mut running = run().start();
    until("the new file is there", || count(&output, "new") >= 20_000);
    running.signal("TERM");
    let ended = running.end().expect(0);
    assert!(ended.stderr.contains("is not the file that was read before"), "{}", ended.stderr);
    let written = fs::read_to_string(&output).unwrap();
    let new: String =
        written.lines().filter(|line| line.starts_with("new")).flat_map(|line| [line, "\n"]).collect();
    assert!(new == lines("new", 20_000), "each line of the new file once, in order");
}

#[test]
fn a_file_replaced_after_a_kill_is_delivered_whole() {
    replaced_after_a_kill(false, |input, text| {
        fs::remove_file(input).unwrap();
        fs::write(input, text).unwrap();
    });
}

#[test]
fn a_followed_file_replaced_after_a_kill_is_delivered_whole() {
    replaced_after_a_kill(true, |input, text| {
        fs::write(input.with_extension("new"), text).unwrap();
        fs::rename(input.with_extension("new"), input).unwrap();
    });
}

#[test]
fn a_followed_file_truncated_after_a_kill_is_delivered_whole() {
    replaced_after_a_kill(true, |input, text| fs::write(input, text).unwrap());
}
