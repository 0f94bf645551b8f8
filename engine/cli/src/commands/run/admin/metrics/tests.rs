use std::collections::HashSet;
use std::time::Duration;

use tidegate_runtime::status::{GraphState, Queue};
use tidegate_sdk::Kind;

use super::*;
use crate::commands::run::sample_status::{component, graph};

fn page() -> String {
    let mut users = component("users", Kind::Source);
    users.counts.events_in = 12_345_678_901;
    users.counts.waited_downstream = Duration::from_millis(1500);
    users.latency = Latency { bounds: &[0.001, 0.5], counts: vec![3, 2, 1], sum_micros: 1_250_000 };
    let mut stream = component("stream", Kind::Sink);
    stream.queue = Some(Queue { bytes: 5, capacity: 10 });
    stream.health = Health::Waiting("no".into());
    let mut status = graph("a \"b\" \\ c", GraphState::Running, vec![users, stream]);
    status.restarts = 2;
    render(&[status], &Reloads::default())
}

#[test]
fn values_follow_their_labels() {
    let page = page();
    let labels = r#"pipeline="a \"b\" \\ c",component="users",kind="source",plugin="jq""#;
    for line in [
        format!("tidegate_events_in_total{{{labels}}} 12345678901"),
        format!("tidegate_wait_downstream_seconds_total{{{labels}}} 1.5"),
        format!("tidegate_batch_duration_seconds_bucket{{{labels},le=\"0.001\"}} 3"),
        format!("tidegate_batch_duration_seconds_bucket{{{labels},le=\"0.5\"}} 5"),
        format!("tidegate_batch_duration_seconds_bucket{{{labels},le=\"+Inf\"}} 6"),
        format!("tidegate_batch_duration_seconds_sum{{{labels}}} 1.25"),
        format!("tidegate_batch_duration_seconds_count{{{labels}}} 6"),
        r#"tidegate_restarts_total{pipeline="a \"b\" \\ c"} 2"#.to_owned(),
        r#"tidegate_graph_ready{pipeline="a \"b\" \\ c"} 0"#.to_owned(),
    ] {
        assert!(page.lines().any(|one| one == line), "{line} is not in\n{page}");
    }
    assert!(!page.contains("tidegate_queue_bytes{pipeline=\"a \\\"b\\\" \\\\ c\",component=\"users\""));
}

#[test]
fn each_family_occurs_once_and_its_samples_follow_it() {
    let page = page();
    assert!(page.ends_with('\n'));
    let (mut family, mut seen) = (String::new(), HashSet::new());
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            family = rest.split(' ').next().unwrap().to_owned();
            assert!(seen.insert(family.clone()), "{family} comes twice");
            assert!(rest.ends_with('.'), "{line}");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(name, family);
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
        } else {
            let name = line.split('{').next().unwrap();
            assert!(name.starts_with(&family), "{line} stands under {family}");
            assert!(line.rsplit(' ').next().unwrap().parse::<f64>().is_ok(), "{line}");
        }
    }
}

#[test]
fn without_graphs_the_page_is_still_one() {
    assert!(render(&[], &Reloads::default()).contains(concat!(
        "tidegate_build_info{version=\"",
        env!("CARGO_PKG_VERSION"),
        "\"} 1\n"
    )));
}
