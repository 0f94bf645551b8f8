//! Commands other than `run`.

use serde_json::Value;

use crate::harness::{Tidegate, free_port, root};

#[test]
fn ten_mistakes_are_ten_diagnostics() {
    let ended = Tidegate::new(&["check", "tests/rejected/ten-mistakes.toml"]).end().expect(2);
    assert_eq!(ended.stderr.matches("error[").count(), 10, "{}", ended.stderr);
    let json =
        Tidegate::new(&["check", "--format", "json", "tests/rejected/ten-mistakes.toml"]).end().expect(2);
    let printed: Value = serde_json::from_str(&json.stdout).unwrap();
    assert!(printed.to_string().contains("\"line\":"), "{printed}");
    // `run` refuses it with the same text, before anything starts.
    let run = Tidegate::new(&["run", "tests/rejected/ten-mistakes.toml"]).end().expect(2);
    assert_eq!(run.stderr.matches("error[").count(), 10);
}

/// Runs every file under `tests/rejected` and compares the output with the text beside it. The exit code is 2.
#[test]
fn rejected_files_are_refused_with_their_text() {
    let folder = root().join("tests/rejected");
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let name = path.file_name().unwrap();
        let ended = Tidegate::new(&["check"]).arg(name).within(&folder).end();
        let expected = path.with_extension("txt");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&expected, &ended.stderr).unwrap();
        }
        let expected = std::fs::read_to_string(expected).unwrap_or_default();
        assert_eq!(ended.stderr.trim(), expected.trim(), "{}; UPDATE=1 blesses", path.display());
        count += 1;
    }
    assert!(count >= 25, "{count} files");
}

#[test]
fn folder_check_skips_files_whose_libraries_are_not_built() {
    let folder = tempfile::tempdir().unwrap();
    let library = "# Build it first:\n#\n#   cc -shared -o libx.so x.c\n\n[plugins]\nlibraries = [\"./libx.so\"]\n[source.in]\nplugin = \"x\"\n[sink.out]\nplugin = \"stdout\"\n";
    let whole = "[source.in]\nplugin = \"stdin\"\n[sink.out]\nplugin = \"stdout\"\n";
    std::fs::write(folder.path().join("library.toml"), library).unwrap();
    std::fs::write(folder.path().join("whole.toml"), whole).unwrap();
    let ended = Tidegate::new(&["check"]).arg(folder.path()).end().expect(0);
    assert!(ended.stdout.contains("ok: 1 file, 1 graph, 1 skipped"), "{}", ended.stdout);
    assert!(ended.stderr.contains("library.toml is skipped: "), "{}", ended.stderr);
    assert!(ended.stderr.contains("to build it: cc -shared -o libx.so x.c"), "{}", ended.stderr);
    // The file itself is an error, and so is another problem of it.
    Tidegate::new(&["check"]).arg(folder.path().join("library.toml")).end().expect(2);
    std::fs::write(folder.path().join("library.toml"), format!("{library}colour = 1\n")).unwrap();
    let ended = Tidegate::new(&["check"]).arg(folder.path()).end().expect(2);
    assert!(ended.stderr.contains("colour"), "{}", ended.stderr);
}

#[test]
fn every_plugin_has_a_manual() {
    let list = Tidegate::new(&["plugins"]).end().expect(0);
    let plugins = [
        "stdin",
        "file",
        "generate",
        "http_poll",
        "http_server",
        "exec",
        "jq",
        "route",
        "parse",
        "dedupe",
        "throttle",
        "sample",
        "http",
        "stdout",
        "redis",
        "http_response",
        "blackhole",
    ];
    for plugin in plugins {
        assert!(list.stdout.contains(plugin), "{plugin} is not in the list:\n{}", list.stdout);
        let show = Tidegate::new(&["plugins", "show", plugin]).end().expect(0);
        assert!(show.stdout.contains("plugin = "), "{plugin} has no sample:\n{}", show.stdout);
    }
    let unknown = Tidegate::new(&["plugins", "show", "reddis"]).end().expect(2);
    assert!(unknown.stderr.contains("redis"), "{}", unknown.stderr);
}

