//! Generated parts of the plugins' READMEs. A test rewrites them from the registry, and fails if a file has changed.

use std::fs;
use std::path::Path;

use tidegate_config::OptionDoc;
use tidegate_sdk::{Kind, Plugin};

use crate::registry::builtin;

const OPTIONS: (&str, &str) = ("<!-- options -->", "<!-- /options -->");
const PLUGINS: (&str, &str) = ("<!-- plugins -->", "<!-- /plugins -->");

/// Index of the plugins, if there is none yet.
const INDEX: &str = "\
# Plugins

Sources, filters and sinks of a pipeline. Each folder is a crate for one system.
`tidegate plugins show NAME` prints the same manuals on the command line.

<!-- plugins -->
<!-- /plugins -->
";

#[test]
fn the_readmes_of_the_plugins_are_up_to_date() {
    let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins");
    let mut changed = Vec::new();
    let mut rewrite = |path: &Path, change: &dyn Fn(String) -> Result<String, String>| {
        let before = fs::read_to_string(path).unwrap_or_default();
        let after = change(before.clone()).unwrap_or_else(|problem| panic!("{}: {problem}", path.display()));
        if after != before {
            fs::write(path, after).unwrap();
            changed.push(path.display().to_string());
        }
    };
    for builtin::Crate { folder, plugins: of_crate, .. } in builtin::CRATES {
        let of_crate = of_crate();
        if !of_crate.is_empty() {
            rewrite(&plugins.join(folder).join("README.md"), &|text| with_options(text, &of_crate));
        }
    }
    rewrite(&plugins.join("README.md"), &|text| {
        let text = if text.is_empty() { INDEX.to_owned() } else { text };
        replaced(&text, 0, PLUGINS, &plugin_table())
    });
    rewrite(&plugins.join("../pipelines/README.md"), &with_engine_keys);
    assert!(
        changed.is_empty(),
        "these files were out of date and have been rewritten; commit them: {changed:#?}"
    );
}

/// Replaces the tables of the keys of `[pipeline]` and of the engine's keys of each kind.
fn with_engine_keys(text: String) -> Result<String, String> {
    let mut tables = vec![("pipeline", tidegate_config::pipeline_options())];
    for kind in [Kind::Source, Kind::Filter, Kind::Sink] {
        tables.push((kind.name(), tidegate_config::engine_options(kind)));
    }
    let mut text = text;
    let at = heading_at(&text, "## The pipeline file").ok_or("there is no heading `## The pipeline file`")?;
    for (name, options) in tables {
        let markers = (format!("<!-- options {name} -->"), format!("<!-- /options {name} -->"));
        text = replaced(&text, at, (&markers.0, &markers.1), &option_table(&options))?;
    }
    Ok(text)
}

/// Requires that an option with a list of words states its default.
#[test]
fn options_that_are_words_state_their_defaults() {
    let plugins = builtin::registry();
    let silent: Vec<String> = plugins
        .iter()
        .flat_map(|plugin| {
            let options = tidegate_config::options(plugin).into_iter();
            let silent = options.filter(|one| {
                let is_word = one.type_name.starts_with("one of") && !one.required && one.default.is_none();
                is_word
                    && !["efault", "not by default", "With `"]
                        .iter()
                        .any(|word| one.description.contains(word))
            });
            silent.map(|one| format!("{} {}: {}", plugin.kind(), plugin.name(), one.name))
        })
        .collect();
    assert!(silent.is_empty(), "{silent:#?}");
}

/// Replaces the table of options under the heading of each plugin in the README of its crate.
fn with_options(mut text: String, plugins: &[Plugin]) -> Result<String, String> {
    for plugin in plugins {
        let heading = format!("## {} {}", plugin.kind(), plugin.name());
        let at = heading_at(&text, &heading).ok_or_else(|| format!("there is no heading `{heading}`"))?;
        let table = option_table(&tidegate_config::options(plugin));
        text = replaced(&text, at, OPTIONS, &table)
            .map_err(|problem| format!("under `{heading}`, {problem}"))?;
    }
    Ok(text)
}

