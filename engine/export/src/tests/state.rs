//! The state that a filter saves and another restores.

use std::ffi::CStr;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use tidegate_abi::{self as abi, Buf, StateWriter, Status};

use super::components::sink;
use super::host::{Engine, Instance, library};
use tidegate_sdk::{
    AsyncFilter, Batch, Component, ConfigError, Cx, Delivery, Error, Filter, Output, Plugin, async_trait,
};

/// A filter that remembers a text, or panics when it is asked for it.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Remembering {
    /// The remembered text.
    text: Option<String>,
    /// True for a filter whose calls are awaited.
    waits: bool,
}

impl Remembering {
    fn text(&self) -> Option<Vec<u8>> {
        assert!(self.text.as_deref() != Some("panic"), "no state");
        self.text.clone().map(String::into_bytes)
    }

    fn remember(&mut self, state: &[u8]) -> Result<(), Error> {
        let text = std::str::from_utf8(state).map_err(|_| Error::fatal("it is no text"))?;
        assert!(text != "panic", "not this state");
        self.text = Some(text.to_owned());
        Ok(())
    }
}

impl Filter for Remembering {
    fn process(&mut self, _: &Batch, _: &mut Output) -> Result<(), Error> {
        Ok(())
    }
    fn save(&mut self) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.text())
    }
    fn restore(&mut self, state: &[u8]) -> Result<(), Error> {
        self.remember(state)
    }
}

struct Waiting(Remembering);

#[async_trait]
impl AsyncFilter for Waiting {
    async fn process(&mut self, _: &Batch, _: &mut Output, _: &Cx) -> Result<(), Error> {
        Ok(())
    }
    async fn save(&mut self, _: &Cx) -> Result<Option<Vec<u8>>, Error> {
        tokio::task::yield_now().await;
        Ok(self.0.text())
    }
    async fn restore(&mut self, state: &[u8], _: &Cx) -> Result<(), Error> {
        tokio::task::yield_now().await;
        self.0.remember(state)
    }
}

fn remembering(text: Option<&str>, waits: bool) -> Instance {
    let plugin = Plugin::any_filter("remembering", "", "", |options: Remembering| {
        Ok::<_, ConfigError>(if options.waits {
            Component::AsyncFilter(Box::new(Waiting(options)))
        } else {
            Component::Filter(Box::new(options))
        })
    });
    let options = json!({ "text": text, "waits": waits });
    Engine::new().create_of(library(vec![plugin]), 1, &options).ok().unwrap()
}

fn extension(instance: &Instance, id: &CStr) -> Option<&'static abi::State> {
    unsafe { instance.base.get_extension.unwrap()(instance.this, id.as_ptr()).cast::<abi::State>().as_ref() }
}

/// The state that an instance saves; the engine takes no more than `most` bytes.
fn save(instance: &Instance, most: usize) -> (Status, String, Option<Vec<u8>>) {
    unsafe extern "C" fn put(keep: *const StateWriter, part: Buf) -> Status {
        let (most, kept) = unsafe { &mut *(*keep).ctx.cast::<(usize, Option<Vec<u8>>)>() };
        let kept = kept.get_or_insert_default();
        kept.extend_from_slice(unsafe { part.bytes() });
        if kept.len() > *most { Status::FATAL } else { Status::OK }
    }
    let mut kept = (most, None);
    let keep =
        StateWriter { ctx: (&raw mut kept).cast(), put: Some(put), ..unsafe { abi::sized::<StateWriter>() } };
    let save = extension(instance, abi::STATE).unwrap().save.unwrap();
    let (status, error) = instance.until_done(|error| unsafe { save(instance.this, &raw const keep, error) });
    (status, error.message(), kept.1)
}

fn restore(instance: &Instance, state: &[u8]) -> (Status, String) {
    let restore = extension(instance, abi::STATE).unwrap().restore.unwrap();
    let (status, error) =
        instance.until_done(|error| unsafe { restore(instance.this, Buf::new(state), error) });
    (status, error.message())
}

#[test]
fn saved_state_is_restored_by_another_instance() {
    for waits in [false, true] {
        let (status, message, state) = save(&remembering(Some("so far"), waits), 100);
        assert_eq!((status, message.as_str()), (Status::OK, ""));
        let next = remembering(None, waits);
        assert_eq!(save(&next, 100).2, None, "there is no state to save");
        assert_eq!(restore(&next, &state.unwrap()).0, Status::OK);
        assert_eq!(save(&next, 100).2.as_deref(), Some(&b"so far"[..]));
        assert_eq!(restore(&next, b"\xff"), (Status::FATAL, "it is no text".into()));
        assert_eq!(save(&next, 100).2.as_deref(), Some(&b"so far"[..]), "it is as it was before");
        assert_eq!(restore(&next, b"").0, Status::OK);
    }
}

#[test]
fn state_that_the_engine_refuses_is_not_saved() {
    let (status, message, _) = save(&remembering(Some("so far"), false), 3);
    assert_eq!(status, Status::FATAL);
    assert!(message.starts_with("the engine refused the state of 6 bytes"), "{message}");
}

#[test]
fn a_panic_breaks_the_instance_and_nothing_else() {
    for waits in [false, true] {
        let saving = remembering(Some("panic"), waits);
        let (status, message, _) = save(&saving, 100);
        assert_eq!((status, message.as_str()), (Status::PANIC, "the plugin panicked: no state"));
        let restoring = remembering(None, waits);
        assert_eq!(restore(&restoring, b"panic").0, Status::PANIC);
        assert_eq!(save(&restoring, 100).0, Status::PANIC, "it is not entered again");
    }
}

#[test]
fn only_filters_have_it_and_nothing_else_is_there() {
    let filter = remembering(None, false);
    assert!(extension(&filter, c"tidegate.state/2").is_none() && extension(&filter, c"").is_none());
    let sink = Engine::new().create(sink(|_, _| Box::pin(async { Ok(Delivery::complete()) })));
    assert!(extension(&sink, abi::STATE).is_none());
}
