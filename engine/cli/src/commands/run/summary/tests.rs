use tidegate_config::Settings;
use tidegate_runtime::status::{Counts, Undelivered};
use tidegate_sdk::Kind;

use super::*;
use crate::commands::run::sample_status::{component, graph};

/// A pipeline called `p`.
fn pipeline() -> Pipeline {
    Pipeline {
        file: "p.toml".into(),
        name: "p".into(),
        id: "p-1".into(),
        settings: Settings::default(),
        graphs: Vec::new(),
    }
}

fn keeping(name: &str, dead_letters: u64) -> ComponentStatus {
    let mut one = component(name, Kind::Sink);
    one.counts = Counts { rejected: dead_letters, dead_letters, ..one.counts };
    one
}

#[test]
fn only_what_is_kept_is_counted_and_only_of_this_pipeline() {
    let store = DeadLetterStore::of(&pipeline());
    let mut dropping = component("dropping", Kind::Sink);
    dropping.counts.rejected = 10;
    let all = || vec![keeping("kept", 1), dropping.clone(), keeping("last", 1000)];
    assert_eq!(store.added(&[graph("p", GraphState::Running, all())]), 1001);
    assert_eq!(store.added(&[graph("p/kept", GraphState::Running, all())]), 1001);
    assert_eq!(store.added(&[graph("pq", GraphState::Running, all())]), 0);
}

#[test]
fn the_summary_is_a_table_and_says_where_the_dead_letters_are() {
    let mut users = component("users", Kind::Source);
    users.plugin = "http_poll".into();
    users.counts = Counts {
        events_in: 1_234_567,
        bytes_in: 3 << 20,
        events_out: 1_234_567,
        bytes_out: 3 << 20,
        ..users.counts
    };
    let mut stream = keeping("kept", 2);
    stream.counts =
        Counts { events_in: 12, bytes_in: 340, events_out: 10, bytes_out: 300, retried: 1, ..stream.counts };
    stream.health = Health::Waiting("no\nanswer".into());
    let graphs = [graph("p", GraphState::Over(End::Ended), vec![users, stream])];
    let store = DeadLetterStore::of(&pipeline());
    let text = summary(&graphs, &[store], " --data-dir state", (120, Paint::PLAIN));
    let expected = "
p  ended  10.0s
  component  kind    plugin     events in  bytes in  events out  bytes out  rejected  retried      rate
  users      source  http_poll  1,234,567   3.0 MiB   1,234,567    3.0 MiB         0        0  123.5k/s
  kept       sink    jq                12     340 B          10      300 B         2        1     1.2/s
  kept was not ready: no answer

2 dead letters in p; list them with
  tidegate dead-letters list --pipeline p-1 --data-dir state
";
    assert_eq!(text, expected);
}

#[test]
fn every_end_says_what_became_of_the_events() {
    let text = |state| end(&state, 7, Paint::PLAIN);
    let cut = |cause, unanswered| {
        let undelivered = Undelivered { events: 5, replayed: 3, unanswered };
        text(GraphState::Over(End::CutShort { cause, undelivered }))
    };
    assert_eq!(text(GraphState::Over(End::Drained)), "drained");
    assert_eq!(text(GraphState::Over(End::Failed("no rights".into()))), "failed: no rights");
    assert_eq!(
        cut(StopCause::DrainTimeout, 0),
        "drain deadline passed: 5 events not delivered: 3 will be read again, 2 lost"
    );
    assert_eq!(
        cut(StopCause::Abort, 1),
        "stopped at once: 5 events not delivered: 3 will be read again, 1 of requests that got an error, 1 lost"
    );
    assert_eq!(
        cut(StopCause::Undeliverable("too many".into()), 0),
        "drained in part: 5 events not delivered: 3 will be read again, 2 lost (too many)"
    );
    assert_eq!(text(GraphState::Draining), "stopped at once: 7 events not delivered");
}

/// The rate of a graph that ended early was that of the whole process.
#[test]
fn each_graph_has_its_own_duration_and_rate() {
    let graphs = ["short", "long"].map(|name| {
        let mut one = component("users", Kind::Source);
        one.counts.events_in = 1000;
        graph(name, GraphState::Over(End::Ended), vec![one])
    });
    let [mut short, long] = graphs;
    short.ran = Duration::from_secs(1);
    let text = summary(&[short, long], &[], "", (120, Paint::PLAIN));
    let lines: Vec<&str> =
        text.lines().filter(|line| line.contains("ended") || line.contains("/s")).collect();
    assert!(lines[0].contains("1.0s") && lines[1].ends_with("1.0k/s"), "{text}");
    assert!(lines[2].contains("10.0s") && lines[3].ends_with("100/s"), "{text}");
}

#[test]
fn a_narrow_terminal_gets_fewer_columns() {
    let mut stream = keeping("stream", 3);
    let headings = |component: &ComponentStatus, columns| {
        let status = graph("p", GraphState::Running, vec![component.clone()]);
        let text = components(&status, columns, Paint::PLAIN);
        text.lines().next().unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let narrow = "component plugin events in bytes in events out bytes out rejected rate";
    assert_eq!(headings(&stream, 85), narrow);
    assert_eq!(headings(&stream, 30), "component events in events out bytes out rejected");
    assert!(headings(&stream, 200).contains("rejected retried rate"));
    stream.counts.skipped = 1;
    assert!(headings(&stream, 200).contains("rejected retried skipped rate"));
}
