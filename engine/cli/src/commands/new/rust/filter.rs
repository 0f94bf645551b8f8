//! PLUGIN: keeps the events that hold a text.

use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_sdk::{Batch, Error, Filter, Output, Plugin};

/// Options in the pipeline file. `tidegate plugins show` prints these comments.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    /// The text to look for, such as `"error"`.
    text: String,
}

impl Filter for Options {
    fn process(&mut self, batch: &Batch, out: &mut Output) -> Result<(), Error> {
        let holds = |event: &usize| String::from_utf8_lossy(batch.payload(*event)).contains(&self.text);
        (0..batch.len()).filter(holds).for_each(|event| out.keep(event));
        Ok(())
    }

    // Events do not depend on one another, so several instances may share the work (`workers = 4`).
    fn fork(&self) -> Option<Box<dyn Filter>> {
        Some(Box::new(self.clone()))
    }
}

/// The plugins of this library.
pub fn plugins() -> Vec<Plugin> {
    let sample = "[filter.errors]\nplugin = \"PLUGIN\"\ntext = \"error\"\n";
    let summary = "keeps the events that hold a text";
    vec![Plugin::filter("PLUGIN", summary, sample, |options: Options| Ok(options))]
}

tidegate_export::export_plugin!(plugins);

#[cfg(test)]
mod tests {
    use tidegate_sdk::{Component, serde_json::json};

    use super::*;

    #[test]
    fn events_with_the_text_are_kept() {
        let Ok(Component::Filter(mut filter)) = plugins()[0].build(&json!({ "text": "b" })) else {
            panic!("it is a filter");
        };
        let mut builder = Batch::builder();
        ["a", "b", "abc"].iter().for_each(|text| builder.push_copy(text.as_bytes()));
        let batch = builder.finish();
        let mut out = Output::new(&batch);
        filter.process(&batch, &mut out).unwrap();
        assert_eq!(out.emitted()[0].1.texts(), ["b", "abc"]);
    }
}
