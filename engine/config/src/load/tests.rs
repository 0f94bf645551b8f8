//! Whole files, from text to pipeline or diagnostics.

use crate::{Environment, Loaded, Override, Text, load, render};

mod fuzz;
mod manual;
mod plugins;
mod wiring;

fn text(text: &str) -> Text {
    Text { path: "test.toml".to_owned(), text: text.to_owned() }
}

fn read(file: &Text, overrides: &[&str]) -> Loaded {
    let environment = Environment {
        variable: &|name| match name {
            "TOKEN" => Some("s3cret-token".to_owned()),
            "USERS_HOST" => Some("example.org".to_owned()),
            _ => None,
        },
        secret_file: &|path| match path {
            "/run/secrets/token" => Ok("s3cret-file\n".to_owned()),
            _ => Err("no such file".to_owned()),
        },
        library: &|path, _| Err(format!("`{path}` cannot be opened")),
    };
    let overrides: Vec<_> = overrides.iter().map(|one| Override::parse(one).unwrap()).collect();
    load(file, &plugins::registry(), &environment, &overrides)
}

fn rendered(source: &str, overrides: &[&str]) -> String {
    let file = text(source);
    render(&read(&file, overrides).diagnostics, &file, false)
}

/// The codes of all diagnostics, with the place of each.
fn codes(source: &str) -> Vec<String> {
    let file = text(source);
    let codes = read(&file, &[]).diagnostics.into_iter().map(|one| match one.line_column(&file) {
        Some((line, column)) => format!("{} {line}:{column}", one.code),
        None => one.code.to_owned(),
    });
    codes.collect()
}

#[test]
fn the_first_pipeline_of_the_manual_loads() {
    let file = text(include_str!("tests/active-users.toml"));
    let loaded = read(&file, &[]);
    assert_eq!(render(&loaded.diagnostics, &file, false), "");
    let pipeline = loaded.pipeline.unwrap();
    assert_eq!((&*pipeline.name, &*pipeline.id), ("test", "test"));
    let names: Vec<&str> = pipeline.graphs[0].nodes.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["users", "active", "stream"]);
    assert_eq!(pipeline.graphs[0].nodes[2].options["url"], "redis://127.0.0.1:6379");
    assert!(!format!("{pipeline:?}").contains("127.0.0.1"));
}

#[test]
fn ten_mistakes_are_ten_diagnostics() {
    let source = include_str!("../../../../tests/rejected/ten-mistakes.toml");
    let expected: Vec<String> = source
        .lines()
        .enumerate()
        .flat_map(|(line, text)| {
            text.split("#! ").skip(1).map(move |expected| (line + 1, expected.to_owned()))
        })
        .map(|(line, expected)| {
            let (code, column) = expected.trim().split_once(' ').unwrap();
            format!("{code} {line}:{column}")
        })
        .collect();
    assert_eq!(expected.len(), 10);
    assert_eq!(codes(source), expected);
}

#[test]
fn secrets_are_never_shown() {
    let source = "[source.in]\nplugin = 'stdin'\n[sink.out]\nplugin = 'redis'\nurl = 'http://${TOKEN}@x'\n\
                  command = '${file:/run/secrets/token}'\nkey = '${TOKEN}{'\nttl = '${TOKEN}'\n";
    let shown = rendered(source, &[]);
    assert!(!shown.contains("s3cret"), "{shown}");
    assert_eq!(codes(source), ["bad-option 5:7", "wrong-value 6:11", "wrong-value 7:7", "wrong-unit 8:7"]);

    assert!(
        !rendered("[source.in]\nplugin = 'stdin'\n[sink.out]\nplugin = 'stdout'\nfrom = '${TOKEN}'\n", &[])
            .contains("s3cret")
    );

    let built = source.replace("${file:/run/secrets/token}", "set").replace("}{'", "}'").replace("ttl", "#");
    let shown = rendered(&built, &[]);
    assert!(shown.contains("`http://***@x` is not the address of a Redis server"), "{shown}");
    assert!(!shown.contains("s3cret"), "{shown}");
}

#[test]
fn overrides_change_the_file() {
    let source = include_str!("tests/active-users.toml");
    let sets = [
        "users.interval=5s",
        "pipeline.name=other",
        "stream.retry.attempts=3",
        "users.headers.a=1b",
        "stream.key=x",
    ];
    let file = text(source);
    let loaded = read(&file, &sets);
    assert_eq!(render(&loaded.diagnostics, &file, false), "");
    let pipeline = loaded.pipeline.unwrap();
    let nodes = &pipeline.graphs[0].nodes;
    assert_eq!((&*pipeline.name, &*pipeline.id), ("other", "other"));
    assert_eq!(nodes[0].options["interval"], "5s");
    assert_eq!(nodes[0].options["headers"]["a"], "1b");
    assert_eq!(nodes[2].engine.retry.attempts, Some(3));
    assert_eq!(nodes[2].options["key"], "x");
}

