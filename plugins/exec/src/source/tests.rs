use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tidegate_sdk::{Class, Cx, Source};
use tidegate_testkit::{build_source, conformance, context, read_all};

use super::plugin;

fn script(script: &str, more: &Value) -> Box<dyn Source> {
    let mut options = json!({ "command": ["sh", "-c", script], "kill_after": "300ms" });
    options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    build_source(&plugin(), &options)
}

/// Reads until there are this many events.
async fn read(source: &mut dyn Source, cx: &Cx, events: usize) -> Vec<String> {
    let mut texts = Vec::new();
    while texts.len() < events {
        texts.extend(source.next(cx).await.unwrap().unwrap().batch.texts());
    }
    texts
}

#[tokio::test]
async fn once_mode_reads_every_line_and_ends() {
    let (texts, refused) =
        read_all(&mut *script("printf 'a\\n\\nb\\r\\nc'; echo noise >&2", &json!({}))).await.unwrap();
    assert_eq!(texts, ["a", "b", "c"]);
    assert!(refused.is_empty());
}

#[tokio::test]
async fn byte_order_mark_of_each_run_is_skipped() {
    let options = json!({ "mode": "interval", "interval": "30ms" });
    let mut source = script("printf '\\357\\273\\277{}\\n'", &options);
    let (cx, _stopping) = context();
    source.open(&cx).await.unwrap();
    assert_eq!(read(&mut *source, &cx, 2).await, ["{}", "{}"]);
    source.close(&cx).await.unwrap();
}

#[tokio::test]
async fn once_mode_fails_with_the_exit_status_after_all_lines() {
    let mut source = script("echo a; echo oh >&2; echo no >&2; exit 3", &json!({}));
    let (cx, _stopping) = context();
    source.open(&cx).await.unwrap();
    assert_eq!(read(&mut *source, &cx, 1).await, ["a"]);
    let error = source.next(&cx).await.unwrap_err();
    assert_eq!(error.class(), Class::Fatal);
    assert_eq!(error.message(), "`sh` ended with exit status 3; it last wrote to standard error: oh | no");
    assert!(source.next(&cx).await.unwrap().is_none());
}

#[tokio::test]
async fn command_sees_only_the_listed_environment() {
    let options = json!({ "environment": { "TOKEN": "t", "LANG": "C" } });
    let (texts, _) = read_all(&mut *script("env | cut -d= -f1", &options)).await.unwrap();
    let known = ["PATH", "HOME", "LANG", "TZ", "TOKEN", "PWD", "SHLVL", "_", "OLDPWD"];
    assert!(texts.iter().all(|name| known.contains(&name.as_str())), "{texts:?}");
    assert!(texts.contains(&"TOKEN".to_owned()));
}

#[tokio::test]
async fn interval_mode_runs_again_and_retries_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    // The second run fails.
    let count = "echo x >> runs; n=$(wc -l < runs); echo $n; test $n -ne 2";
    let options = json!({ "mode": "interval", "interval": "30ms", "folder": folder.path() });
    let mut source = script(count, &options);
    let (cx, stopping) = context();
    let started = Instant::now();
    assert_eq!(read(&mut *source, &cx, 2).await.len(), 2);
    assert!(started.elapsed() >= Duration::from_millis(30));
    let error = source.next(&cx).await.unwrap_err();
    assert_eq!((error.class(), error.message()), (Class::Retry, "`sh` ended with exit status 1"));
    assert_eq!(read(&mut *source, &cx, 1).await.len(), 1);
    stopping.cancel();
    while source.next(&cx).await.unwrap().is_some() {}
}

#[tokio::test]
async fn keep_running_mode_starts_again() {
    let mut source = script("echo a; exit 0", &json!({ "mode": "keep_running" }));
    let (cx, _stopping) = context();
    for _ in 0..2 {
        assert_eq!(read(&mut *source, &cx, 1).await, ["a"]);
        assert_eq!(source.next(&cx).await.unwrap_err().class(), Class::Retry);
    }
}

/// The pauses that the source asks for before each of its next starts.
async fn pauses(source: &mut dyn Source, cx: &Cx, failures: usize) -> Vec<u128> {
    let mut pauses = Vec::new();
    while pauses.len() < failures {
        if let Err(error) = source.next(cx).await {
            assert_eq!(error.class(), Class::Retry);
            pauses.push(error.retry_after().unwrap().as_millis());
        }
    }
    pauses
}

