use std::time::Duration;

use serde_json::json;
use tidegate_sdk::{AsyncFilter, Component, Isolation, Output};
use tidegate_testkit::{batch, context};

use crate::world::{LIMIT, World, built, open, placed};

/// A filter that wakes the engine so.
fn waking(world: &World, isolation: Isolation, wake: &str) -> Box<dyn AsyncFilter> {
    let plugin = placed(&open(&world.c("evil/wakes.c", &[])).unwrap(), "wakes", isolation, LIMIT);
    match built(&plugin, &json!({ "wake": wake })) {
        Ok(Component::AsyncFilter(filter)) => filter,
        Ok(_) => panic!("it waits"),
        Err(error) => panic!("{error}"),
    }
}

/// Lets it process this many batches, and checks the output.
async fn process(filter: &mut dyn AsyncFilter, batches: usize) {
    let (cx, _stopping) = context();
    filter.open(&cx).await.unwrap();
    for number in 0..batches {
        let given = batch([number.to_string()]);
        let mut out = Output::new(&given);
        let processed = tokio::time::timeout(LIMIT, filter.process(&given, &mut out, &cx)).await;
        processed.unwrap_or_else(|_| panic!("batch {number} waits for a wake that is lost")).unwrap();
        let (emitted, _) = out.take();
        assert_eq!(emitted[0].1.texts(), [number.to_string()]);
    }
    filter.close(&cx).await.unwrap();
}

const ALL: [Isolation; 3] = [Isolation::Inline, Isolation::Thread, Isolation::Process];

#[tokio::test(flavor = "multi_thread")]
async fn a_wake_is_seen_whenever_it_comes() {
    let world = World::new();
    for isolation in ALL {
        for (wake, batches) in [("before", 1000), ("during", 100), ("after", 5), ("alarm", 3)] {
            process(&mut *waking(&world, isolation, wake), batches).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_million_wakes_are_survived_and_the_last_is_seen() {
    let world = World::new();
    for isolation in ALL {
        process(&mut *waking(&world, isolation, "storm"), 1).await;
    }
}

/// An instance that goes on to wake the engine after its end wakes no other instance, and not its successor.
#[tokio::test(flavor = "multi_thread")]
async fn a_wake_of_an_instance_that_is_gone_is_nobodys() {
    let world = World::new();
    for isolation in ALL {
        for _ in 0..3 {
            let mut gone = waking(&world, isolation, "gone");
            process(&mut *gone, 1).await;
            let mut there = waking(&world, isolation, "after");
            tokio::join!(async { drop(gone) }, process(&mut *there, 1));
        }
    }
}

/// A filter that is dropped in the middle of an operation, with a storm of wakes on its way.
#[tokio::test(flavor = "multi_thread")]
async fn an_operation_that_is_given_up_in_a_storm_ends() {
    let world = World::new();
    for isolation in ALL {
        let mut filter = waking(&world, isolation, "storm");
        let (cx, _stopping) = context();
        filter.open(&cx).await.unwrap();
        let given = batch(["one"]);
        let mut out = Output::new(&given);
        let processing = filter.process(&given, &mut out, &cx);
        let _it_may_be_over_already = tokio::time::timeout(Duration::from_millis(10), processing).await;
        drop(filter);
    }
}
