//! Exhausted resources: disk space, file descriptors, a reader of standard output, a server without persistence.

use std::path::{Path, PathBuf};
use std::process::Command;

use tidegate_servers::machine::mount_namespace;
use tidegate_servers::redis::Redis;

use crate::harness::{Ended, Tidegate, http, until};

const EVENTS: usize = 20_000;

/// A folder with an input, a pipeline `p.toml`, and a mount point `small`.
struct Place(tempfile::TempDir);

impl Place {
    /// Writes a pipeline that reads the lines `input`; in `rest`, DIR is the folder.
    fn new(input: &str, rest: &str) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        let folder = place.0.path().display().to_string();
        std::fs::write(place.path("in"), input).unwrap();
        let source = "[source.lines]\nplugin = \"file\"\npath = \"DIR/in\"\n";
        let (before, after) = rest.split_once("---\n").unwrap_or(("", rest));
        std::fs::write(place.path("p.toml"), format!("{before}{source}{after}").replace("DIR", &folder))
            .unwrap();
        std::fs::create_dir(place.path("small")).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs the pipeline with a file system on `small`, mounted with these options. When the log holds `waits`, the file
    /// system is mounted again with the options `mended`. Its content is copied to `kept` at the end.
    fn run_on(&self, options: &str, (waits, mended): (&str, &str), data: &Path) -> Ended {
        let go = self.path("go");
        assert!(Command::new("mkfifo").arg(&go).status().unwrap().success());
        const SCRIPT: &str = r#"
            cd "$1" && mount -t tmpfs -o "$2" none small || exit 99
            (read line < go && mount -o "remount,$3" none small) &
            shift 3
            "$@"; code=$?
            cp -r small kept; exit $code
        "#;
        let mut running = Tidegate::other("unshare")
            .args([mount_namespace().unwrap(), "sh", "-c", SCRIPT, "sh"])
            .arg(self.0.path())
            .args([options, mended, env!("CARGO_BIN_EXE_tidegate"), "run", "--data-dir"])
            .arg(data)
            .arg(self.path("p.toml"))
            .start();
        running.wait_for(waits);
        std::fs::write(go, "\n").unwrap();
        running.end()
    }

    fn numbers(&self, name: &str) -> Vec<usize> {
        let text = std::fs::read_to_string(self.path(name)).unwrap();
        text.lines().map(|line| line.parse().unwrap()).collect()
    }
}

fn numbers() -> String {
    (0..EVENTS).map(|number| format!("{number}\n")).collect()
}

const TO_SMALL: &str = r#"
    [sink.out]
    plugin = "file"
    path = "DIR/small/out"
    retry = { base = "20ms", cap = "100ms" }
"#;

#[test]
fn a_sink_without_space_waits_for_it_and_each_event_is_there_once() {
    tidegate_servers::require!(Mount);
    for before in ["", "[pipeline]\ndelivery = \"effectively_once\"\n---\n"] {
        let place = Place::new(&numbers(), &format!("{before}{TO_SMALL}"));
        let full = ("no space left on device", "size=4m");
        let ended = place.run_on("size=64k", full, &place.path("data"));
        ended.expect(0);
        assert!(place.numbers("kept/out").into_iter().eq(0..EVENTS));
    }
}

/// Runs `command` with a limit of the file size (`ulimit -f`), which is removed when the log holds `waits`.
fn with_small_files(command: &str, waits: &str) -> Ended {
    let limited = format!("ulimit -S -f 16; {command}");
    let mut running = Tidegate::other("sh").args(["-c", &limited]).start();
    running.wait_for(waits);
    let mended =
        Command::new("prlimit").args(["--fsize=unlimited", "--pid", &running.id().to_string()]).status();
    assert!(mended.unwrap().success());
    running.end()
}