/// Finds the end of the line that equals `heading`.
fn heading_at(text: &str, heading: &str) -> Option<usize> {
    let mut end = 0;
    for line in text.split_inclusive('\n') {
        end += line.len();
        if line.trim_end() == heading {
            return Some(end);
        }
    }
    None
}

/// Replaces the text between the first pair of markers after byte `from` and before the next heading.
fn replaced(text: &str, from: usize, (open, close): (&str, &str), body: &str) -> Result<String, String> {
    let end = text[from..].find("\n## ").map_or(text.len(), |at| from + at);
    let section = &text[from..end];
    let missing = |marker| format!("there is no `{marker}`");
    let start = from + section.find(open).ok_or_else(|| missing(open))? + open.len();
    let stop = start + text[start..end].find(close).ok_or_else(|| missing(close))?;
    Ok(format!("{}\n{body}{}", &text[..start], &text[stop..]))
}

fn option_table(options: &[OptionDoc]) -> String {
    if options.is_empty() {
        return "It has no options of its own.\n".to_owned();
    }
    let mut table = "| option | type | default | what it does |\n| --- | --- | --- | --- |\n".to_owned();
    for option in options {
        let default = match (&option.default, option.required) {
            (_, true) => "required".to_owned(),
            (Some(default), false) => format!("`{default}`"),
            (None, false) => String::new(),
        };
        let (kind, description) = (cell(&option.type_name), cell(&option.description));
        table.push_str(&format!("| `{}` | {kind} | {} | {description} |\n", option.name, cell(&default)));
    }
    table
}

/// Formats text for a cell of a Markdown table: one line, without a bare bar.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

fn plugin_table() -> String {
    let mut rows = Vec::new();
    for builtin::Crate { folder, plugins: of_crate, .. } in builtin::CRATES {
        rows.extend(of_crate().into_iter().map(|plugin| (plugin.kind(), folder, plugin)));
    }
    rows.sort_by(|(kind, _, a), (other, _, b)| (kind, a.name()).cmp(&(other, b.name())));
    let mut table = "| kind | plugin | what it does |\n| --- | --- | --- |\n".to_owned();
    for (kind, folder, plugin) in rows {
        let link = format!("[`{0}`]({folder}/README.md#{kind}-{0})", plugin.name());
        table.push_str(&format!("| {} | {link} | {} |\n", Kind::name(kind), cell(plugin.summary())));
    }
    table
}

#[test]
fn only_what_is_between_the_markers_of_the_heading_changes() {
    let text = "# x\n\n## source a\n\nkeep\n<!-- options -->old<!-- /options -->\n\n## sink a\n<!-- options -->\n<!-- /options -->\nend\n";
    let at = heading_at(text, "## sink a").unwrap();
    let once = replaced(text, at, OPTIONS, "new\n").unwrap();
    assert!(once.contains("<!-- options -->old<!-- /options -->"), "{once}");
    assert!(once.ends_with("<!-- options -->\nnew\n<!-- /options -->\nend\n"), "{once}");
    assert_eq!(replaced(&once, at, OPTIONS, "new\n").unwrap(), once, "rewriting twice changes nothing");
}

#[test]
fn a_section_without_markers_does_not_take_those_of_the_next() {
    let text = "## source a\n\n## sink a\n<!-- options --><!-- /options -->\n";
    let at = heading_at(text, "## source a").unwrap();
    assert_eq!(replaced(text, at, OPTIONS, "").unwrap_err(), "there is no `<!-- options -->`");
    assert_eq!(heading_at(text, "## source"), None);
}

#[test]
fn a_row_has_one_line_and_no_bare_bar() {
    let option = OptionDoc {
        name: "mode".to_owned(),
        type_name: "one of a | b".to_owned(),
        default: Some("\"a\"".to_owned()),
        required: false,
        description: "One line.\nAnother.".to_owned(),
    };
    let row = option_table(&[option]).lines().last().unwrap().to_owned();
    assert_eq!(row, r#"| `mode` | one of a \| b | `"a"` | One line. Another. |"#);
}
