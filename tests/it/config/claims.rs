//! Resources that several components of a run claim: refused by `check`, `run` and reload.

use std::path::{Path, PathBuf};

use crate::harness::{Ended, Tidegate, free_port, until};

/// Writes these files into a folder and checks the folder.
fn check(folder: &Path, files: &[(&str, &str)]) -> Ended {
    for (name, text) in files {
        std::fs::write(folder.join(name), text).unwrap();
    }
    Tidegate::new(&["check", "."]).within(folder).end()
}

fn from(source: &str) -> String {
    format!("[source.in]\n{source}\n[sink.nothing]\nplugin = \"blackhole\"\n")
}

fn into(sink: &str) -> String {
    format!("[source.in]\nplugin = \"generate\"\nline = \"x\"\ncount = 1\n[sink.out]\n{sink}\n")
}

#[test]
fn resources_are_compared_across_the_files_of_a_run() {
    let server = |listen: &str| from(&format!("plugin = \"http_server\"\nlisten = \"{listen}\""));
    let stream = "plugin = \"redis_stream\"\nurl = \"redis://127.0.0.1:6379\"\nstream = \"s\"\ngroup = \"g\"";
    let pairs = [
        (from("plugin = \"stdin\""), from("plugin = \"stdin\""), "b.toml:1:1", "standard input"),
        (
            server("127.0.0.1:80"),
            server("localhost:80"),
            "b.toml:3:10",
            "localhost:80: `in` has 127.0.0.1:80",
        ),
        (
            into("plugin = \"file\"\npath = \"x/y\""),
            into("plugin = \"file\"\npath = \"./x/y\""),
            "b.toml:7:8",
            "the file x/y",
        ),
        (from(stream), from(stream), "b.toml:5:9", "the default consumer name of the group `g`"),
    ];
    for (first, second, place, what) in pairs {
        let folder = tempfile::tempdir().unwrap();
        let ended = check(folder.path(), &[("a.toml", &first), ("b.toml", &second)]).expect(2);
        let (error, first_place) = (&ended.stderr, place.replace("b.toml", "a.toml"));
        assert!(error.contains("error[taken]") && error.contains(what), "{error}");
        assert!(error.contains(place) && error.contains(&first_place), "{error}");
        assert!(error.ends_with("1 error"), "{error}");
    }
}

#[test]
fn resources_that_differ_may_be_used_side_by_side() {
    let server = |listen: &str| from(&format!("plugin = \"http_server\"\nlisten = \"{listen}\""));
    let stream = |name: &str| {
        from(&format!(
            "plugin = \"redis_stream\"\nurl = \"redis://127.0.0.1:6379\"\nstream = \"s\"\ngroup = \"g\"\nconsumer = \"{name}\""
        ))
    };
    let file = |path: &str| into(&format!("plugin = \"file\"\npath = \"{path}\""));
    let texts = [
        from("plugin = \"stdin\""),
        from("plugin = \"stdin\"\nenabled = false"),
        server("127.0.0.1:80"),
        server("127.0.0.2:80"),
        server("127.0.0.1:0"),
        server("127.0.0.1:0"),
        stream("one"),
        stream("two"),
        file("one"),
        file("two"),
        file("/dev/null"),
        file("/dev/null"),
        into("plugin = \"stdout\""),
        into("plugin = \"stdout\""),
    ];
    let folder = tempfile::tempdir().unwrap();
    let names: Vec<String> = (0..texts.len()).map(|number| format!("{number}.toml")).collect();
    let files: Vec<(&str, &str)> =
        names.iter().map(String::as_str).zip(texts.iter().map(String::as_str)).collect();
    let ended = check(folder.path(), &files);
    // The disabled source is all that is refused: it was the only one of its file.
    assert!(!ended.stderr.contains("taken") && ended.stderr.ends_with("1 error"), "{}", ended.stderr);
}

#[test]
fn one_file_under_two_names_is_one_file() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("real")).unwrap();
    std::os::unix::fs::symlink("real", folder.path().join("link")).unwrap();
    let absolute = folder.path().join("link/new/out").display().to_string();
    for other in ["link/new/out", "real/../link/new/out", absolute.as_str()] {
        let file = |path: &str| into(&format!("plugin = \"file\"\npath = \"{path}\""));
        let ended =
            check(folder.path(), &[("a.toml", &file("real/new/out")), ("b.toml", &file(other))]).expect(2);
        assert!(ended.stderr.contains("error[taken]"), "{other}: {}", ended.stderr);
    }
}

#[test]
fn the_admin_server_has_its_address_first() {
    let port = free_port();
    let listen =
        format!("plugin = \"http_server\"\nlisten = \"0.0.0.0:{port}\"\ntoken = \"long-and-random\"");
    let admin = format!("127.0.0.1:{port}");
    let ended = Tidegate::pipeline(&from(&listen)).args(["--admin", &admin]).end().expect(2);
    assert!(
        ended
            .stderr
            .contains(&format!("`in` cannot have 0.0.0.0:{port}: the admin server listens on {admin}")),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_reload_that_claims_what_another_pipeline_has_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let pipelines: PathBuf = folder.path().join("pipelines");
    std::fs::create_dir(&pipelines).unwrap();
    let out = folder.path().join("out");
    let ticks = format!(
        "[source.ticks]\nplugin = \"generate\"\nquery = '{{n: $n}}'\nrate = 1000\n[sink.out]\nplugin = \"file\"\npath = \"{}\"\n",
        out.display()
    );
    std::fs::write(pipelines.join("a.toml"), &ticks).unwrap();
    let mut running = Tidegate::run(&[&pipelines]).start();
    let lines = || std::fs::read_to_string(&out).unwrap_or_default().lines().count();
    until("some lines", || lines() > 10);
    std::fs::write(pipelines.join("b.toml"), &ticks).unwrap();
    running.signal("HUP");
    let refused = running.wait_for("reload refused: ");
    assert!(refused.contains("1 error in the pipeline files"), "{refused}");
    let before = lines();
    until("it runs on", || lines() > before + 10);
    running.signal("TERM");
    let ended = running.end().expect(0);
    assert!(ended.stderr.contains("error[taken]") && ended.stderr.contains("a.toml:7:8"), "{}", ended.stderr);
}

#[test]
fn sinks_that_share_standard_output_do_not_tear_lines() {
    // Lines longer than what a pipe takes at once, from two graphs at the same time.
    let graph = |name: &str, letter: &str| {
        format!(
            "[source.{name}]\nplugin = \"generate\"\nline = \"{}\"\ncount = 300\n[sink.{name}_out]\nplugin = \"stdout\"\nbatch = {{ events = 7 }}\n",
            letter.repeat(10_000)
        )
    };
    let ended = Tidegate::pipeline(&(graph("a", "a") + &graph("b", "b"))).end().expect(0);
    let (a, b) = ("a".repeat(10_000), "b".repeat(10_000));
    assert_eq!(ended.lines().len(), 600);
    assert!(ended.lines().iter().all(|line| *line == a || *line == b), "a line is torn");
}
