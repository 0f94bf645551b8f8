use serde_json::json;
use tidegate_sdk::{Batch, Component, Isolation, Output};
use tidegate_testkit::{batch, context};

use crate::world::{LIMIT, built, open, placed, rust};

const ALL: [Isolation; 3] = [Isolation::Inline, Isolation::Thread, Isolation::Process];
/// The error for every panic.
fn reported(at: &str) -> String {
    format!("this cannot be, says `{at}`")
}

/// The result of a filter: the events that it passes, and the reasons of the rejected ones.
async fn filtered(component: Component, given: &Batch) -> (Vec<String>, Vec<(usize, String)>) {
    let ((cx, _stopping), mut out) = (context(), Output::new(given));
    match component {
        Component::Filter(mut filter) => filter.process(given, &mut out).unwrap(),
        Component::AsyncFilter(mut filter) => {
            filter.open(&cx).await.unwrap();
            filter.process(given, &mut out, &cx).await.unwrap();
            filter.close(&cx).await.unwrap();
        }
        _ => panic!("it is a filter"),
    }
    let (emitted, rejected) = out.take();
    let texts = emitted.iter().flat_map(|(_, batch)| batch.texts()).collect();
    (texts, rejected.into_iter().map(|one| (one.event, one.reason)).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_makes_a_filter_panic_is_rejected_and_the_rest_goes_on() {
    let plugins = open(&rust()).unwrap();
    for isolation in ALL {
        for name in ["rust_filter", "rust_waiting"] {
            let plugin = placed(&plugins, name, isolation, LIMIT);
            let component = built(&plugin, &json!({ "at": "process", "event": "bad" })).unwrap();
            let (through, rejected) =
                filtered(component, &batch(["one", "bad", "two", "bad", "three"])).await;
            assert_eq!(through, ["one", "two", "three"], "{isolation:?} {name}");
            assert_eq!(rejected.iter().map(|(event, _)| *event).collect::<Vec<_>>(), [1, 3]);
            assert!(rejected.iter().all(|(_, why)| why.contains(&reported("process"))), "{rejected:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_makes_a_sink_panic_is_rejected_and_the_rest_goes_on() {
    let plugins = open(&rust()).unwrap();
    for isolation in ALL {
        let plugin = placed(&plugins, "rust_sink", isolation, LIMIT);
        let Ok(Component::Sink(mut sink)) = built(&plugin, &json!({ "at": "write", "event": "bad" })) else {
            panic!("it is a sink")
        };
        let (cx, _stopping) = context();
        sink.open(&cx).await.unwrap();
        let delivery = sink.write(&batch(["one", "bad", "two"]), &cx).await.unwrap();
        let (rejected, again) = delivery.into_parts();
        assert!(again.is_none());
        assert_eq!((rejected.len(), rejected[0].event), (1, 1), "{isolation:?}");
        assert!(rejected[0].reason.contains(&reported("write")));
        sink.close(&cx).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn panic_without_an_event_is_reported() {
    let plugins = open(&rust()).unwrap();
    for isolation in ALL {
        let placed = |name: &str| placed(&plugins, name, isolation, LIMIT);
        let error = built(&placed("rust_source"), &json!({ "at": "create" })).err().unwrap();
        assert!(error.contains(&reported("create")), "{isolation:?}: {error}");
        let (cx, stopping) = context();
        for at in ["open", "next"] {
            let Ok(Component::Source(mut source)) = built(&placed("rust_source"), &json!({ "at": at }))
            else {
                panic!("it is a source")
            };
            let error = match source.open(&cx).await {
                Ok(()) => source.next(&cx).await.err().unwrap(),
                Err(error) => error,
            };
            assert!(error.message().contains(&reported(at)), "{isolation:?}: {error}");
        }
        let Ok(Component::Sink(mut sink)) = built(&placed("rust_sink"), &json!({ "at": "close" })) else {
            panic!("it is a sink")
        };
        sink.open(&cx).await.unwrap();
        let error = sink.close(&cx).await.unwrap_err();
        assert!(error.message().contains(&reported("close")), "{isolation:?}: {error}");
        stopping.cancel();
    }
}

/// A panic in `destroy` has no caller that could receive it; the process and later instances go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_panic_at_the_end_of_an_instance_ends_nothing_else() {
    let plugins = open(&rust()).unwrap();
    for isolation in ALL {
        let plugin = placed(&plugins, "rust_waiting", isolation, LIMIT);
        for _ in 0..3 {
            let component = built(&plugin, &json!({ "at": "drop" })).unwrap();
            assert_eq!(filtered(component, &batch(["one"])).await.0, ["one"], "{isolation:?}");
        }
    }
}
