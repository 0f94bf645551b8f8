use proptest::prelude::*;
use serde_json::{Value, json};
use tidegate_sdk::{Component, Plugin};
use tidegate_testkit::{apply, context};

use super::*;

/// A filter of each kind of state, whether or not it waits.
fn plugins() -> Vec<(Plugin, Value)> {
    vec![
        (crate::dedupe::plugin(), json!({ "key": ".id" })),
        (crate::dedupe::plugin(), json!({ "events": 3, "within": "1h" })),
        (crate::throttle::plugin(), json!({ "key": ".id", "excess": "drop", "per": "1h", "events": 2 })),
        (crate::throttle::plugin(), json!({ "per": "1h" })),
        (crate::sample::plugin(), json!({ "one_in": 7 })),
    ]
}

/// The output of a filter that was restored from this state.
fn given(plugin: &Plugin, options: &Value, state: &[u8]) -> Result<(), String> {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    match plugin.build(options).unwrap() {
        Component::Filter(mut filter) => {
            let restored = filter.restore(state);
            apply(&mut *filter, [r#"{"id":1}"#, r#"{"id":2}"#, "{"]);
            let saved = filter.save().unwrap().unwrap();
            filter.restore(&saved).expect("what was saved can be restored");
            restored.map_err(|error| error.to_string())
        }
        Component::AsyncFilter(mut filter) => runtime().block_on(async {
            let (cx, _stopping) = context();
            let restored = filter.restore(state, &cx).await;
            let saved = filter.save(&cx).await.unwrap().unwrap();
            filter.restore(&saved, &cx).await.expect("what was saved can be restored");
            restored.map_err(|error| error.to_string())
        }),
        _ => unreachable!("these are filters"),
    }
}

/// A state of the plugin after a few events.
fn saved(plugin: &Plugin, options: &Value) -> Vec<u8> {
    match plugin.build(options).unwrap() {
        Component::Filter(mut filter) => {
            apply(&mut *filter, [r#"{"id":1}"#, r#"{"id":2}"#, r#"{"id":1}"#, r#"{"id":3}"#]);
            filter.save().unwrap().unwrap()
        }
        _ => Writer::new(plugin.name()).finish(),
    }
}

#[test]
fn other_bytes_are_refused_with_the_reason() {
    for (plugin, options) in plugins() {
        let name = plugin.name().to_owned();
        let why = given(&plugin, &options, b"").unwrap_err();
        assert_eq!(why, format!("it is no state of a `{name}`"));
        let mut later = Writer::new(&name).finish();
        *later.last_mut().unwrap() = 2;
        let why = given(&plugin, &options, &later).unwrap_err();
        assert_eq!(why, format!("it has version 2, and this `{name}` knows version 1"));
        assert_eq!(given(&plugin, &options, &Writer::new(&name).finish()).unwrap_err(), CUT);
    }
}

proptest! {
    /// Numbers come back as they went in.
    #[test]
    fn numbers_come_back(small in any::<u64>(), long in any::<u64>(), hash in any::<u128>()) {
        let mut writer = Writer::new("x");
        writer.small(small);
        writer.long(long);
        writer.hash(hash);
        let state = writer.finish();
        let mut reader = Reader::new("x", &state).unwrap();
        prop_assert_eq!((reader.small(), reader.long(), reader.hash()), (Ok(small), Ok(long), Ok(hash)));
        prop_assert!(reader.is_empty());
    }

    /// Whatever the bytes are, nothing panics, and the filter works.
    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in any::<prop::sample::Index>(), flip in any::<prop::sample::Index>(), bit in 0..8_u8) {
        for (plugin, options) in plugins() {
            let begun = [Writer::new(plugin.name()).finish(), bytes.clone()].concat();
            let whole = saved(&plugin, &options);
            let mut flipped = whole.clone();
            flipped[flip.index(whole.len())] ^= 1_u8 << bit;
            for state in [&bytes[..], &begun, &whole[..cut.index(whole.len())], &flipped] {
                let _refused_or_not = given(&plugin, &options, state);
            }
        }
    }
}