#[tokio::test]
async fn pauses_grow_although_each_run_wrote_something() {
    for options in [
        json!({ "mode": "keep_running" }),
        json!({ "mode": "interval", "interval": "1ms" }),
        json!({ "mode": "interval", "interval": "1ms", "time_limit": "20ms" }),
    ] {
        let hangs = options.get("time_limit").is_some();
        let mut source = script(if hangs { "echo a; exec sleep 3600" } else { "echo a; exit 1" }, &options);
        let (cx, _stopping) = context();
        assert_eq!(pauses(&mut *source, &cx, 4).await, [100, 200, 400, 800], "{options}");
    }
    let mut source = script("echo a", &json!({ "mode": "keep_running" }));
    assert_eq!(pauses(&mut *source, &context().0, 2).await, [100, 200], "an end counts, even with status 0");
}

#[tokio::test]
async fn pauses_begin_again_after_a_successful_run() {
    let folder = tempfile::tempdir().unwrap();
    // The third run succeeds.
    let script_text = "echo x >> runs; test $(wc -l < runs) -eq 3";
    let options = json!({ "mode": "interval", "interval": "1ms", "folder": folder.path() });
    let mut source = script(script_text, &options);
    assert_eq!(pauses(&mut *source, &context().0, 4).await, [100, 200, 100, 200]);
}

#[tokio::test]
async fn run_over_its_time_limit_fails_and_its_torn_line_is_rejected() {
    let mut source = script("echo a; printf half; exec sleep 3600", &json!({ "time_limit": "300ms" }));
    let (cx, _stopping) = context();
    assert_eq!(read(&mut *source, &cx, 1).await, ["a"]);
    let torn = source.next(&cx).await.unwrap().unwrap();
    assert!(torn.batch.is_empty());
    assert_eq!(torn.rejected[0].payload, "half");
    let error = source.next(&cx).await.unwrap_err();
    assert_eq!(error.message(), "`sh` took longer than its time limit of 300ms");
}

#[tokio::test]
async fn stop_kills_the_whole_group_even_if_it_ignores_sigterm() {
    for trap in ["", "trap '' TERM;"] {
        let mut source = script(&format!("{trap} (echo $$; sleep 3600) & wait; sleep 3600"), &json!({}));
        let (cx, stopping) = context();
        let group = read(&mut *source, &cx, 1).await.remove(0);
        stopping.cancel();
        while source.next(&cx).await.unwrap().is_some() {}
        source.close(&cx).await.unwrap();
        cx.tasks().joined().await;
        assert!(group_is_gone(&group), "something of group {group} is left behind");
    }
}

/// Tells whether no process of this group runs, after waiting for a killed one to end.
fn group_is_gone(group: &str) -> bool {
    let runs = |stat: &str| {
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        fields.len() > 2 && fields[0] != "Z" && fields[2] == group
    };
    let deadline = Instant::now() + Duration::from_secs(10);
    while Instant::now() < deadline {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let mut stats = processes.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
        if !stats.any(|stat| runs(&stat)) {
            return true;
        }
    }
    false
}

#[tokio::test]
async fn background_processes_do_not_delay_the_end() {
    let (texts, _) = read_all(&mut *script("sleep 3600 & echo a", &json!({}))).await.unwrap();
    assert_eq!(texts, ["a"]);
}

#[test]
fn conflicting_options_are_refused() {
    for (options, pointer) in [
        (json!({ "command": [] }), "/command"),
        (json!({ "command": ["a"], "interval": "1s" }), "/interval"),
        (json!({ "command": ["a"], "mode": "interval", "interval": "0s" }), "/interval"),
        (json!({ "command": ["a"], "mode": "keep_running", "time_limit": "1s" }), "/time_limit"),
        (json!({ "command": ["a"], "mode": "interval", "interval": "9999999999d" }), "/interval"),
        (json!({ "command": ["a"], "kill_after": "9999999999d" }), "/kill_after"),
        (json!({ "command": ["a"], "environment": { "A=B": "1" } }), "/environment"),
        (json!({ "command": ["a"], "folder": "" }), "/folder"),
    ] {
        assert_eq!(plugin().build(&options).err().unwrap().pointer, pointer, "{options}");
    }
}

#[tokio::test]
async fn source_conforms() {
    conformance::source(&plugin(), &json!({ "command": ["seq", "20000"] }), 20_000).await;
    let endless = json!({ "command": ["sh", "-c", "seq 3; sleep 3600"], "mode": "keep_running" });
    conformance::source(&plugin(), &endless, 3).await;
}
