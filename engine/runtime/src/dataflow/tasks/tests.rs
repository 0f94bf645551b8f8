use super::*;

fn tasks() -> GraphTasks {
    GraphTasks::new(&CancellationToken::new())
}

/// Guards against a run that ends in place of a restart: a source that was sending to a failed sink ended first.
#[tokio::test]
async fn failure_is_reported_even_if_a_neighbour_ends_first() {
    let tasks = tasks();
    let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
    let stopped = tasks.hard_stop().clone();
    tasks.spawn(async move {
        drop(receiver);
        stopped.cancelled().await;
        Err(Failure::Replay("rolled back".into()))
    });
    tasks.spawn(async move {
        let mut sender = sender;
        sender.closed().await;
        Err(Failure::Stopped)
    });
    tasks.joined().await;
    assert_eq!(tasks.failure(), Some(Failure::Replay("rolled back".into())));
}

#[tokio::test]
async fn hard_stop_is_the_reason_if_there_is_no_other() {
    let tasks = tasks();
    tasks.fail(Failure::Stopped);
    tasks.spawn(async { Err(Failure::Fatal("too late".into())) });
    tasks.joined().await;
    assert_eq!(tasks.failure(), Some(Failure::Stopped));
}

/// End of a task that has dropped a batch.
type End = fn() -> Result<(), Failure>;

#[tokio::test]
async fn dropped_batch_is_explained_by_the_failure_of_its_task() {
    let ends: [(End, Failure); 3] = [
        (|| panic!("broken"), Failure::Crashed("panicked: broken".into())),
        (|| Err(Failure::Fatal("no rights".into())), Failure::Fatal("no rights".into())),
        (|| Ok(()), Failure::Crashed("a batch was dropped without an answer".into())),
    ];
    for (end, failure) in ends {
        let tasks = tasks();
        let on_batch_failed = tasks.on_batch_failed();
        tasks.spawn(async move {
            tokio::task::yield_now().await;
            on_batch_failed();
            end()
        });
        tasks.joined().await;
        assert_eq!(tasks.failure(), Some(failure));
    }
}

#[tokio::test]
async fn dropped_batch_fails_the_run_although_its_task_continues() {
    let tasks = tasks();
    let (on_batch_failed, stopped) = (tasks.on_batch_failed(), tasks.hard_stop().clone());
    tasks.spawn(async move {
        on_batch_failed();
        stopped.cancelled().await;
        Err(Failure::Stopped)
    });
    tasks.joined().await;
    assert!(
        matches!(tasks.failure(), Some(Failure::Crashed(reason)) if reason.contains("without an answer"))
    );
}

#[tokio::test]
async fn dropped_batch_outside_of_tasks_fails_the_run() {
    let tasks = tasks();
    (tasks.on_batch_failed())();
    assert!(matches!(tasks.failure(), Some(Failure::Crashed(_))));
}

#[tokio::test]
async fn batches_dropped_while_winding_down_are_expected() {
    let tasks = tasks();
    tasks.wind_down(Failure::Fatal("first".into()));
    (tasks.on_batch_failed())();
    let on_batch_failed = tasks.on_batch_failed();
    tasks.spawn(async move {
        on_batch_failed();
        Ok(())
    });
    tasks.joined().await;
    assert_eq!(tasks.failure(), Some(Failure::Fatal("first".into())));
    assert!(!tasks.hard_stop().is_cancelled());
}
