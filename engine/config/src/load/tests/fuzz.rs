//! Nothing that anyone writes makes this crate panic.

use proptest::prelude::*;

use super::{plugins, read, text};
use crate::{Diagnostic, render, to_json};

/// Pieces of pipeline files, so that what is tried is often nearly right.
fn piece() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "[source.a]\n",
        "[filter.b]\n",
        "[sink.c]\n",
        "[[sink.c]]\n",
        "[sink.c.batch]\n",
        "[source.a.headers]\n",
        "[pipeline]\n",
        "[plugins]\n",
        "[source]\n",
        "[transform.x]\n",
        "plugin = 'http_poll'\n",
        "plugin = \"jq\"\n",
        "plugin = 'redis'\n",
        "plugin = 'file'\n",
        "plugin = 'route'\n",
        "from = 'a'\n",
        "from = ['a', 'b.rejected']\n",
        "url = \"${TOKEN}x${NO:-d}\"\n",
        "url = '''\n${file:/run/secrets/token}'''\n",
        "query = \"\"\"\\\n  \\u00e4 selec(.x)\"\"\"\n",
        "query = 'selec('\n",
        "interval = 5\n",
        "interval = \"1h\"\n",
        "auth = { type = 'basic', user = 1 }\n",
        "auth.type = 'x'\n",
        "key = 'a{.b}'\n",
        "key = '{'\n",
        "batch = { events = 0, bytes = 7 }\n",
        "workers = -1\n",
        "x = 99999999999999999999\n",
        "x = 1e999\n",
        "x = nan\n",
        "x = 2024-01-01\n",
        "enabled = false\n",
        "= \n",
        "\"",
        "'",
        "${",
        "\r\n",
        "\u{feff}",
        "\t",
        "ä",
        "[",
        "]",
        "{",
        "}",
        "#",
        "\u{0}",
        "=",
        ".",
        ",",
        "outputs = ['x', 'y']\n",
        "path = [1, 'a']\n",
        "libraries = [{ path = 'a' }]\n",
        "delivery = 'effectively_once'\n",
    ]);
    prop_oneof![8 => known.prop_map(str::to_owned), 1 => any::<String>()]
}

proptest! {
    #[test]
    fn any_text_is_loaded_or_refused(pieces in prop::collection::vec(piece(), 0..40), color: bool) {
        let file = text(&pieces.concat());
        let loaded = read(&file, &["a.url=x", "pipeline.memory=1", "b.x.y=[1]"]);
        prop_assert!(loaded.pipeline.is_some() || !loaded.diagnostics.is_empty());
        let shown = render(&loaded.diagnostics, &file, color);
        // A file cannot name what it does not hold.
        prop_assert!(!shown.contains("s3cret"), "{}", shown);
        for one in &loaded.diagnostics {
            prop_assert!(one.message.starts_with(|c: char| !c.is_uppercase()) && !one.message.ends_with('.') || one.code == "syntax", "{}", one.message);
        }
        to_json(&loaded.diagnostics, &file);
        let _ = crate::load(&file, &plugins::registry(), &crate::Environment { variable: &|_| None, secret_file: &|_| Err(String::new()), library: &|_, _| Ok(Vec::new()) }, &[]);
    }

    #[test]
    fn any_diagnostic_is_rendered(
        source in any::<String>(),
        message in any::<String>(),
        label in any::<String>(),
        ranges in prop::collection::vec((0usize..200, 0usize..200), 1..4),
        color: bool,
    ) {
        let file = text(&source);
        let mut diagnostic = Diagnostic::warning("any", message).note(label.clone());
        for (start, end) in ranges {
            diagnostic = match diagnostic.label {
                None => diagnostic.label(start..end, label.clone()),
                Some(_) => diagnostic.also(start..end, label.clone()),
            };
        }
        render(&[diagnostic.clone(), Diagnostic::error("none", "x")], &file, color);
        to_json(&[diagnostic], &file);
    }
}
