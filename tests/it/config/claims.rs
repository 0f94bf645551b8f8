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
            "localhost:80: `in` in ./a.toml has 127.0.0.1:80",
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
    // Only the disabled source is refused, because its file has no other source.
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
fn two_components_with_several_claims_have_one_problem() {
    let sink = into("plugin = \"file\"\npath = \"x\"\nrotate = { size = \"1MiB\" }");
    let folder = tempfile::tempdir().unwrap();
    let ended = check(folder.path(), &[("a.toml", &sink), ("b.toml", &sink)]).expect(2);
    assert!(ended.stderr.ends_with("1 error"), "{}", ended.stderr);
}

#[test]
fn hard_links_of_one_file_are_one_file() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("one"), "").unwrap();
    std::fs::hard_link(folder.path().join("one"), folder.path().join("two")).unwrap();
    let file = |path: &str| into(&format!("plugin = \"file\"\npath = \"{path}\""));
    let ended = check(folder.path(), &[("a.toml", &file("one")), ("b.toml", &file("two"))]).expect(2);
    assert!(
        ended.stderr.contains("cannot have the file two: `out` in ./a.toml has the file one"),
        "{}",
        ended.stderr
    );
    std::fs::remove_file(folder.path().join("two")).unwrap();
    std::fs::write(folder.path().join("two"), "").unwrap();
    check(folder.path(), &[]).expect(0);
}

#[test]
fn templates_that_may_name_one_file_are_a_warning() {
    let file = |path: &str| into(&format!("plugin = \"file\"\npath = \"{path}\""));
    for (one, other, expected) in [
        ("out/{.a}.jsonl", "out/{.b}.jsonl", "warning[may-be-taken]"),
        ("out/{.a}.jsonl", "./out/today.jsonl", "warning[may-be-taken]"),
        ("out/{.a}/x", "out/b/{.b}", "warning[may-be-taken]"),
        ("out/{.a}.jsonl", "out/{.a}.jsonl", "error[taken]"),
        ("out/{.a}.jsonl", "out/{.b}.csv", ""),
        ("out/a/{.a}", "out/b/{.b}", ""),
        ("out/{.a}.jsonl", "out/today.csv", ""),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let code = if expected.starts_with("error") { 2 } else { 0 };
        let ended = check(folder.path(), &[("a.toml", &file(one)), ("b.toml", &file(other))]).expect(code);
        let is_found = ended.stderr.contains("[may-be-taken]") || ended.stderr.contains("[taken]");
        assert_eq!(is_found, !expected.is_empty(), "{one} {other}: {}", ended.stderr);
        assert!(ended.stderr.contains(expected), "{one} {other}: {}", ended.stderr);
    }
}

#[test]
fn standard_output_as_a_file_excludes_the_sink_stdout() {
    let stdout = into("plugin = \"stdout\"");
    for path in ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"] {
        let file = into(&format!("plugin = \"file\"\npath = \"{path}\""));
        for (first, second) in [(&stdout, &file), (&file, &stdout)] {
            let folder = tempfile::tempdir().unwrap();
            let ended = check(folder.path(), &[("a.toml", first), ("b.toml", second)]).expect(2);
            let expected = "`out` cannot have standard output: `out` in ./a.toml has it";
            assert!(ended.stderr.contains(expected), "{path}: {}", ended.stderr);
        }
    }
}

/// A pipeline that follows `input` and writes to `output`.
fn copy(input: &str, output: &str) -> String {
    format!(
        "[source.in]\nplugin = \"file\"\npath = {input}\nfollow = true\n\
         [filter.some]\nplugin = \"jq\"\nquery = \".\"\n\
         [sink.out]\nplugin = \"file\"\npath = \"{output}\"\n"
    )
}

#[test]
fn a_source_that_reads_what_is_made_of_its_events_is_refused() {
    for (input, output, expected) in [
        ("\"data/x.log\"", "./data/x.log", "error[endless]"),
        ("[\"other\", \"data/*.log\"]", "data/x.log", "error[endless]"),
        ("\"**/*.log\"", "data/x.log", "error[endless]"),
        ("\"data/hard.log\"", "data/x.log", "error[endless]"),
        ("\"data/*.log\"", "data/{.day}.log", "warning[may-be-endless]"),
        ("\"data/*.log\"", "data/{.day}.jsonl", ""),
        // Sealed files are written too.
        ("\"data/x-*.log\"", "data/x.log\"\nrotate = { size = \"1MiB\" }#", "warning[may-be-endless]"),
        ("\"data/x-*.log\"", "data/x.log", ""),
        ("\"data/*.log\"", "data/.x.log", ""),
        ("\"data/x.log\"", "data/y.log", ""),
    ] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("data")).unwrap();
        std::fs::write(folder.path().join("data/x.log"), "").unwrap();
        std::fs::hard_link(folder.path().join("data/x.log"), folder.path().join("data/hard.log")).unwrap();
        let code = if expected.starts_with("error") { 2 } else { 0 };
        let ended = check(folder.path(), &[("a.toml", &copy(input, output))]).expect(code);
        assert_eq!(
            ended.stderr.contains("endless]"),
            !expected.is_empty(),
            "{input} {output}: {}",
            ended.stderr
        );
        assert!(ended.stderr.contains(expected), "{input} {output}: {}", ended.stderr);
    }
}

#[test]
fn pipelines_may_read_what_another_one_writes_but_not_in_a_circle() {
    let chain =
        [("a.toml", copy("\"x\"", "y")), ("b.toml", copy("\"y\"", "z")), ("c.toml", copy("\"z\"", "end"))];
    let mut files: Vec<(&str, &str)> = chain.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let folder = tempfile::tempdir().unwrap();
    check(folder.path(), &files).expect(0);
    let back = copy("\"z\"", "x");
    files[2].1 = &back;
    let ended = check(folder.path(), &files).expect(2);
    assert_eq!(ended.stderr.matches("error[endless]").count(), 3, "{}", ended.stderr);
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
    // Lines longer than an atomic write to a pipe, from two graphs at the same time.
    let graph = |name: &str, character: &str| {
        format!(
            "[source.{name}]\nplugin = \"generate\"\nline = \"{}\"\ncount = 300\n[sink.{name}_out]\nplugin = \"stdout\"\nbatch = {{ events = 7 }}\n",
            character.repeat(10_000)
        )
    };
    let ended = Tidegate::pipeline(&(graph("a", "a") + &graph("b", "b"))).end().expect(0);
    let (a, b) = ("a".repeat(10_000), "b".repeat(10_000));
    assert_eq!(ended.lines().len(), 600);
    assert!(ended.lines().iter().all(|line| *line == a || *line == b), "a line is torn");
}
