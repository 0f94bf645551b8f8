//! Files that are replaced or rotated after a kill, and files that are not regular.

use std::fs;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Command;

use crate::harness::{Tidegate, http, until};

fn lines(prefix: &str, count: u32) -> String {
    (0..count).map(|number| format!("{prefix} {number:06}\n")).collect()
}

fn count(path: &Path, prefix: &str) -> usize {
    fs::read_to_string(path).unwrap_or_default().lines().filter(|line| line.starts_with(prefix)).count()
}

/// The numbers `base` and `done` of the only lane in the last line of the ledger.
fn record(ledger: &Path) -> (u64, u64) {
    let text = fs::read_to_string(ledger).unwrap();
    let last = text.lines().rfind(|line| line.contains("\"done\"")).unwrap();
    let number = |name: &str| {
        let rest = &last[last.rfind(name).unwrap() + name.len()..];
        rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
    };
    (number("\"base\":"), number("\"done\":"))
}

/// The rate of a run that is killed: slow, so that the kill comes before its end, and within a batch of its source.
const SLOW: &str = "events = 2000\nburst = 10";
const FAST: &str = "events = 1000000";

/// Kills a run within a batch of its source, replaces the input, and counts the arrivals from the new input.
#[track_caller]
fn replaced_after_a_kill(follow: bool, replace: fn(&Path, &str)) {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in.log"), folder.path().join("out.log"));
    let pipeline = folder.path().join("p.toml");
    let write = |rate: &str| {
        let text = format!(
            "[pipeline]\ndelivery = \"effectively_once\"\n\
             [source.in]\nplugin = \"file\"\npath = \"{}\"\nfollow = {follow}\npoll_interval = \"20ms\"\n\
             [filter.slow]\nplugin = \"throttle\"\n{rate}\n\
             [sink.out]\nplugin = \"file\"\npath = \"{}\"\nbatch = {{ events = 100 }}\n",
            input.display(),
            output.display()
        );
        fs::write(&pipeline, text).unwrap();
    };
    write(SLOW);
    fs::write(&input, lines("old", 20_000)).unwrap();
    let run = || Tidegate::new(&["run"]).arg(&pipeline).arg("--data-dir").arg(folder.path().join("data"));
    let mut running = run().start();
    until("some of it is written", || count(&output, "old") >= 1000);
    running.signal("KILL");
    running.end();
    let (base, done) = record(&folder.path().join("out.log.tidegate"));
    assert!(done > base, "the kill met no batch in its middle: {base} {done}");
    replace(&input, &lines("new", 20_000));
    write(FAST);
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

fn make_pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn a_moved_file_of_a_template_holds_nothing_twice_after_a_kill() {
    for round in 0..4 {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        let input = folder.path().join("in.jsonl");
        let events: String = (0..20_000).map(|n| format!("{{\"f\":\"f{}\",\"n\":{n}}}\n", n % 3)).collect();
        fs::write(&input, &events).unwrap();
        let pipeline = folder.path().join("p.toml");
        let write = |rate: &str| {
            let text = format!(
                "[pipeline]\ndelivery = \"effectively_once\"\n[source.in]\nplugin = \"file\"\npath = \"{}\"\n\
                 [filter.slow]\nplugin = \"throttle\"\n{rate}\n\
                 [sink.out]\nplugin = \"file\"\npath = \"{}/{{.f}}.jsonl\"\nbatch = {{ events = 100 }}\n",
                input.display(),
                out.display()
            );
            fs::write(&pipeline, text).unwrap();
        };
        write(SLOW);
        let run = || Tidegate::new(&["run"]).arg(&pipeline).arg("--data-dir").arg(folder.path().join("data"));
        let running = run().start();
        until("some of it is written", || count(&out.join("f1.jsonl"), "{") >= 500 + round * 37);
        running.signal("KILL");
        drop(running);
        // An uncommitted end, in addition to the one that this kill left.
        for name in ["f0.jsonl", "f1.jsonl"] {
            use std::io::Write;
            let mut file = fs::File::options().append(true).open(out.join(name)).unwrap();
            file.write_all(b"{\"f\":\"f0\",\"n\":19999}\n").unwrap();
            fs::create_dir_all(out.join("old/2026")).unwrap();
            fs::rename(out.join(name), out.join("old/2026").join(name)).unwrap();
        }
        write(FAST);
        let ended = run().end().expect(0);
        assert!(ended.stderr.contains("was moved to"), "{}", ended.stderr);
        let files = ["f0.jsonl", "f1.jsonl", "f2.jsonl", "old/2026/f0.jsonl", "old/2026/f1.jsonl"];
        let text: String = files.iter().map(|name| fs::read_to_string(out.join(name)).unwrap()).collect();
        let mut lines: Vec<&str> = text.lines().collect();
        let mut expected: Vec<&str> = events.lines().collect();
        lines.sort_unstable();
        expected.sort_unstable();
        assert!(lines == expected, "{} lines of {}", lines.len(), expected.len());
    }
}

#[test]
fn a_pipe_whose_reader_takes_nothing_makes_its_sink_unready() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    make_pipe(&pipe);
    let text = format!(
        "[source.in]\nplugin = \"generate\"\nquery = \"{{n: $n}}\"\n[sink.out]\nplugin = \"file\"\npath = \"{}\"\n",
        pipe.display()
    );
    let mut running = Tidegate::pipeline(&text).arg("--admin").arg("127.0.0.1:0").start();
    let address = running.address("admin listening on");
    let ready = || http(address, "GET /readyz", "", b"");
    until("the pipe has no reader", || ready().status == 503 && ready().body.contains("has no reader"));
    let nonblocking = rustix_nonblocking();
    let mut reader = fs::File::options().read(true).custom_flags(nonblocking).open(&pipe).unwrap();
    let mut bytes = vec![0; 4096];
    until("something comes", || reader.read(&mut bytes).is_ok_and(|read| read > 0));
    until("the reader takes nothing", || ready().status == 503 && ready().body.contains("takes nothing"));
    until("it is ready while it is read", || {
        while reader.read(&mut bytes).is_ok_and(|read| read > 0) {}
        ready().status == 200
    });
    running.signal("TERM");
    until("it ends", || {
        while reader.read(&mut bytes).is_ok_and(|read| read > 0) {}
        running.has_ended()
    });
    running.end().expect(0);
}

