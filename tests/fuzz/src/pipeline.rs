//! The text of a pipeline file.

use std::cell::OnceCell;

use tidegate_config::{Environment, Override, Text, load, render, to_json};
use tidegate_sdk::Registry;

thread_local! {
    static REGISTRY: OnceCell<Registry> = const { OnceCell::new() };
}

fn registry() -> Registry {
    let plugins = [
        tidegate_file::plugins,
        tidegate_flow::plugins,
        tidegate_metric::plugins,
        tidegate_http::plugins,
        tidegate_jq::plugins,
        tidegate_redis::plugins,
        tidegate_text::plugins,
    ];
    Registry::new(plugins.into_iter().flat_map(|plugins| plugins()))
}

/// The bytes are a pipeline file. It is loaded, or refused with diagnostics. No message contains a secret.
pub(crate) fn pipeline(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let text = Text { path: "fuzz.toml".into(), text: text.into() };
    let environment = Environment {
        variable: &|name| (name == "TOKEN").then(|| "s3cret-value".to_owned()),
        secret_file: &|_| Ok("s3cret-value".to_owned()),
        library: &|_, _| Ok(Vec::new()),
    };
    let overrides = [Override::parse("a.url=http://h").expect("this is an override")];
    REGISTRY.with(|known| {
        let registry = known.get_or_init(registry);
        for overrides in [&overrides[..], &[]] {
            let loaded = load(&text, registry, &environment, overrides);
            assert!(loaded.pipeline.is_some() || !loaded.diagnostics.is_empty(), "a refusal has a reason");
            for color in [false, true] {
                let shown = render(&loaded.diagnostics, &text, color);
                assert!(!shown.contains("s3cret-value"), "{shown}");
            }
            to_json(&loaded.diagnostics, &text);
        }
    });
}
