use serde_json::json;
use tidegate_sdk::{Component, Isolation, Output};
use tidegate_testkit::{batch, context};

use crate::world::{LIMIT, World, built, open, placed};

/// Guards against a reference that is given back twice: the batch was freed under the engine that had lent it.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_released_too_often_is_noticed_and_stays() {
    let world = World::new();
    let plugins = open(&world.c("evil/released.c", &[])).unwrap();
    for isolation in [Isolation::Inline, Isolation::Thread, Isolation::Process] {
        let plugin = placed(&plugins, "filter/evil", isolation, LIMIT);
        let (cx, _stopping) = context();
        let given = batch(["one", "KILL0", "two", "KILL1", "three", "KILL2"]);
        let mut out = Output::new(&given);
        match built(&plugin, &json!({})).unwrap() {
            Component::Filter(mut filter) => filter.process(&given, &mut out).unwrap(),
            Component::AsyncFilter(mut filter) => {
                filter.open(&cx).await.unwrap();
                filter.process(&given, &mut out, &cx).await.unwrap();
                filter.close(&cx).await.unwrap();
            }
            _ => panic!("it is a filter"),
        }
        let (emitted, rejected) = out.take();
        let through: Vec<_> = emitted.iter().flat_map(|(_, batch)| batch.texts()).collect();
        assert_eq!(through, ["one", "two", "three", "constant"], "{isolation:?}");
        assert_eq!(rejected.iter().map(|one| one.event).collect::<Vec<_>>(), [1, 3]);
        let why = "broke the contract: a batch is released more often than it was retained";
        assert!(rejected.iter().all(|one| one.reason.contains(why)), "{rejected:?}");
        assert_eq!(given.texts().len(), 6, "what was lent is whole");
    }
}
