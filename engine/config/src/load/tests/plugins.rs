//! Plugins that look like the real ones and do nothing.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_sdk::json::Path;
use tidegate_sdk::{
    Batch, ConfigError, Cx, Delivery, Duration, Error, Filter, Output, Plugin, Registry, Secret, Sink, Size,
    Source, SourceBatch, Template, async_trait,
};

struct Nothing;

#[async_trait]
impl Source for Nothing {
    async fn next(&mut self, _: &Cx) -> Result<Option<SourceBatch>, Error> {
        Ok(None)
    }
}

#[async_trait]
impl Sink for Nothing {
    async fn write(&mut self, _: &Batch, _: &Cx) -> Result<Delivery, Error> {
        Ok(Delivery::complete())
    }
}

#[derive(Default)]
struct Pass {
    outputs: Vec<String>,
    forks: bool,
}

impl Filter for Pass {
    fn process(&mut self, _: &Batch, out: &mut Output) -> Result<(), Error> {
        out.keep_all();
        Ok(())
    }
    fn fork(&self) -> Option<Box<dyn Filter>> {
        self.forks.then(|| Box::new(Pass::default()) as Box<dyn Filter>)
    }
    fn outputs(&self) -> Vec<String> {
        self.outputs.clone()
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct HttpPoll {
    /// The URL of the requests.
    #[schemars(extend("examples" = ["http://127.0.0.1:8080/users"]))]
    url: String,
    /// The pause between the beginnings of two rounds.
    #[serde(default = "minute")]
    interval: Duration,
    /// Header lines to send.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// The place of the array in the response.
    items: Option<Path>,
    /// The credentials.
    auth: Option<Auth>,
    /// The longest answer.
    #[serde(default = "megabyte")]
    body_limit: Size,
    /// The way to the next page.
    #[serde(default)]
    pages: Pages,
    /// The largest number of polls.
    #[schemars(range(min = 1, max = 1000))]
    rounds: Option<u32>,
}

fn minute() -> Duration {
    Duration::seconds(60)
}

fn megabyte() -> Size {
    Size(1 << 20)
}

#[derive(Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
#[allow(dead_code)]
enum Auth {
    /// A user and a password.
    Basic { user: String, password: Secret },
    /// A token.
    Bearer { token: Secret },
}

#[derive(Default, Deserialize, JsonSchema, serde::Serialize)]
#[serde(default, deny_unknown_fields)]
struct Pages {
    /// The most pages of a round.
    limit: Option<u16>,
    /// The pause between two.
    pause: Duration,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct FileSource {
    /// The files to read.
    path: OneOrMany,
    /// Waits for more at the end.
    #[serde(default)]
    follow: bool,
    /// The content of an event.
    #[serde(default)]
    decode: Decode,
}

#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
#[allow(dead_code)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

#[derive(Default, Deserialize, JsonSchema, serde::Serialize)]
#[serde(rename_all = "snake_case")]
enum Decode {
    /// A line.
    #[default]
    Lines,
    JsonArray,
    Csv,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Jq {
    /// The program.
    #[schemars(extend("examples" = ["select(.status == \"active\")"]))]
    query: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Route {
    /// The names of the outputs.
    outputs: Vec<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct Redis {
    /// The server.
    #[schemars(extend("examples" = ["redis://127.0.0.1:6379"]))]
    url: String,
    command: Command,
    /// The key.
    key: Template,
    /// When the key expires.
    ttl: Option<Duration>,
    password: Option<Secret>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Command {
    Xadd,
    Rpush,
    Lpush,
    Publish,
    Set,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct FileSink {
    path: Template,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NoOptions {}

fn jq(options: &Jq) -> Result<Pass, ConfigError> {
    match options.query.find("selec(") {
        Some(at) => Err(ConfigError::at("/query", "there is no function `selec` with 1 argument")
            .range(at..at + 5)
            .help("did you mean `select`?")),
        None => Ok(Pass { forks: true, ..Pass::default() }),
    }
}

fn redis(options: &Redis) -> Result<Nothing, ConfigError> {
    if options.url.starts_with("redis") {
        Ok(Nothing)
    } else {
        Err(ConfigError::at("/url", format!("`{}` is not the address of a Redis server", options.url)))
    }
}

/// The registry of them all.
pub(super) fn registry() -> Registry {
    Registry::new([
        Plugin::source("http_poll", "asks an API again and again", "", |_: HttpPoll| Ok(Nothing)),
        Plugin::source("file", "reads files", "", |_: FileSource| Ok(Nothing)),
        Plugin::source("stdin", "reads standard input", "", |_: NoOptions| Ok(Nothing)),
        Plugin::filter("jq", "runs a jq program", "", |options: Jq| jq(&options)),
        Plugin::filter("route", "chooses an output", "", |options: Route| {
            Ok(Pass { outputs: options.outputs, ..Pass::default() })
        }),
        Plugin::filter("dedupe", "drops what came before", "", |_: NoOptions| Ok(Pass::default())),
        Plugin::sink("redis", "writes to Redis", "", |options: Redis| redis(&options)),
        Plugin::sink("stdout", "writes to standard output", "", |_: NoOptions| Ok(Nothing)),
        Plugin::sink("file", "writes files", "", |_: FileSink| Ok(Nothing)),
        Plugin::sink("blackhole", "forgets", "", |_: NoOptions| Ok(Nothing)),
    ])
}
