//! `tidegate schema` with a JSON Schema validator. It accepts the files that the program accepts, and names the key.

use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Tidegate, root};

/// The validator of the schema that the program prints.
fn validator(arguments: &[&str]) -> jsonschema::Validator {
    let printed = Tidegate::new(&["schema"]).args(arguments).end().expect(0);
    let schema: Value = serde_json::from_str(&printed.stdout).unwrap();
    jsonschema::draft7::new(&schema).unwrap()
}

/// A file as JSON, as editors validate it; `None` if it is not TOML.
fn parsed(path: &Path) -> Option<Value> {
    let value: toml::Value = toml::from_str(&std::fs::read_to_string(path).unwrap()).ok()?;
    serde_json::to_value(value).ok()
}

/// The places of the errors, each once.
fn places(validator: &jsonschema::Validator, file: &Value) -> Vec<String> {
    let mut places: Vec<String> =
        validator.iter_errors(file).map(|error| error.instance_path().to_string()).collect();
    places.sort_unstable();
    places.dedup();
    places
}

fn toml_files(folder: &str) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(root().join(folder)).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    files
}

#[test]
fn every_shipped_pipeline_passes() {
    let validator = validator(&[]);
    let cases = std::fs::read_dir(root().join("tests/cases")).unwrap();
    let cases = cases.map(|entry| entry.unwrap().path().join("pipeline.toml"));
    let mut count = 0;
    for path in toml_files("pipelines").into_iter().chain(cases) {
        let file = parsed(&path).unwrap();
        assert_eq!(places(&validator, &file), [""; 0], "{}", path.display());
        count += 1;
    }
    assert!(count > 10);
}

#[test]
fn refused_files_are_refused_at_their_key() {
    let validator = validator(&[]);
    let expected = [
        ("from-on-source", "/source/users"),
        ("list-of-tables", "/source/users"),
        ("misplaced-key", "/sink/out"),
        ("missing-key", "/source/users"),
        ("missing-plugin", "/sink/out"),
        ("out-of-range", "/sink/stream/concurrency"),
        ("swallowed-engine-key", "/sink/stream/retry"),
        ("unknown-key", "/source/users"),
        ("unknown-key-nested", "/sink/stream/batch"),
        ("unknown-plugin", "/source/users/plugin"),
        ("unknown-plugin-other-kind", "/filter/odd/plugin"),
        ("unknown-table", ""),
        ("wrong-type", "/source/users/url"),
        ("wrong-type-list", "/source/logs/follow"),
        ("wrong-unit", "/source/users/interval"),
        ("wrong-value", "/sink/stream/command"),
    ];
    for (name, place) in expected {
        let file = parsed(&root().join("tests/rejected").join(format!("{name}.toml"))).unwrap();
        assert_eq!(places(&validator, &file), [place], "{name}");
    }
}

#[test]
fn text_from_outside_is_accepted_where_the_program_accepts_it() {
    let validator = validator(&[]);
    let sound = |source: Value| places(&validator, &json!({ "source": { "in": source } }));
    let poll = |key: &str, value: Value| {
        let mut source = json!({ "plugin": "http_poll", "url": "${URL}", "interval": "${PAUSE:-60s}" });
        source[key] = value;
        sound(source)
    };
    assert_eq!(poll("decode", "${DECODE:-json}".into()), [""; 0]);
    assert_eq!(poll("decode", "jsn".into()), ["/source/in/decode"]);
    assert_eq!(poll("max_pages", "${PAGES}".into()), ["/source/in/max_pages"], "it makes text only");
    assert_eq!(poll("enabled", "${ON}".into()), ["/source/in/enabled"]);
    assert_eq!(sound(json!({ "plugin": "${PLUGIN}", "anything": 1 })), [""; 0]);
    assert_eq!(sound(json!({ "plugin": "stdin", "on_reject": "${X}" })), [""; 0]);
    // The program accepts and refuses the same files.
    let check = |decode: &str| {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "[source.in]\nplugin = \"stdin\"\ndecode = \"{decode}\"\n[sink.out]\nplugin = \"stdout\"\n"
        );
        std::fs::write(folder.path().join("p.toml"), text).unwrap();
        Tidegate::new(&["check", "p.toml"]).within(folder.path()).env("DECODE", "lines").end().code
    };
    assert_eq!((check("${DECODE}"), check("${DECODE:-json_array}"), check("line")), (0, 0, 2));
}

#[test]
fn plugins_of_libraries_are_lenient_in_a_file_that_names_them() {
    let validator = validator(&[]);
    let mut file = json!({
        "plugins": { "libraries": ["./libgeo.so"] },
        "filter": { "geo": { "plugin": "geo", "lines": 3, "workers": 0 } },
    });
    assert_eq!(places(&validator, &file), ["/filter/geo/workers"], "the engine's keys are known");
    file["filter"]["geo"]["workers"] = 1.into();
    assert_eq!(places(&validator, &file), [""; 0]);
    file["plugins"] = json!({});
    assert_eq!(places(&validator, &file), ["/filter/geo/plugin"]);
}