/// Every sentence of a manual is printed, not only the sample and the options.
#[test]
fn manual_of_the_pipeline_file_has_each_list_of_keys_once() {
    let shown = Tidegate::new(&["plugins", "show", "pipeline"]).end().expect(0).stdout;
    for heading in
        ["Keys of [pipeline]", "Keys of every source", "Keys of every filter", "Keys of every sink"]
    {
        assert_eq!(shown.lines().filter(|line| *line == heading).count(), 1, "{heading}:\n{shown}");
    }
    assert!(!shown.contains("Keys of the pipeline"), "{shown}");
}

#[test]
fn manuals_are_printed_whole() {
    let words = |text: &str| -> Vec<String> {
        let plain = text.replace("**", "").replace(['[', ']'], "");
        plain.split_whitespace().map(str::to_owned).collect()
    };
    let folder = std::fs::read_dir(root().join("plugins")).unwrap();
    let mut sections = 0;
    for path in folder.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        let readme = std::fs::read_to_string(path.join("README.md")).unwrap();
        let (introduction, rest) = readme.split_once("\n## ").unwrap();
        for section in rest.split("\n## ") {
            let (heading, body) = section.split_once('\n').unwrap();
            let (kind, name) = heading.split_once(' ').unwrap();
            let shown = Tidegate::new(&["plugins", "show", name, "--kind", kind]).end().expect(0).stdout;
            assert!(!shown.contains('\x1b') && !shown.contains("<!--"), "{heading}: {shown}");
            assert!(
                shown.lines().filter(|line| !line.starts_with("    ")).all(|line| line.chars().count() <= 80),
                "{heading}: {shown}"
            );
            let printed = words(&shown).join(" ");
            let manual = introduction.lines().skip(1).chain(body.lines());
            // Tables are laid out again, and links lose their targets.
            let plain = manual
                .filter(|line| !line.starts_with('|') && !line.contains("](") && !line.contains("<!--"));
            for line in plain.filter(|line| !line.starts_with("```")) {
                let line = words(line.trim_start_matches('#')).join(" ");
                assert!(printed.contains(&line), "{heading} lacks {line:?}:\n{shown}");
            }
            sections += 1;
        }
    }
    assert!(sections > 20, "{sections}");
    let pipeline = Tidegate::new(&["plugins", "show", "pipeline"]).end().expect(0).stdout;
    for key in [
        "drain_timeout",
        "event_size",
        "dead_letters",
        "from",
        "on_reject",
        "isolation",
        "concurrency",
        "${file:",
    ] {
        assert!(pipeline.contains(key), "{key}:\n{pipeline}");
    }
}

/// Every pipeline in the manuals passes `check`.
#[test]
fn pipelines_in_the_manuals_are_valid() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.toml");
    let mut count = 0;
    for manual in ["README.md", "pipelines/README.md"] {
        let text = std::fs::read_to_string(root().join(manual)).unwrap();
        for block in text.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()) {
            // Parts of a file have no source.
            if block.contains("[source.") && block.contains("[sink.") {
                std::fs::write(&path, block).unwrap();
                let check = Tidegate::new(&["check"]).arg(&path).env("USERS_URL", "http://127.0.0.1/users");
                let ended = check.end();
                assert_eq!(ended.code, 0, "{manual}:\n{block}\n{}", ended.stderr);
                count += 1;
            }
        }
    }
    assert!(count >= 3, "{count}");
}

#[test]
fn a_new_pipeline_checks_and_runs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.toml");
    Tidegate::new(&["new", "pipeline", "mine", "--dir"]).arg(folder.path()).end().expect(0);
    Tidegate::new(&["check"]).arg(&path).end().expect(0);
    Tidegate::new(&["new", "pipeline", "mine", "--dir"]).arg(folder.path()).end().expect(2);
    let ended = Tidegate::new(&["run", "--data-dir"]).arg(folder.path()).arg(&path).end_with(b"{\"a\":1}\n");
    ended.expect(0);
}

