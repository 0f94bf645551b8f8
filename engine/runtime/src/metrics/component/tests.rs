use super::*;

fn metrics() -> ComponentMetrics {
    ComponentMetrics::new("parse", Kind::Filter, "jq")
}

/// An endpoint was reported as ready between two requests while the server that it asks was down. If it stayed unready
/// without requests, a load balancer that follows `/readyz` would never send it another one.
#[tokio::test(start_paused = true)]
async fn failed_component_stays_waiting_for_a_while_after_its_last_try() {
    let metrics = metrics();
    metrics.set_health(Health::Waiting("down".into()));
    metrics.gave_up();
    tokio::time::advance(STALE_AFTER / 2).await;
    assert_eq!(metrics.status().health, Health::Waiting("down".into()));
    tokio::time::advance(STALE_AFTER / 2).await;
    assert_eq!(metrics.status().health, Health::Ready);
    metrics.set_health(Health::Waiting("down".into()));
    tokio::time::advance(STALE_AFTER * 2).await;
    assert_eq!(metrics.status().health, Health::Waiting("down".into()), "tries that go on are current");
}

#[test]
fn blocked_component_stays_blocked_until_its_next_run() {
    let metrics = metrics();
    assert!(metrics.set_health(Health::Blocked("too many".into())));
    assert!(!metrics.set_health(Health::Ready), "another instance works");
    assert_eq!(metrics.status().health, Health::Blocked("too many".into()));
    metrics.unblock();
    assert_eq!(metrics.status().health, Health::Starting);
}

#[tokio::test]
async fn left_start_resolves_at_the_first_health_after_the_start() {
    let metrics = metrics();
    let opening = async {
        tokio::task::yield_now().await;
        metrics.set_health(Health::Waiting("down".into()));
    };
    tokio::join!(metrics.left_start(), opening);
}
