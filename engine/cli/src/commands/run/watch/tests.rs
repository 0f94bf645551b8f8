use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, sync_channel};

use tokio::sync::Notify;

use super::*;

/// Records its calls, and is over after one of them.
#[derive(Default)]
struct Noted {
    calls: Mutex<Vec<&'static str>>,
    over: Notify,
    /// Ends a reload.
    reloading: Notify,
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

    async fn until_called(&self, calls: &[&'static str]) {
        while self.calls() != calls {
            tokio::task::yield_now().await;
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
    async fn reload(&self) {
        self.note("reload");
        self.reloading.notified().await;
        self.note("reloaded");
    }
    fn reloads(&self) -> Reloads {
        Reloads::default()
    }
}

/// Watches while these requests come, one after the other.
async fn watched(pipelines: &Arc<Noted>, requests: &[Request]) -> Option<Exit> {
    let mut requests: VecDeque<Request> = requests.iter().copied().collect();
    let next = async || match requests.pop_front() {
        Some(request) => request,
        None => std::future::pending().await,
    };
    let watching = watch(pipelines, next, Until::Over, Duration::from_secs(3600), |_| {});
    timeout(Duration::from_secs(10), watching).await.expect("the requests bring it to its end")
}

#[tokio::test]
async fn the_first_stop_drains_and_the_graphs_say_how_it_ended() {
    let pipelines = Arc::new(Noted::over_when("drain"));
    assert_eq!(watched(&pipelines, &[Request::Stop]).await, None);
    assert_eq!(pipelines.calls(), ["drain"]);
}

#[tokio::test]
async fn the_second_stop_ends_at_once_with_130() {
    let pipelines = Arc::new(Noted::over_when("abort"));
    assert_eq!(watched(&pipelines, &[Request::Stop, Request::Stop]).await, Some(Exit::Interrupted));
    assert_eq!(pipelines.calls(), ["drain", "abort"]);
}

#[tokio::test]
async fn requests_during_a_reload_cause_one_more() {
    let pipelines = Arc::new(Noted::default());
    let (mut asked, all) = (0, [Request::Reload; 3]);
    let next = async || match all.get(asked) {
        Some(request) => {
            asked += 1;
            *request
        }
        None => {
            pipelines.reloading.notify_one();
            std::future::pending().await
        }
    };
    let ending = async {
        pipelines.until_called(&["reload", "reloaded", "reload", "reloaded"]).await;
        pipelines.over.notify_one();
    };
    let watching = watch(&pipelines, next, Until::Over, Duration::from_secs(3600), |_| {});
    assert_eq!(tokio::join!(watching, ending).0, None);
    assert_eq!(pipelines.calls().len(), 4);
}

#[tokio::test]
async fn a_reload_during_a_drain_is_ignored() {
    let pipelines = Arc::new(Noted::over_when("abort"));
    let requests = [Request::Stop, Request::Reload, Request::Stop];
    assert_eq!(watched(&pipelines, &requests).await, Some(Exit::Interrupted));
    assert_eq!(pipelines.calls(), ["drain", "abort"]);
}

#[tokio::test]
async fn a_watch_until_stopped_outlives_its_graphs() {
    let pipelines = Arc::new(Noted::default());
    pipelines.over.notify_one();
    let mut requests = VecDeque::from([Request::Reload, Request::Stop]);
    // Each request comes when the one before it has had its effect.
    let next = async || {
        match requests.len() {
            2 => pipelines.reloading.notify_one(),
            _ => pipelines.until_called(&["reload", "reloaded"]).await,
        }
        match requests.pop_front() {
            Some(request) => request,
            None => std::future::pending().await,
        }
    };
    let over_again = async {
        pipelines.until_called(&["reload", "reloaded", "drain"]).await;
        pipelines.over.notify_one();
    };
    let watching = watch(&pipelines, next, Until::Stopped, Duration::from_secs(3600), |_| {});
    let both = async { tokio::join!(watching, over_again).0 };
    let exit = timeout(Duration::from_secs(10), both).await.expect("it ends when it is stopped");
    assert_eq!(exit, None);
}

#[tokio::test]
async fn the_status_is_shown_until_the_end() {
    let pipelines = Arc::new(Noted::default());
    let mut shown = 0;
    let next = async || std::future::pending().await;
    let exit = watch(&pipelines, next, Until::Over, Duration::from_millis(1), |_| {
        shown += 1;
        if shown == 3 {
            pipelines.over.notify_one();
        }
    });
    assert_eq!(exit.await, None);
    assert!(shown >= 3, "{shown}");
}

/// Blocks its thread in a reload, as a pipeline file on a dead network share does.
struct Stuck {
    blocked: Mutex<Receiver<()>>,
    reloading: Notify,
    over: Notify,
}

impl Pipelines for Stuck {
    fn status(&self) -> Vec<GraphStatus> {
        Vec::new()
    }
    fn drain(&self) {
        self.over.notify_one();
    }
    fn abort(&self) {}
    async fn finished(&self) {
        self.over.notified().await;
    }
    async fn reload(&self) {
        self.reloading.notify_one();
        let _ = self.blocked.lock().unwrap().recv();
    }
    fn reloads(&self) -> Reloads {
        Reloads::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signals_are_answered_during_a_reload_that_blocks() {
    let (release, blocked) = sync_channel(1);
    let blocked = Mutex::new(blocked);
    let pipelines = Arc::new(Stuck { blocked, reloading: Notify::new(), over: Notify::new() });
    let mut requests = VecDeque::from([Request::Reload, Request::Stop]);
    let next = async || {
        if requests.len() == 1 {
            pipelines.reloading.notified().await;
        }
        match requests.pop_front() {
            Some(request) => request,
            None => std::future::pending().await,
        }
    };
    let watching = watch(&pipelines, next, Until::Over, Duration::from_secs(3600), |_| {});
    let exit = timeout(Duration::from_secs(30), watching).await.expect("the stop is answered");
    assert_eq!(exit, None);
    release.send(()).unwrap();
}
