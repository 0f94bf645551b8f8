use super::*;

#[test]
fn next_try_says_what_will_happen() {
    let seconds = Duration::from_secs_f64;
    let retry = |pause, left: Option<f64>| next_try(Class::Retry, seconds(pause), left.map(seconds));
    assert_eq!(retry(5.25, None), "tries again in 5.2 s");
    assert_eq!(retry(0.0123, None), "tries again in 13 ms");
    assert_eq!(retry(0.0, None), "tries again in 1 ms", "never in no time");
    assert_eq!(retry(0.5, Some(0.9)), "tries again in 500 ms");
    assert_eq!(retry(5.2, Some(1.0)), "is not tried again, because the drain timeout passes in 1.0 s");
    let busy = next_try(Class::Busy, seconds(2.0), None);
    assert_eq!(busy, "waits 2.0 s");
    let wrong = next_try(Class::Misconfigured, seconds(20.0), None);
    assert_eq!(wrong, "has to wait for a change, tries again in 20.0 s");
}

fn retry_state(attempts: Option<u32>) -> (RetryState, Arc<ComponentMetrics>, GraphTasks) {
    let stopping = CancellationToken::new();
    let tasks = GraphTasks::new(&stopping);
    let metrics = Arc::new(ComponentMetrics::new("ask", tidegate_sdk::Kind::Filter, "http"));
    let options = RetryOptions { attempts, ..RetryOptions::default() };
    (RetryState::new(&options, &metrics, &Cx::new("ask", stopping), &tasks), metrics, tasks)
}

#[tokio::test(start_paused = true)]
async fn component_is_unready_after_its_tries_are_used_up() {
    let (mut retry, metrics, _) = retry_state(Some(1));
    metrics.set_health(Health::Ready);
    assert_eq!(retry.failed(&Error::retry("down")).await, Ok(false));
    assert_eq!(metrics.status().health, Health::Waiting("down".into()));
    retry.succeeded();
    assert_eq!(metrics.status().health, Health::Ready);
}

#[tokio::test(start_paused = true)]
async fn component_is_unready_after_the_clients_of_a_failing_batch_are_gone() {
    let (mut retry, metrics, _) = retry_state(None);
    metrics.set_health(Health::Ready);
    assert_eq!(retry.failed(&Error::retry("down")).await, Ok(true));
    retry.gave_up();
    assert_eq!((metrics.status().health, retry.failures()), (Health::Waiting("down".into()), 0));
}

#[tokio::test(start_paused = true)]
async fn hard_stop_ends_a_pause() {
    let (mut retry, _, tasks) = retry_state(None);
    tasks.fail(Failure::Stopped);
    let waited = retry.failed(&Error::retry("down").after(Duration::from_secs(60))).await;
    assert_eq!(waited, Err(Failure::Stopped));
}
