use tidegate_config::{EngineOptions, Graph, Settings};
use tidegate_sdk::{Batch, ConfigError, Delivery, Plugin, Sink, Source, SourceBatch, async_trait};

use super::*;

struct Door(&'static str);

#[async_trait]
impl Source for Door {
    async fn open(&mut self, _: &Cx) -> Result<(), Error> {
        match self.0 {
            "open" => Ok(()),
            "panic" => panic!("as asked"),
            reason => Err(Error::retry(reason)),
        }
    }
    async fn next(&mut self, _: &Cx) -> Result<Option<SourceBatch>, Error> {
        Ok(None)
    }
}

struct Silent;

#[async_trait]
impl Sink for Silent {
    async fn open(&mut self, _: &Cx) -> Result<(), Error> {
        std::future::pending().await
    }
    async fn write(&mut self, _: &Batch, _: &Cx) -> Result<Delivery, Error> {
        Ok(Delivery::complete())
    }
}

fn node(name: &str, plugin: Plugin) -> Node {
    Node {
        name: name.into(),
        plugin,
        options: serde_json::Value::Null,
        inputs: Vec::new(),
        outputs: Vec::new(),
        engine: EngineOptions::default(),
        capabilities: std::sync::Arc::default(),
    }
}

fn door(name: &str, state: &'static str) -> Node {
    node(name, Plugin::source("door", "", "", move |(): ()| Ok::<_, ConfigError>(Door(state))))
}

#[test]
fn every_source_is_reported_although_others_fail() {
    let nodes = vec![door("a", "open"), door("b", "connection refused"), door("c", "panic")];
    let pipeline = Pipeline {
        file: "p.toml".into(),
        name: "p".into(),
        id: "p".into(),
        settings: Settings::default(),
        graphs: vec![Graph { nodes }],
    };
    let connections = connect_all(std::iter::once(&pipeline)).unwrap();
    let results: Vec<_> = connections.into_iter().map(|one| (one.component, one.result)).collect();
    let expected = [
        ("a".to_owned(), Ok(())),
        ("b".to_owned(), Err("connection refused".to_owned())),
        ("c".to_owned(), Err("the plugin panicked".to_owned())),
    ];
    assert_eq!(results, expected);
}

#[tokio::test]
async fn a_sink_without_an_answer_fails_after_the_time_limit() {
    let silent = node("s", Plugin::sink("silent", "", "", |(): ()| Ok::<_, ConfigError>(Silent)));
    let result =
        open_and_close("s".into(), silent.build().map_err(|error| error.to_string()), Duration::ZERO).await;
    assert_eq!(result, Err("no answer within 0s".to_owned()));
}