#[test]
fn limit_of_the_file_size_is_a_full_disk() {
    let run = |place: &Place| {
        let (data, pipeline) = (place.path("data"), place.path("p.toml"));
        format!(
            "exec {} run --data-dir {} {}",
            env!("CARGO_BIN_EXE_tidegate"),
            data.display(),
            pipeline.display()
        )
    };
    let to_file = TO_SMALL.replace("small/", "");
    for before in ["", "[pipeline]\ndelivery = \"effectively_once\"\n---\n"] {
        let place = Place::new(&numbers(), &format!("{before}{to_file}"));
        with_small_files(&run(&place), "file too large: it is as large as `ulimit -f`").expect(0);
        assert!(place.numbers("out").into_iter().eq(0..EVENTS));
    }
    let to_stdout = "[sink.out]\nplugin = \"stdout\"\nretry = { base = \"20ms\", cap = \"100ms\" }\n";
    let place = Place::new(&numbers(), to_stdout);
    let command = format!("{} > {}", run(&place), place.path("out").display());
    with_small_files(&command, "standard output cannot be written: its file is as large").expect(0);
    let out = std::fs::read_to_string(place.path("out")).unwrap();
    let whole: std::collections::BTreeSet<usize> = out.lines().filter_map(|line| line.parse().ok()).collect();
    assert!(whole.into_iter().filter(|number| *number < EVENTS).eq(0..EVENTS));
    let rejected = "[pipeline]\ndead_letters = { share = 0, per_minute = 0 }\n---\n[filter.number]\nplugin = \"jq\"\nquery = \".n\"\n[sink.out]\nplugin = \"blackhole\"\n";
    let place = Place::new(&format!("oops {}\n", "x".repeat(600)).repeat(300), rejected);
    let ended =
        with_small_files(&run(&place), "the dead-letter store cannot be written, so the component waits")
            .expect(0);
    assert!(ended.stderr.contains("300 dead letters"), "{}", ended.stderr);
}

#[test]
fn a_sink_on_a_file_system_that_is_read_only_waits_until_it_is_not() {
    tidegate_servers::require!(Mount);
    let place = Place::new(&numbers(), TO_SMALL);
    let ended = place.run_on("ro", ("read-only file system", "rw"), &place.path("data"));
    ended.expect(0);
    assert!(place.numbers("kept/out").into_iter().eq(0..EVENTS));
}

#[test]
fn dead_letters_without_space_block_the_pipeline_and_none_is_lost() {
    tidegate_servers::require!(Mount);
    let bad = format!("oops {}\n", "x".repeat(600)).repeat(300);
    let rest = r#"
        [pipeline]
        dead_letters = { share = 0, per_minute = 0 }
        ---
        [filter.number]
        plugin = "jq"
        query = ".n"
        [sink.out]
        plugin = "blackhole"
    "#;
    let place = Place::new(&bad, &rest.replace("        ", ""));
    let full = ("the dead-letter store cannot be written, so the component waits", "size=4m");
    let ended = place.run_on("size=64k", full, &place.path("small"));
    let said = ended.expect(0).stderr;
    assert!(said.contains("300 dead letters"), "{said}");
    let list = ["dead-letters", "list", "--format", "json", "--limit", "1000", "--data-dir"];
    let listed = Tidegate::new(&list).arg(place.path("kept")).end().expect(0);
    assert_eq!(listed.lines().len(), 300);
}

/// Unstored positions only make a crash repeat more events.
#[test]
fn full_data_folder_is_reported_and_events_are_delivered() {
    tidegate_servers::require!(Mount);
    let rest = r#"
        [filter.slow]
        plugin = "throttle"
        events = 5000
        per = "1s"
        burst = 100
        [sink.out]
        plugin = "file"
        path = "DIR/out"
    "#;
    let place = Place::new(&numbers(), rest);
    let full = ("the position cannot be stored: No space left on device", "size=4m");
    let ended = place.run_on("size=4k", full, &place.path("small"));
    ended.expect(0);
    assert!(place.numbers("out").into_iter().eq(0..EVENTS));
}

