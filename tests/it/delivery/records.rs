//! The data folder: its permissions, and its records after names and sinks change.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::harness::{Ended, Tidegate, until};

/// A folder with an input of a thousand lines and a pipeline file `p.toml`.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        std::fs::write(place.path("in"), numbers(1000)).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a pipeline file, in which DIR is the folder.
    fn pipeline(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text.replace("DIR", &self.0.path().display().to_string())).unwrap();
        path
    }

    fn call(&self, command: &str, name: &str) -> Tidegate {
        Tidegate::new(&[command]).arg(self.path(name)).arg("--data-dir").arg(self.path("data"))
    }

    fn run(&self) -> Ended {
        self.call("run", "p.toml").end()
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }
}

fn numbers(count: usize) -> String {
    (0..count).map(|number| format!("{number}\n")).collect()
}

const EXACT: &str =
    "[pipeline]\ndelivery = \"effectively_once\"\n[source.lines]\nplugin = \"file\"\npath = \"DIR/in\"\n";

fn sink(name: &str, file: &str) -> String {
    format!("[sink.{name}]\nplugin = \"file\"\nfrom = \"lines\"\npath = \"DIR/{file}\"\n")
}

#[test]
fn added_sink_gets_the_events_that_it_lacks() {
    let place = Place::new();
    place.pipeline("p.toml", &format!("{EXACT}{}", sink("one", "one")));
    place.run().expect(0);
    place.pipeline("p.toml", &format!("{EXACT}{}{}", sink("one", "one"), sink("two", "two")));
    for _ in 0..2 {
        place.run().expect(0);
        assert_eq!((place.read("one"), place.read("two")), (numbers(1000), numbers(1000)));
    }
    // A sink that is removed and added again has a record, and gets the events in between.
    place.pipeline("p.toml", &format!("{EXACT}{}", sink("two", "two")));
    std::fs::write(place.path("in"), numbers(1500)).unwrap();
    place.run().expect(0);
    assert_eq!((place.read("one"), place.read("two")), (numbers(1000), numbers(1500)));
    place.pipeline("p.toml", &format!("{EXACT}{}{}", sink("one", "one"), sink("two", "two")));
    place.run().expect(0);
    assert_eq!((place.read("one"), place.read("two")), (numbers(1500), numbers(1500)));
}

#[test]
fn a_sink_whose_path_or_name_is_changed_is_not_silent() {
    let place = Place::new();
    place.pipeline("p.toml", &format!("{EXACT}{}", sink("one", "one")));
    place.run().expect(0);
    // Another path has no record.
    place.pipeline("p.toml", &format!("{EXACT}{}", sink("one", "other")));
    let ended = place.run().expect(1);
    assert!(
        ended.stderr.contains("has no record of `lines` any more")
            && ended.stderr.contains("path was changed")
    );
    assert_eq!(place.read("other"), "");
    // Another name and another path mean a new sink, and the log names the missing one.
    place.pipeline("p.toml", &format!("{EXACT}{}", sink("two", "third")));
    let ended = place.run().expect(0);
    assert!(ended.stderr.contains("the sink `one` is gone"), "{}", ended.stderr);
    assert_eq!(place.read("third"), numbers(1000));
}

const FOLLOW: &str = r#"
    [source.lines]
    plugin = "file"
    path = "DIR/in"
    follow = true
    [sink.out]
    plugin = "file"
    path = "DIR/out"
"#;

/// Runs `p.toml` until all lines are written, and stops it.
fn follow(place: &Place) -> Ended {
    let before = place.read("out").lines().count();
    let mut running = place.call("run", "p.toml").start();
    until("all is read", || place.read("out").lines().count() >= before + 1000);
    running.signal("TERM");
    running.end().expect(0)
}

#[test]
fn a_source_a_pipeline_or_a_path_under_a_new_name_is_a_warning() {
    let renamed_source = FOLLOW.replace("source.lines", "source.rows");
    let renamed_pipeline = format!("[pipeline]\nid = \"q\"\n{FOLLOW}");
    let moved = FOLLOW.replace("DIR/in", "DIR/moved");
    let cases = [
        (renamed_source, "`rows` of pipeline `p` has no stored position", "one of `lines`"),
        (renamed_pipeline, "pipeline `p` has no stored position", "one of `lines` under the id `p`"),
        (
            moved,
            "`lines` of pipeline `p` has a stored position for",
            "which its options do not name any more",
        ),
    ];
    for (text, what, which) in cases {
        let place = Place::new();
        place.pipeline("p.toml", FOLLOW);
        follow(&place);
        let silent = place.call("check", "p.toml").end().expect(0);
        assert!(!silent.stderr.contains("warning"), "{}", silent.stderr);
        std::fs::copy(place.path("in"), place.path("moved")).unwrap();
        place.pipeline("p.toml", &text);
        let checked = place.call("check", "p.toml").end().expect(0);
        assert!(checked.stderr.contains(what) && checked.stderr.contains(which), "{}", checked.stderr);
        assert!(checked.stdout.contains("1 warning"), "{}", checked.stdout);
        let json = place.call("check", "p.toml").args(["--format", "json"]).end().expect(0);
        let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
        assert!(json["state_warnings"][0].as_str().unwrap().contains(what), "{json}");
        let ended = follow(&place);
        assert!(ended.stderr.contains(what), "{}", ended.stderr);
    }
}

#[test]
fn the_state_is_for_its_owner_whatever_the_umask() {
    let place = Place::new();
    let text = "[source.lines]\nplugin = \"file\"\npath = \"DIR/in\"\n[filter.bad]\nplugin = \"jq\"\nquery = 'if . == 7 then error(\"seven\") else . end'\n[sink.out]\nplugin = \"file\"\npath = \"DIR/out\"\n";
    place.pipeline("p.toml", &format!("[pipeline]\ndelivery = \"effectively_once\"\n{text}"));
    let run = || {
        Tidegate::other("sh")
            .args(["-c", "umask 0; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_tidegate"), "run", "--data-dir"])
            .arg(place.path("data"))
            .arg(place.path("p.toml"))
            .end()
            .expect(0)
    };
    run();
    let data = place.path("data");
    let mut seen = Vec::new();
    modes(&data, &mut seen);
    assert!(seen.iter().any(|(path, _)| path.ends_with("lines.position")), "{seen:?}");
    assert!(seen.iter().any(|(path, _)| path.to_string_lossy().contains("dead-letters/")), "{seen:?}");
    assert!(seen.iter().all(|(_, mode)| mode & 0o077 == 0), "{seen:?}");
    // Permissions of older files are tightened, with a line in the log.
    for (path, mode) in &seen {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode | 0o055)).unwrap();
    }
    let ended = run();
    assert!(ended.stderr.contains("other users of this machine could read the state"), "{}", ended.stderr);
    let mut seen = Vec::new();
    modes(&data.join("p"), &mut seen);
    assert!(seen.iter().all(|(_, mode)| mode & 0o077 == 0), "{seen:?}");
}

fn modes(path: &Path, seen: &mut Vec<(PathBuf, u32)>) {
    let known = path.metadata().unwrap();
    seen.push((path.to_owned(), known.permissions().mode() & 0o777));
    if known.is_dir() {
        path.read_dir().unwrap().for_each(|entry| modes(&entry.unwrap().path(), seen));
    }
}
