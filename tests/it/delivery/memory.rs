//! Memory stays within its budget while the source is faster than the sink.

use crate::harness::{Tidegate, until};

#[test]
fn a_sink_of_one_event_a_second_under_a_source_of_a_million() {
    let pipeline = r#"
        [pipeline]
        drain_timeout = "500ms"
        [source.flood]
        plugin = "generate"
        line = '{"event": "of about sixty bytes, as they come from real systems"}'
        [filter.pass]
        plugin = "jq"
        query = '{event}'
        [sink.drip]
        plugin = "blackhole"
        rate = 1
        batch = { events = 1 }
    "#;
    let budget = 64 << 20;
    let mut running = Tidegate::pipeline(pipeline).arg("--memory").arg("64MiB").start();
    // The budget fills, and then the source pauses.
    let (mut last, mut same) = (0, 0);
    until("memory stops growing", || {
        let now = running.resident();
        assert!(now < budget + (64 << 20), "{now} bytes are resident");
        same = if now.abs_diff(last) < (1 << 20) { same + 1 } else { 0 };
        last = now;
        same > 100
    });
    running.signal("INT");
    let ended = running.end().expect(3);
    assert!(ended.stderr.contains("not delivered"), "it says what was not delivered:\n{}", ended.stderr);
}