#[test]
fn wrong_overrides_are_reported_without_a_place() {
    let source = include_str!("tests/active-users.toml");
    assert_eq!(
        rendered(source, &["user.interval=5s", "users.url.x=1", "users.interval=5"]),
        "error[unknown-override]: `--set user.interval` names no component of this file\n\
         --> test.toml\n = did you mean `users.interval`?\n\n\
         error[bad-override]: `--set users.url.x` has no place: `url` is not a table\n--> test.toml\n\n\
         error[wrong-unit]: `interval` is a duration, so it needs a unit\n--> test.toml\n \
         = it comes from `--set users.interval=...`\n = write it like `interval = \"5s\"`\n"
    );
    assert_eq!(Override::parse("a=b").unwrap_err(), "`a` is not an override; write it like `NAME.KEY=VALUE`");
    assert!(Override::parse("a.b").is_err());
    assert!(Override::parse("a..b=1").is_err());
}

#[test]
fn editors_get_places() {
    let file = text("\u{feff}[source.in]\nplugin = 'stdin'\nö = 'x'\n[sink.out]\nplugin = 'stdout'\n");
    let diagnostics = read(&file, &[]).diagnostics;
    let json = crate::to_json(&diagnostics, &file);
    assert_eq!(json.as_array().unwrap().len(), diagnostics.len());
    let first = json[0].as_object().unwrap();
    assert_eq!(first["severity"], "error");
    assert_eq!(first["line"], 3);
}

#[test]
fn byte_order_marks_and_carriage_returns_are_no_trouble() {
    let source = include_str!("tests/active-users.toml").replace('\n', "\r\n");
    let marked = format!("\u{feff}{source}");
    assert!(read(&text(&marked), &[]).pipeline.is_some());
    assert_eq!(codes("\u{feff}x = 1\r\n[source.a]\r\n"), ["unknown-table 1:1", "missing-key 2:1", "no-sink"]);
    let shown = rendered("\u{feff}x = 1\n", &[]);
    assert!(shown.contains(" --> test.toml:1:1\n  |\n1 | x = 1\n  | ^\n"), "{shown}");
}

#[test]
fn a_file_of_comments_has_neither_source_nor_sink() {
    assert_eq!(codes("# nothing yet\n"), ["no-source", "no-sink"]);
    assert_eq!(codes(""), ["empty"]);
    assert_eq!(codes("\u{feff} \r\n"), ["empty"]);
}

#[test]
fn the_pipeline_table_sets_defaults() {
    let source = "[pipeline]\nname = 'a.b'\nid = 'c'\nworkers = 3\nmemory = '1MiB'\ndrain_timeout = '5s'\n\
                  [source.in]\nplugin = 'stdin'\non_reject = 'stop'\n[filter.f]\nplugin = 'jq'\nquery = '.'\n\
                  [sink.out]\nplugin = 'stdout'\nbatch = { events = 1 }\nrequired = false\n";
    let pipeline = read(&text(source), &[]).pipeline.unwrap();
    let nodes = &pipeline.graphs[0].nodes;
    assert_eq!((&*pipeline.name, &*pipeline.id), ("a.b", "c"));
    assert_eq!(pipeline.settings.event_size.bytes(), 1 << 20);
    assert_eq!(pipeline.settings.drain_timeout.as_secs(), 5);
    assert_eq!(nodes[0].engine.on_reject, Some(crate::OnReject::Stop));
    assert_eq!(nodes[1].engine.workers, 3);
    assert_eq!(nodes[2].engine.batch.events, 1);
    assert_eq!(nodes[2].engine.batch.bytes.bytes(), 1 << 20);
    assert!(!nodes[2].engine.required);
}

#[test]
fn order_is_kept_unless_something_else_is_asked_of_several_workers() {
    let with = |keys: &str| {
        format!(
            "[source.in]\nplugin = 'stdin'\n[filter.f]\nplugin = 'jq'\nquery = '.'\n{keys}\n[sink.out]\nplugin = 'stdout'\n"
        )
    };
    let order = |keys: &str| read(&text(&with(keys)), &[]).pipeline.unwrap().graphs[0].nodes[1].engine.order;
    assert!(order("workers = 2"));
    assert!(!order("workers = 2\norder = false"));
    assert_eq!(codes(&with("workers = 2\norder = false")), [""; 0]);
    assert_eq!(codes(&with("order = false")), ["idle-key 6:1"], "one worker keeps it");
}
