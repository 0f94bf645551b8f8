//! Output of `plugins bench`. The tests check that each measurement is there, or the reason why it is not; they do not check
//! the values.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Tidegate, root};

const HEADING: &str = "isolation ns/call ns/event events/s wakes/call out spread";

/// A folder with a library.
struct Place(tempfile::TempDir);

impl Place {
    fn new(source: &str) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-fvisibility=hidden", "-O1", "-w", "-I"])
            .arg(root().join("engine/abi/include"))
            .arg(root().join("tests").join(source))
            .arg("-o")
            .arg(place.library())
            .status();
        assert!(built.unwrap().success(), "{source} is built");
        place
    }

    fn library(&self) -> PathBuf {
        self.0.path().join("lib.so")
    }

    fn bench(&self) -> Tidegate {
        let call = Tidegate::new(&["plugins", "bench", "--seconds", "0.05"]);
        call.arg(self.library()).within(self.0.path())
    }
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

/// Lines of the table below `title` by isolation, with valid numbers.
fn table<'a>(stdout: &'a str, title: &str) -> Vec<(String, Vec<&'a str>)> {
    let mut lines = stdout.lines().skip_while(|line| *line != title).skip(1);
    assert_eq!(words(lines.next().unwrap_or_default()).join(" "), HEADING, "{stdout}");
    let line = |line: &'a str| {
        let line = line.strip_prefix("  ").unwrap();
        let (place, rest) = line.split_at(line.find("  ").unwrap());
        let numbers = words(rest);
        for number in &numbers[..2] {
            let number: f64 = number.replace(',', "").parse().unwrap_or_else(|_| panic!("{number}: {line}"));
            assert!(number > 0.0, "{line}");
        }
        assert!(numbers[2].ends_with("/s") && rest.contains('±') && rest.ends_with(" %"), "{line}");
        (place.to_owned(), numbers)
    };
    lines.take_while(|line| line.starts_with("  ") && line.contains('±')).map(line).collect()
}

const PLACES: [&str; 4] = ["built in", "inline", "thread", "process"];

#[test]
fn filter_is_measured_with_each_isolation() {
    let place = Place::new("plugins/grep.c");
    let stdout = place.bench().end().expect(0).stdout;
    assert!(stdout.starts_with("grep-c 1.0.0 ("), "{stdout}");
    let lines = table(&stdout, "filter grep_c");
    assert_eq!(lines.iter().map(|(place, _)| place.as_str()).collect::<Vec<_>>(), PLACES);
    // The sample keeps every third event, which holds ERROR.
    assert_eq!(
        lines.iter().map(|(_, numbers)| numbers[4]).collect::<Vec<_>>(),
        ["1.00", "0.33", "0.33", "0.33"]
    );
    // An inline call has no wait; a call to a process has wake-ups.
    assert_eq!((lines[0].1[3], lines[1].1[3]), ("0.0", "0.0"));
    assert!(lines[3].1[3].parse::<f64>().unwrap() > 0.0, "{stdout}");
    let other = place.bench().args(["grep_c", "--options", r#"{"text":"Ada"}"#]).end().expect(0).stdout;
    assert_eq!(table(&other, "filter grep_c")[1].1[4], "1.00");
}

#[test]
fn a_source_and_a_sink_need_options_that_work_here() {
    let place = Place::new("plugins/count.c");
    let printed = place.bench().end().expect(1);
    assert!(
        printed.stdout.contains("the source was not measured: the options of its sample"),
        "{}",
        printed.stdout
    );
    assert!(printed.stderr.contains("nothing could be measured"), "{}", printed.stderr);
    let pipeline = |text: &str| {
        let path = place.0.path().join("try.toml");
        std::fs::write(&path, text).unwrap();
        path
    };
    let try_it = |path: &Path| place.bench().arg("--pipeline").arg(path).end();
    // The source ends, and is created again, several times.
    let works = "[source.n]\nplugin = \"count_c\"\ncount = 2500\n[sink.out]\nplugin = \"blackhole\"\n";
    let measured = try_it(&pipeline(works)).expect(0).stdout;
    assert_eq!(table(&measured, "source count_c").len(), PLACES.len());
    let empty = try_it(&pipeline(&works.replace("2500", "0"))).expect(1).stdout;
    assert!(empty.contains("inline was not measured: it ends before its first event"), "{empty}");
    let place = Place::new("evil/faults/segfault.c");
    let out = place.0.path().join("out");
    let options = format!("{{\"path\":{out:?}}}");
    let sink = place.bench().args(["evil", "--options", &options]).end();
    assert!(std::fs::metadata(&out).is_ok_and(|out| out.len() > 0), "{sink:?}");
}

#[test]
fn broken_library_ends_the_bench_with_the_reason() {
    let place = Place::new("evil/entry.c");
    let broken = |way: &str| {
        let options = format!(r#"{{"at":"process","way":"{way}"}}"#);
        place.bench().args(["filter", "--options", &options]).end().expect(1)
    };
    assert!(broken("segfault").stderr.contains("the library crashes (SIGSEGV)"));
    assert!(broken("exit").stderr.contains("the library calls exit(7)"));
    // Measurements before the crash are printed.
    assert_eq!(table(&broken("abort").stdout, "filter filter").len(), 1);
}

#[test]
fn wrong_arguments_are_reported() {
    let place = Place::new("plugins/grep.c");
    let printed = place.bench().args(["grep_c", "--options", "[]"]).end().expect(2).stderr;
    assert!(printed.contains("write an object"), "{printed}");
    let printed = place.bench().args(["--options", "{}"]).end().expect(2).stderr;
    assert!(printed.contains("NAME"), "{printed}");
    let printed = place.bench().arg("other").end().expect(1).stderr;
    assert!(printed.contains("nothing could be measured"), "{printed}");
    std::fs::write(place.library(), "hello").unwrap();
    assert!(place.bench().end().expect(2).stderr.contains("is not a shared library"));
}