/// Opens more files than allowed, until the limit is raised.
#[test]
fn missing_file_descriptors_are_reported_and_retried() {
    let events: String = (0..EVENTS).map(|n| format!("{{\"n\":{n},\"k\":{}}}\n", n % 60)).collect();
    let place = Place::new(&events, &TO_SMALL.replace("small/out", "small/{.k}"));
    let mut running = Tidegate::other("sh")
        .args([
            "-c",
            "ulimit -S -n 40; exec \"$@\"",
            "sh",
            env!("CARGO_BIN_EXE_tidegate"),
            "run",
            "--data-dir",
        ])
        .arg(place.path("data"))
        .arg(place.path("p.toml"))
        .start();
    running.wait_for("too many open files");
    let limit = ["--nofile=1024:", "--pid", &running.id().to_string()];
    assert!(Command::new("prlimit").args(limit).status().unwrap().success());
    running.end().expect(0);
    let written = |k: usize| std::fs::read_to_string(place.path("small").join(k.to_string())).unwrap();
    for k in 0..60 {
        let expected = (k..EVENTS).step_by(60).map(|n| format!("{{\"n\":{n},\"k\":{k}}}\n"));
        assert_eq!(written(k), expected.collect::<String>());
    }
}

#[test]
fn closed_reader_of_standard_output_ends_the_run_with_the_reason() {
    let place = Place::new(&numbers(), "[sink.out]\nplugin = \"stdout\"\n");
    let mut running = Tidegate::other("sh")
        .args(["-c", "(\"$@\"; echo \"code $?\" >&2) | head -n 1", "sh"])
        .args([env!("CARGO_BIN_EXE_tidegate"), "run", "--data-dir"])
        .arg(place.path("data"))
        .arg(place.path("p.toml"))
        .start();
    running.wait_for("standard output was closed: its reader has ended");
    running.wait_for("code 1");
    assert_eq!(running.end().stdout, "0\n");
}

#[test]
fn server_without_persistence_stops_the_pipeline_until_start_over() {
    let mut redis = Redis::start();
    let rest = format!(
        "[pipeline]\ndelivery = \"effectively_once\"\n---\nfollow = true\n[sink.out]\nplugin = \"redis\"\n\
         url = \"{}\"\ncommand = \"rpush\"\nkey = \"list\"\nretry = {{ base = \"5ms\", cap = \"50ms\" }}\n",
        redis.url()
    );
    let place = Place::new(&numbers(), &rest);
    let length = |redis: &Redis| redis.query(["LLEN", "list"]).integer();
    let run = || Tidegate::new(&["run", "--data-dir"]).arg(place.path("data")).arg(place.path("p.toml"));
    let mut running = run().start();
    until("all is there", || length(&redis) == Some(EVENTS as i64));
    redis.restart();
    std::fs::write(place.path("in"), numbers() + "more\n").unwrap();
    let said = running.end().expect(1).stderr;
    assert!(said.contains("is gone from Redis") && said.contains("--start-over"), "{said}");
    assert_eq!(redis.query(["DBSIZE"]).integer(), Some(0), "nothing is written after a loss");
    assert!(run().end().expect(1).stderr.contains("--start-over"));
    let mut restarted = run().arg("--start-over").start();
    until("all is there again", || length(&redis) == Some(EVENTS as i64 + 1));
    restarted.signal("TERM");
    restarted.end().expect(0);
}

/// The pause before the next attempt is much longer than the drain deadline.
#[test]
fn signal_during_a_long_pause_ends_the_run_at_the_deadline_and_the_next_run_delivers_all() {
    let mut redis = Redis::start();
    redis.stop();
    let rest = format!(
        "[pipeline]\ndrain_timeout = \"300ms\"\n---\n[sink.out]\nplugin = \"redis\"\nurl = \"{}\"\n\
         command = \"rpush\"\nkey = \"list\"\nretry = {{ base = \"30s\", cap = \"60s\" }}\n",
        redis.url()
    );
    let place = Place::new(&numbers(), &rest);
    let run = || Tidegate::new(&["run", "--data-dir"]).arg(place.path("data")).arg(place.path("p.toml"));
    let mut running = run().args(["--admin", "127.0.0.1:0"]).start();
    running.wait_for("tries again in");
    let admin = running.address("admin listening on");
    until("something is read", || {
        let status: serde_json::Value =
            serde_json::from_str(&http(admin, "GET /status", "", &[]).body).unwrap_or_default();
        status["graphs"][0]["in_flight_events"].as_u64().is_some_and(|events| events > 0)
    });
    running.signal("TERM");
    let said = running.end().expect(3).stderr;
    assert!(said.contains("will be read again, 0 lost"), "{said}");
    redis.restart();
    run().end().expect(0);
    assert_eq!(redis.query(["LLEN", "list"]).integer(), Some(EVENTS as i64));
}
