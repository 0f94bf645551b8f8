//! PLUGIN: reads a file, each line as an event, and resumes where it was.

use std::io::SeekFrom;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_sdk::{Cx, Error, Plugin, Position, Replay, Source, SourceBatch, async_trait, framing::Lines};
use tokio::{fs::File, io::AsyncSeekExt};

/// Options in the pipeline file. `tidegate plugins show` prints these comments.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    /// The file, such as `"/var/log/app.log"`.
    path: PathBuf,
}

struct ReadLines {
    path: PathBuf,
    open: Option<(File, Lines)>,
}

impl ReadLines {
    fn failed(&self, error: impl std::fmt::Display) -> Error {
        Error::retry(format!("{}: {error}", self.path.display()))
    }
}

#[async_trait]
impl Source for ReadLines {
    async fn open(&mut self, cx: &Cx) -> Result<(), Error> {
        let done = cx.resume("").map_or(Ok(0), Position::read)?;
        let mut file = File::open(&self.path).await.map_err(|error| self.failed(error))?;
        file.seek(SeekFrom::Start(done)).await.map_err(|error| self.failed(error))?;
        self.open = Some((file, Lines::new(cx.event_size()).starting_at(done)));
        Ok(())
    }

    async fn next(&mut self, cx: &Cx) -> Result<Option<SourceBatch>, Error> {
        let Some((file, lines)) = &mut self.open else { return Ok(None) };
        if cx.is_stopping() {
            return Ok(None);
        }
        let read = lines.read(file).await;
        read.map_err(|error| self.failed(error))
    }

    fn replay(&self) -> Replay {
        Replay::Position
    }
}

/// The plugins of this library.
pub fn plugins() -> Vec<Plugin> {
    let sample = "[source.log]\nplugin = \"PLUGIN\"\npath = \"/var/log/app.log\"\n";
    let build = |options: Options| Ok(ReadLines { path: options.path, open: None });
    vec![Plugin::source("PLUGIN", "reads a file, each line as an event", sample, build)]
}

tidegate_export::export_plugin!(plugins);

#[cfg(test)]
mod tests {
    use tidegate_sdk::{Component, serde_json::json};

    use super::*;

    #[test]
    fn lines_are_read_from_where_it_was() {
        let path = std::env::temp_dir().join(format!("PLUGIN-{}", std::process::id()));
        std::fs::write(&path, "one\ntwo\n").unwrap();
        let Ok(Component::Source(mut source)) = plugins()[0].build(&json!({ "path": path })) else {
            panic!("it is a source");
        };
        let cx = Cx::new("log", Default::default()).with_resume([(String::new(), Position::new(&4))].into());
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            source.open(&cx).await.unwrap();
            assert_eq!(source.next(&cx).await.unwrap().unwrap().batch.texts(), ["two"]);
            assert!(source.next(&cx).await.unwrap().is_none());
        });
        std::fs::remove_file(path).unwrap();
    }
}
