//! Panics where it is easy to forget that a plugin's code runs: in what it has left with others to be called, or dropped.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake};

use bytes::Bytes;
use tidegate_abi::Status;

use super::super::table::Library;
use super::components::{filter, source};
use super::host::{Engine, Given, give_back, library};
use tidegate_sdk::{Batch, SourceBatch};

/// Panics with a payload whose drop panics, too.
fn explode() -> ! {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("the payload, too");
        }
    }
    std::panic::panic_any(Bomb)
}

/// Panics when it is woken.
struct Trap(AtomicUsize);

impl Wake for Trap {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
        explode();
    }
}

/// Bytes whose end panics.
struct Owner(Arc<AtomicUsize>);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        b"event"
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
        explode();
    }
}

#[test]
fn a_table_that_explodes_as_it_is_made_is_none() {
    static LIBRARY: Library = Library::new();
    for _ in 0..2 {
        assert!(LIBRARY.table("x", "1", || explode()).is_null());
    }
}

/// Drain and stop wake every task that waits for them, which may use a waker of the plugin.
#[test]
fn drain_and_stop_may_panic() {
    for stop in [false, true] {
        let trap = Arc::new(Trap(AtomicUsize::new(0)));
        let waiting = Arc::new(Mutex::new(None));
        let (theirs, slot) = (Arc::clone(&trap), Arc::clone(&waiting));
        let engine = Engine::new();
        let source = engine.create(source(move |cx| {
            let (trap, slot) = (Arc::clone(&theirs), Arc::clone(&slot));
            Box::pin(async move {
                let mut stopping = Box::pin(async move { cx.stopping().await });
                let polled = stopping.as_mut().poll(&mut Context::from_waker(&trap.into()));
                assert!(polled.is_pending());
                *slot.lock().unwrap() = Some(stopping);
                std::future::pending().await
            })
        }));
        assert_eq!(source.poll_next().0, Status::PENDING);
        if stop {
            source.stop();
        } else {
            source.drain();
        }
        assert_eq!(trap.0.load(Ordering::SeqCst), 1, "it was woken");
        assert_eq!(source.poll_next().0, Status::PANIC, "and is broken from now on");
        let _whatever_is_left = waiting.lock().unwrap().take();
    }
}

#[test]
fn buffers_may_explode_when_they_are_given_back() {
    let ends = Arc::new(AtomicUsize::new(0));
    let theirs = Arc::clone(&ends);
    let source = Engine::new().create(source(move |_| {
        let buffer = Bytes::from_owner(Owner(Arc::clone(&theirs)));
        Box::pin(async move {
            let mut builder = Batch::builder();
            builder.push(buffer);
            Ok(Some(SourceBatch::from(builder.finish())))
        })
    }));
    for read in 1..=3 {
        let (status, _, batch) = source.next();
        assert_eq!(status, Status::OK);
        give_back(&batch);
        assert_eq!(ends.load(Ordering::SeqCst), read);
    }
}

#[test]
fn an_answer_at_once_needs_no_wake() {
    let engine = Engine::new();
    let sink = engine
        .create(super::components::sink(|_, _| Box::pin(async { Ok(tidegate_sdk::Delivery::complete()) })));
    let filter = engine.create_of(
        library(vec![filter(|_, out| {
            out.keep_all();
            Ok(())
        })]),
        2,
        &serde_json::json!({}),
    );
    let (given, filter) = (Given::of(&["a"]), filter.ok().unwrap());
    for _ in 0..1000 {
        assert_eq!(sink.write(&given).0, Status::OK);
        assert_eq!(filter.process(&given).0, Status::OK);
    }
    assert_eq!((engine.wakes(1), engine.wakes(2), given.held()), (0, 0, 0));
}
