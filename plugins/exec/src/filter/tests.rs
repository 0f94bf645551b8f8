use serde_json::{Value, json};
use tidegate_sdk::erased::ErasedAsyncFilter;
use tidegate_sdk::{Class, Cx, Error, Output};
use tidegate_testkit::{batch, build_async_filter, conformance, context};

use super::plugin;

/// A filter that runs this script with `sh`.
fn script(script: &str, more: &Value) -> Box<dyn ErasedAsyncFilter> {
    let mut options = json!({ "command": ["sh", "-c", script], "kill_after": "500ms" });
    let members = options.as_object_mut().unwrap();
    members.extend(more.as_object().unwrap().clone());
    build_async_filter(&plugin(), &options)
}

/// What came out, and what was rejected.
type Outcome = (Vec<String>, Vec<(usize, String)>);

async fn once(filter: &mut dyn ErasedAsyncFilter, cx: &Cx, events: &[&str]) -> Result<Outcome, Error> {
    let mut out = Output::new();
    filter.process(&batch(events), &mut out, cx).await?;
    let (emitted, rejected) = out.take();
    let texts = emitted.iter().flat_map(|(_, batch)| batch.texts()).collect();
    Ok((texts, rejected.into_iter().map(|one| (one.event, one.reason)).collect()))
}

/// As [`once`], tried again as the engine does. Returns how often it was tried, too.
async fn retried(filter: &mut dyn ErasedAsyncFilter, cx: &Cx, events: &[&str]) -> (usize, Outcome) {
    for tries in 1..20 {
        match once(filter, cx, events).await {
            Ok(outcome) => return (tries, outcome),
            Err(error) => assert_eq!(error.class(), Class::Retry, "{error}"),
        }
    }
    panic!("it does not go through")
}

/// Answers each line with itself in brackets; drops `drop`, ends at `die`, is killed at `kill`.
const ECHO: &str = r#"while IFS= read -r line; do
    case "$line" in
        drop) echo ;;
        die) echo "cannot bear it" >&2; exit 7 ;;
        kill) kill -SEGV $$ ;;
        *) echo "[$line]" ;;
    esac
done"#;

#[tokio::test]
async fn each_line_is_answered_by_one_and_empty_ones_drop() {
    let mut filter = script(ECHO, &json!({}));
    let (cx, _stopping) = context();
    filter.open(&cx).await.unwrap();
    for _ in 0..2 {
        let (texts, rejected) = once(&mut *filter, &cx, &["a", "drop", "b\nc", "d"]).await.unwrap();
        assert_eq!(texts, ["[a]", "[d]"]);
        assert!(rejected.len() == 1 && rejected[0].0 == 2 && rejected[0].1.contains("line break"));
    }
    filter.close(&cx).await.unwrap();
    cx.tasks().joined().await;
}

#[tokio::test]
async fn a_big_batch_neither_blocks_nor_mixes_up() {
    let events: Vec<String> = (0..20_000).map(|n| format!("{n} {}", "x".repeat(50))).collect();
    let events: Vec<&str> = events.iter().map(String::as_str).collect();
    let mut filter = script("cat", &json!({}));
    let (cx, _stopping) = context();
    let (texts, rejected) = once(&mut *filter, &cx, &events).await.unwrap();
    assert!(texts == events && rejected.is_empty());
    filter.close(&cx).await.unwrap();
}

#[tokio::test]
async fn only_the_events_that_kill_it_are_rejected_and_why() {
    let mut filter = script(ECHO, &json!({}));
    let (cx, _stopping) = context();
    let (tries, (texts, rejected)) =
        retried(&mut *filter, &cx, &["a", "b", "die", "c", "drop", "kill", "d"]).await;
    assert_eq!((tries, texts.join(" ").as_str()), (3, "[a] [b] [c] [d]"));
    assert_eq!(rejected.iter().map(|one| one.0).collect::<Vec<_>>(), [2, 5]);
    assert!(rejected[0].1.contains("exit status 7; it last wrote to standard error: cannot bear it"));
    assert!(rejected[1].1.contains("signal SIGSEGV (11)"), "{rejected:?}");
    // And it works again, at once.
    assert_eq!(retried(&mut *filter, &cx, &["e"]).await, (1, (vec!["[e]".to_owned()], vec![])));
    assert_eq!(retried(&mut *filter, &cx, &["die", "f"]).await.0, 3, "each batch has its own attempts");
}

#[tokio::test]
async fn many_bad_events_in_a_row_do_not_hide_the_good_ones_behind_them() {
    let mut filter = script(ECHO, &json!({ "attempts": 1 }));
    let (cx, _stopping) = context();
    let events = [vec!["die"; 30], vec!["a"; 10]].concat();
    let (texts, rejected) = once(&mut *filter, &cx, &events).await.unwrap();
    assert_eq!((texts.len(), rejected.len()), (10, 30));
    // And one that is bad by itself is its own fault, as the command is known to work.
    assert_eq!(once(&mut *filter, &cx, &["die"]).await.unwrap().1.len(), 1);
}

#[tokio::test]
async fn a_command_that_answers_nothing_at_all_rejects_no_event() {
    let mut filter = script("echo broken >&2; exit 1", &json!({ "attempts": 1 }));
    let (cx, _stopping) = context();
    for events in [vec!["a"], vec!["a"; 3], vec!["a"; 100]] {
        let error = once(&mut *filter, &cx, &events).await.unwrap_err();
        assert_eq!(error.class(), Class::Misconfigured);
        assert!(error.message().contains("exit status 1; it last wrote to standard error: broken"));
    }
}

#[tokio::test]
async fn a_command_that_hangs_is_ended_in_time_with_all_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let hang = "read line; sleep 3600 & echo $! > child; wait";
    let options = json!({ "time_limit": "300ms", "attempts": 2, "folder": folder.path() });
    let mut filter = script(hang, &options);
    let (cx, _stopping) = context();
    let error = once(&mut *filter, &cx, &["a"]).await.unwrap_err();
    assert_eq!(error.message(), "`sh` has not answered within 300ms");
    let child = std::fs::read_to_string(folder.path().join("child")).unwrap();
    assert!(is_gone(child.trim()), "process {child} is left behind");
}

/// Whether a process has ended: there is none of this number, or only its status waits to be read.
fn is_gone(id: &str) -> bool {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while std::time::Instant::now() < deadline {
        match std::fs::read_to_string(format!("/proc/{id}/stat")) {
            Ok(stat) if !stat.contains(") Z ") => std::thread::yield_now(),
            _ => return true,
        }
    }
    false
}

#[tokio::test]
async fn an_answer_too_many_is_noticed() {
    let mut filter = script("while read -r line; do printf 'one\\ntwo\\n'; done", &json!({ "attempts": 2 }));
    let (cx, _stopping) = context();
    let error = once(&mut *filter, &cx, &["a"]).await.unwrap_err();
    assert_eq!(error.message(), "`sh` answered with more lines than it was given");
}

#[tokio::test]
async fn what_cannot_be_started_is_told() {
    let options = json!({ "command": ["/no/such/program"] });
    let mut filter = build_async_filter(&plugin(), &options);
    let error = filter.open(&context().0).await.unwrap_err();
    assert_eq!(error.class(), Class::Misconfigured);
    assert!(error.message().starts_with("`/no/such/program` cannot be started"), "{error}");
}

#[tokio::test]
async fn conforms() {
    let options = json!({ "command": ["cat"] });
    conformance::async_filter(&plugin(), &options, &["a", "b", "c"]).await;
}
