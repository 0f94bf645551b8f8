use tidegate_runtime::status::{End, GraphState, Queue};
use tidegate_sdk::Kind;

use super::*;
use crate::commands::run::sample_status::{component, graph};

fn observed(seconds: u64) -> (Vec<GraphStatus>, Rates) {
    let mut users = component("users", Kind::Source);
    users.plugin = "http_poll".into();
    let mut stream = component("stream", Kind::Sink);
    stream.queue = Some(Queue { bytes: 512, capacity: 1024 });
    stream.health = Health::Waiting("connection\trefused".into());
    stream.counts.rejected = 1234;
    let mut graphs = vec![graph("active-users", GraphState::Running, vec![users, stream])];
    let (mut rates, start) = (Rates::default(), Instant::now());
    rates.observe(&graphs, start);
    graphs[0].components[0].counts.events_in = 2000 * seconds;
    graphs[0].components[0].progress = Some((1000 * seconds, 10_000));
    rates.observe(&graphs, start + Duration::from_secs(seconds));
    (graphs, rates)
}

#[test]
fn each_component_has_a_line_and_work_with_an_end_a_bar() {
    let (graphs, rates) = observed(4);
    let expected = [
        "   component  plugin       in   out  rejected  queue",
        "active-users  running, 0 in flight",
        "●  users      http_poll  2.0k/s  0/s         0         ready",
        "   ━━━━━━━━━━━━──────────────────   40%  6.0s left",
        "●  stream     jq            0/s  0/s     1,234    50%  waiting: connection refused",
    ];
    let shown = lines(&graphs, &rates, (120, 40), Paint::PLAIN);
    assert_eq!(shown[1..], expected[1..]);
    assert!(shown[0].starts_with("   component  plugin"), "{}", shown[0]);
}

#[test]
fn no_line_is_wider_and_no_block_higher_than_the_terminal() {
    let (graphs, rates) = observed(4);
    for columns in [1, 2, 10, 40, 80] {
        for line in lines(&graphs, &rates, (columns, 40), Paint::PLAIN) {
            assert!(line.chars().count() < columns.max(2), "{columns}: {line}");
        }
    }
    let few = lines(&graphs, &rates, (120, 5), Paint::PLAIN);
    assert_eq!(few.len(), 3);
    assert_eq!(few[2], "... and 3 more lines; the terminal is too low");
}

#[test]
fn a_bar_is_full_only_when_all_is_done() {
    let text = |done, total, speed| bar(done, total, speed, 80, Paint::PLAIN);
    assert!(text(999_999, 1_000_000, 0.0).ends_with("─   99%"));
    assert!(text(10, 10, 5.0).ends_with("━  100%"));
    assert!(text(11, 10, 5.0).ends_with("━  100%"));
    assert!(text(0, 600, 2.0).ends_with("0%  5m 00s left"));
}

#[test]
fn a_graph_that_is_over_says_why() {
    let status = graph("p", GraphState::Over(End::Failed("no rights".into())), Vec::new());
    assert_eq!(graph_line(&status, 80, Paint::PLAIN), "p  failed, 0 in flight: no rights");
}