/// `O_NONBLOCK` of this system.
fn rustix_nonblocking() -> i32 {
    if cfg!(target_os = "linux") { 0o4000 } else { 4 }
}

#[test]
fn a_pipe_as_the_path_of_a_source_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    make_pipe(&pipe);
    for follow in [false, true] {
        let text = format!(
            "[source.in]\nplugin = \"file\"\npath = \"{}\"\nfollow = {follow}\n[sink.out]\nplugin = \"blackhole\"\n",
            pipe.display()
        );
        let ended = Tidegate::pipeline(&text).end().expect(1);
        assert!(ended.stderr.contains("is a named pipe"), "{}", ended.stderr);
    }
}

#[test]
fn more_followed_files_than_threads_do_not_block_other_pipelines() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = String::new();
    // The blocking pool has 512 threads.
    for number in 0..530 {
        let input = folder.path().join(format!("{number}.log"));
        fs::write(&input, format!("line of {number}\n")).unwrap();
        text += &format!(
            "[source.in{number}]\nplugin = \"file\"\npath = \"{}\"\nfollow = true\npoll_interval = \"2s\"\n",
            input.display()
        );
    }
    let out = folder.path().join("out.log");
    let sources: Vec<String> = (0..530).map(|number| format!("\"in{number}\"")).collect();
    text += &format!(
        "[sink.out]\nplugin = \"file\"\nfrom = [{}]\npath = \"{}\"\n",
        sources.join(", "),
        out.display()
    );
    let other = folder.path().join("other.log");
    text += &format!(
        "[source.numbers]\nplugin = \"generate\"\ncount = 100\nquery = \"{{n: $n}}\"\n[sink.other]\nplugin = \"file\"\nfrom = \"numbers\"\n\
         path = \"{}\"\n",
        other.display()
    );
    let mut running = Tidegate::pipeline(&text).start();
    until("every file is read", || count(&out, "line of") == 530);
    until("the other graph has ended", || {
        fs::read_to_string(&other).unwrap_or_default().lines().count() == 100
    });
    running.signal("TERM");
    running.end().expect(0);
}
