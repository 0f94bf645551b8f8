use std::collections::VecDeque;
use std::sync::Mutex;

use tokio::sync::Notify;

use super::*;

/// Notes what is asked of it, and is over when told.
#[derive(Default)]
struct Noted {
    calls: Mutex<Vec<&'static str>>,
    over: Notify,
    over_when: &'static str,
}

impl Noted {
    fn over_when(call: &'static str) -> Self {
        Self { over_when: call, ..Self::default() }
    }

    fn note(&self, call: &'static str) {
        self.calls.lock().unwrap().push(call);
        if call == self.over_when {
            self.over.notify_one();
        }
    }

    fn calls(&self) -> Vec<&'static str> {
        self.calls.lock().unwrap().clone()
    }
}

impl Pipelines for Noted {
    fn status(&self) -> Vec<GraphStatus> {
        Vec::new()
    }
    fn drain(&self) {
        self.note("drain");
    }
    fn abort(&self) {
        self.note("abort");
    }
    async fn finished(&self) {
        self.over.notified().await;
    }
}

/// Watches while these requests come, one after the other.
async fn watched(pipelines: &Noted, requests: &[Request]) -> Option<Exit> {
    let mut requests: VecDeque<Request> = requests.iter().copied().collect();
    let next = async || match requests.pop_front() {
        Some(request) => request,
        None => std::future::pending().await,
    };
    let watching = watch(pipelines, next, Duration::from_secs(3600), |_| {});
    timeout(Duration::from_secs(10), watching).await.expect("the requests bring it to its end")
}

#[tokio::test]
async fn the_first_stop_drains_and_the_graphs_say_how_it_ended() {
    let pipelines = Noted::over_when("drain");
    assert_eq!(watched(&pipelines, &[Request::Stop]).await, None);
    assert_eq!(pipelines.calls(), ["drain"]);
}

#[tokio::test]
async fn the_second_stop_ends_at_once_with_130() {
    let pipelines = Noted::over_when("abort");
    assert_eq!(watched(&pipelines, &[Request::Stop, Request::Stop]).await, Some(Exit::Interrupted));
    assert_eq!(pipelines.calls(), ["drain", "abort"]);
}

#[tokio::test]
async fn a_request_to_reload_changes_nothing() {
    let pipelines = Noted::over_when("drain");
    assert_eq!(watched(&pipelines, &[Request::Reload, Request::Stop]).await, None);
    assert_eq!(pipelines.calls(), ["drain"]);
}

#[tokio::test]
async fn it_shows_how_things_are_until_the_end() {
    let pipelines = Noted::default();
    let mut shown = 0;
    let next = async || std::future::pending().await;
    let exit = watch(&pipelines, next, Duration::from_millis(1), |_| {
        shown += 1;
        if shown == 3 {
            pipelines.over.notify_one();
        }
    });
    assert_eq!(exit.await, None);
    assert!(shown >= 3, "{shown}");
}
