//! Log lines of the library name the instance that wrote them.

use tidegate_abi::level;

use super::super::log::Forward;
use super::components::filter;
use super::host::{Engine, Given};

#[test]
fn events_go_to_the_engine_with_the_number_of_the_instance() {
    let plugin = filter(|batch, _| {
        tracing::info!(count = batch.len(), name = "x", "seen {}", "it");
        tracing::debug!("not read by anybody");
        Ok(())
    });
    let engine = Engine::new();
    let filter = engine.create(plugin);
    tracing::subscriber::with_default(Forward(engine.host), || {
        filter.process(&Given::of(&["a", "b"]));
        tracing::warn!("between calls");
        *engine.heard.loudest.lock().unwrap() = level::WARN;
        filter.process(&Given::of(&["a"]));
        tracing::error!("{}", "ä".repeat(9000));
    });
    let mut log = engine.heard.log.lock().unwrap();
    let (_, _, long) = log.pop().unwrap();
    assert_eq!(long.len(), 8 << 10);
    let expected = [
        (1, level::INFO, "seen it count=2 name=\"x\"".to_owned()),
        (0, level::WARN, "between calls".to_owned()),
    ];
    assert_eq!(*log, expected);
}
