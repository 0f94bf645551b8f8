//! PLUGIN: appends each event to a file, as a line.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_sdk::{Batch, Cx, Delivery, Error, Plugin, Sink, async_trait};
use tokio::{fs::OpenOptions, io::AsyncWriteExt};

/// Options in the pipeline file. `tidegate plugins show` prints these comments.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Append {
    /// The file, which is made if there is none.
    path: PathBuf,
}

#[async_trait]
impl Sink for Append {
    // What the answer does not name is delivered: it survives a crash from now on.
    async fn write(&mut self, batch: &Batch, _cx: &Cx) -> Result<Delivery, Error> {
        let failed = |error| Error::retry(format!("{}: {error}", self.path.display()));
        let mut lines = Vec::with_capacity(batch.bytes() + batch.len());
        for payload in batch.payloads() {
            lines.extend_from_slice(payload);
            lines.push(b'\n');
        }
        let mut options = OpenOptions::new();
        let mut file = options.append(true).create(true).open(&self.path).await.map_err(failed)?;
        file.write_all(&lines).await.map_err(failed)?;
        file.sync_data().await.map_err(failed)?;
        Ok(Delivery::complete())
    }
}

/// The plugins of this library.
pub fn plugins() -> Vec<Plugin> {
    let sample = "[sink.file]\nplugin = \"PLUGIN\"\npath = \"out.txt\"\n";
    let summary = "appends each event to a file, as a line";
    vec![Plugin::sink("PLUGIN", summary, sample, |options: Append| Ok(options))]
}

tidegate_export::export_plugin!(plugins);

#[cfg(test)]
mod tests {
    use tidegate_sdk::{Component, serde_json::json};

    use super::*;

    #[test]
    fn each_event_is_a_line() {
        let path = std::env::temp_dir().join(format!("PLUGIN-{}", std::process::id()));
        let Ok(Component::Sink(mut sink)) = plugins()[0].build(&json!({ "path": path })) else {
            panic!("it is a sink");
        };
        let mut batch = Batch::builder();
        ["a", "b"].iter().for_each(|text| batch.push_copy(text.as_bytes()));
        let batch = batch.finish();
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let cx = Cx::new("file", Default::default());
            assert!(sink.write(&batch, &cx).await.unwrap().rejected().is_empty());
        });
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "a\nb\n");
        std::fs::remove_file(path).unwrap();
    }
}
