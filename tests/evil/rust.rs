//! A library in Rust that is as evil as safe Rust allows: it panics where its options say so, and leaves what has to be ended
//! on threads that are not its own.

use std::cell::RefCell;

use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_sdk::{
    AsyncFilter, Batch, ConfigError, Cx, Delivery, Error, Filter, Output, Plugin, Replay, Sink, Source,
    SourceBatch, async_trait,
};

/// The place of the panic.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
struct Options {
    /// The entry point: `create`, `open`, `process`, `write`, `next`, `close` or `drop`; empty is nowhere.
    at: String,
    /// Only at an event that holds this.
    event: String,
}

struct Evil(Options);

impl Evil {
    fn new(options: Options) -> Result<Self, ConfigError> {
        let evil = Self(options);
        evil.at("create");
        Ok(evil)
    }

    fn at(&self, here: &str) {
        assert!(self.0.at != here, "this cannot be, says `{here}`");
    }

    fn look(&self, here: &str, batch: &Batch) {
        touch();
        if self.0.event.is_empty() || batch.texts().contains(&self.0.event) {
            self.at(here);
        }
    }
}

impl Drop for Evil {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.at("drop");
        }
    }
}

#[async_trait]
impl Source for Evil {
    async fn open(&mut self, _: &Cx) -> Result<(), Error> {
        self.at("open");
        Ok(())
    }
    async fn next(&mut self, cx: &Cx) -> Result<Option<SourceBatch>, Error> {
        self.at("next");
        cx.stopping().await;
        Ok(None)
    }
    fn replay(&self) -> Replay {
        Replay::Position
    }
}

impl Filter for Evil {
    fn process(&mut self, batch: &Batch, out: &mut Output) -> Result<(), Error> {
        self.look("process", batch);
        out.keep_all();
        Ok(())
    }
}

/// The same as a filter that waits.
struct Waiting(Evil);

#[async_trait]
impl AsyncFilter for Waiting {
    async fn open(&mut self, _: &Cx) -> Result<(), Error> {
        self.0.at("open");
        Ok(())
    }
    async fn process(&mut self, batch: &Batch, out: &mut Output, cx: &Cx) -> Result<(), Error> {
        cx.sleep(std::time::Duration::from_micros(10)).await;
        self.0.look("process", batch);
        out.keep_all();
        Ok(())
    }
    async fn close(&mut self, _: &Cx) -> Result<(), Error> {
        self.0.at("close");
        Ok(())
    }
}

#[async_trait]
impl Sink for Evil {
    async fn open(&mut self, _: &Cx) -> Result<(), Error> {
        self.at("open");
        Ok(())
    }
    async fn write(&mut self, batch: &Batch, _: &Cx) -> Result<Delivery, Error> {
        tokio::task::yield_now().await;
        self.look("write", batch);
        Ok(Delivery::complete())
    }
    async fn close(&mut self, _: &Cx) -> Result<(), Error> {
        self.at("close");
        Ok(())
    }
}

/// The plugins of this library.
pub fn plugins() -> Vec<Plugin> {
    vec![
        Plugin::source("rust_source", "panics on purpose", "", Evil::new),
        Plugin::filter("rust_filter", "panics on purpose", "", Evil::new),
        Plugin::async_filter("rust_waiting", "panics on purpose", "", |o| Ok(Waiting(Evil::new(o)?))),
        Plugin::sink("rust_sink", "panics on purpose", "", Evil::new),
    ]
}

tidegate_export::export_plugin!(plugins);

/// Has something to be dropped when the thread ends.
struct Left(Vec<u8>);

impl Drop for Left {
    fn drop(&mut self) {
        self.0.clear();
    }
}

thread_local! {
    static LEFT: RefCell<Left> = const { RefCell::new(Left(Vec::new())) };
}

/// Leaves something on the thread that calls this. Returns how much there is by now.
fn touch() -> u32 {
    LEFT.with_borrow_mut(|left| {
        left.0.push(1);
        left.0.len() as u32
    })
}

/// Asks for the thread's handle, as every lock and log line may. The standard library leaves a function of its own with
/// the thread then, to be called when it ends, and the C library does not know whose code that is.
#[allow(unsafe_code, reason = "the name is what the tests look for")]
#[unsafe(no_mangle)]
pub extern "C" fn tidegate_evil_touch() -> u32 {
    u32::from(std::thread::current().name().is_none())
}
