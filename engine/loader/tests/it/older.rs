use serde_json::json;
use tidegate_sdk::{Component, Isolation, Output, Replay};
use tidegate_testkit::{batch, context};

use crate::world::{LIMIT, World, built, open, placed};

/// A field after the end of a library's struct counts as zero: no function of the library is called that it does not have.
#[tokio::test(flavor = "multi_thread")]
async fn library_works_without_the_fields_that_it_does_not_have() {
    let world = World::new();
    let plugins = open(&world.c("evil/older.c", &[])).unwrap();
    for isolation in [Isolation::Inline, Isolation::Process] {
        let build = |name| built(&placed(&plugins, name, isolation, LIMIT), &json!({})).unwrap();
        let (cx, _stopping) = context();

        let Component::Source(mut source) = build("source/older") else { panic!("not a source") };
        assert_eq!(source.replay(), Replay::Redelivery);
        let reason = source.transaction_domain().unwrap_err();
        assert_eq!(reason.message(), "no sink can acknowledge its events together with what it writes");
        source.open(&cx).await.unwrap();
        let read = source.next(&cx).await.unwrap().unwrap();
        assert_eq!((read.batch.texts(), read.ack_handles.is_none()), (vec!["event".to_owned()], true));
        assert!(source.committer().is_none(), "it does not ask for commits");
        source.close(&cx).await.unwrap();

        let given = batch(["a", "b"]);
        let mut out = Output::new(&given);
        match build("filter/older") {
            Component::Filter(mut filter) => {
                assert_eq!(filter.save().unwrap(), None);
                filter.process(&given, &mut out).unwrap();
            }
            Component::AsyncFilter(mut filter) => {
                filter.open(&cx).await.unwrap();
                assert_eq!(filter.save(&cx).await.unwrap(), None);
                filter.process(&given, &mut out, &cx).await.unwrap();
            }
            _ => panic!("not a filter"),
        }
        assert_eq!(out.emitted()[0].1.texts(), ["a", "b"]);

        let Component::Sink(mut sink) = build("sink/older") else { panic!("not a sink") };
        let reason = sink.transactional().err().unwrap();
        assert_eq!(reason.message(), "it cannot store a position in one transaction with the events");
        let reason = sink.acknowledging().err().unwrap();
        assert_eq!(reason.message(), "it cannot acknowledge events in one transaction with what it writes");
        sink.open(&cx).await.unwrap();
        assert!(sink.write(&batch(["a"]), &cx).await.unwrap().rejected().is_empty());
        sink.close(&cx).await.unwrap();
    }
}