#[test]
fn check_connect_names_the_servers_that_do_not_answer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.toml");
    let text = format!(
        "[source.a]\nplugin = \"generate\"\nline = \"x\"\n[sink.b]\nplugin = \"redis\"\nurl = \"redis://127.0.0.1:{}\"\ncommand = \"rpush\"\nkey = \"k\"\n",
        free_port()
    );
    std::fs::write(&path, text).unwrap();
    let ended = Tidegate::new(&["check", "--connect"]).arg(&path).end().expect(1);
    let said = ended.stdout + &ended.stderr;
    assert!(said.contains("refused"), "{said}");
}

#[test]
fn graphs_schemas_and_completions_are_printed() {
    let graph = Tidegate::new(&["graph", "pipelines/fan-out.toml"]).end().expect(0);
    assert!(graph.stdout.contains("sensor") && graph.stdout.contains("hot"), "{}", graph.stdout);
    let schema = Tidegate::new(&["schema"]).end().expect(0);
    assert!(serde_json::from_str::<Value>(&schema.stdout).unwrap().is_object());
    for shell in ["bash", "zsh", "fish"] {
        assert!(!Tidegate::new(&["completions", shell]).end().expect(0).stdout.is_empty());
    }
    assert!(Tidegate::new(&["--version"]).end().expect(0).stdout.contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn wrong_arguments_are_exit_2() {
    Tidegate::new(&["run"]).end().expect(2);
    Tidegate::new(&["run", "nowhere.toml"]).end().expect(2);
    Tidegate::new(&["frobnicate"]).end().expect(2);
    Tidegate::new(&["run", "pipelines/quickstart.toml", "--memory", "lots"]).end().expect(2);
    Tidegate::new(&["run", "pipelines/quickstart.toml", "--set", "missing.key=1"]).end().expect(2);
}

#[test]
fn a_key_is_overridden_from_the_command_line() {
    let pipeline =
        "[source.a]\nplugin = \"generate\"\nline = \"x\"\ncount = 5\n[sink.b]\nplugin = \"stdout\"\n";
    let ended = Tidegate::pipeline(pipeline).arg("--set").arg("a.count=3").end().expect(0);
    assert_eq!(ended.lines().len(), 3);
}

#[test]
fn closed_standard_output_is_reported_without_a_panic() {
    let pipeline = "[source.a]\nplugin = \"generate\"\nline = \"x\"\n[sink.b]\nplugin = \"stdout\"\n";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.toml");
    std::fs::write(&path, pipeline).unwrap();
    let script = format!(
        "{} run {} --data-dir {} 2>{} | head -n 1; exit ${{PIPESTATUS[0]}}",
        env!("CARGO_BIN_EXE_tidegate"),
        path.display(),
        folder.path().display(),
        folder.path().join("err").display(),
    );
    let status = std::process::Command::new("bash").arg("-c").arg(script).output().unwrap();
    let err = std::fs::read_to_string(folder.path().join("err")).unwrap();
    assert_eq!(status.status.code(), Some(1), "{err}");
    assert!(err.contains("closed") && !err.contains("panicked"), "{err}");
}

#[test]
fn check_names_the_fast_queries() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queries.toml");
    let text = "[source.ticks]\nplugin = \"generate\"\nline = \"1\"\n\
        [filter.quick]\nplugin = \"jq\"\nquery = \"select(.a > 1) | {b}\"\n\
        [filter.slow]\nplugin = \"jq\"\nquery = \"sort\"\n\
        [sink.out]\nplugin = \"blackhole\"\n";
    std::fs::write(&path, text).unwrap();
    let ended = Tidegate::new(&["check", "--explain"]).arg(&path).end().expect(0);
    assert!(ended.stdout.contains("fast: answered from the bytes"), "{}", ended.stdout);
    assert!(ended.stdout.contains("the fast path lacks the function `sort`"), "{}", ended.stdout);
    let ended = Tidegate::new(&["check", "--explain", "--format", "json"]).arg(&path).end().expect(0);
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(report["explanations"][1]["component"], "slow");
}
