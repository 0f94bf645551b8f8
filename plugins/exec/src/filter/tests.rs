use serde_json::{Value, json};
use tidegate_sdk::{AsyncFilter, Class, Cx, Error, Output};
use tidegate_testkit::{batch, build_async_filter, conformance, context};

use super::plugin;

/// A filter that runs this script with `sh`.
fn script(script: &str, more: &Value) -> Box<dyn AsyncFilter> {
    let mut options = json!({ "command": ["sh", "-c", script], "kill_after": "500ms" });
    let members = options.as_object_mut().unwrap();
    members.extend(more.as_object().unwrap().clone());
    build_async_filter(&plugin(), &options)
}

/// The events that were emitted, and those that were rejected.
type Outcome = (Vec<String>, Vec<(usize, String)>);

async fn once(filter: &mut dyn AsyncFilter, cx: &Cx, events: &[&str]) -> Result<Outcome, Error> {
    let batch = batch(events);
    let mut out = Output::new(&batch);
    filter.process(&batch, &mut out, cx).await?;
    let (emitted, rejected) = out.take();
    let texts = emitted.iter().flat_map(|(_, batch)| batch.texts()).collect();
    Ok((texts, rejected.into_iter().map(|one| (one.event, one.reason)).collect()))
}

/// As [`once`], retried as the engine does. Returns the number of tries as well.
async fn retried(filter: &mut dyn AsyncFilter, cx: &Cx, events: &[&str]) -> (usize, Outcome) {
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
async fn each_line_is_replaced_by_its_answer_and_empty_answers_drop() {
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
async fn large_batch_neither_blocks_nor_mixes_up() {
    let events: Vec<String> = (0..20_000).map(|n| format!("{n} {}", "x".repeat(50))).collect();
    let events: Vec<&str> = events.iter().map(String::as_str).collect();
    let mut filter = script("cat", &json!({}));
    let (cx, _stopping) = context();
    let (texts, rejected) = once(&mut *filter, &cx, &events).await.unwrap();
    assert!(texts == events && rejected.is_empty());
    filter.close(&cx).await.unwrap();
}

#[tokio::test]
async fn only_events_that_end_the_command_are_rejected() {
    let mut filter = script(ECHO, &json!({}));
    let (cx, _stopping) = context();
    let (tries, (texts, rejected)) =
        retried(&mut *filter, &cx, &["a", "b", "die", "c", "drop", "kill", "d"]).await;
    assert_eq!((tries, texts.join(" ").as_str()), (3, "[a] [b] [c] [d]"));
    assert_eq!(rejected.iter().map(|one| one.0).collect::<Vec<_>>(), [2, 5]);
    assert!(rejected[0].1.contains("exit status 7; it last wrote to standard error: cannot bear it"));
    assert!(rejected[1].1.contains("signal SIGSEGV (11)"), "{rejected:?}");
    // The command works again at once.
    assert_eq!(retried(&mut *filter, &cx, &["e"]).await, (1, (vec!["[e]".to_owned()], vec![])));
    assert_eq!(retried(&mut *filter, &cx, &["die", "f"]).await.0, 3, "each batch has its own attempts");
}

#[tokio::test]
async fn many_bad_events_in_a_row_do_not_harm_good_ones() {
    let mut filter = script(ECHO, &json!({ "attempts": 1 }));
    let (cx, _stopping) = context();
    let events = [vec!["die"; 30], vec!["a"; 10]].concat();
    let (texts, rejected) = once(&mut *filter, &cx, &events).await.unwrap();
    assert_eq!((texts.len(), rejected.len()), (10, 30));
    // A single bad event is at fault, because the command is known to work.
    assert_eq!(once(&mut *filter, &cx, &["die"]).await.unwrap().1.len(), 1);
}

#[tokio::test]
async fn command_that_never_answers_rejects_no_event() {
    let mut filter = script("echo broken >&2; exit 1", &json!({ "attempts": 1 }));
    let (cx, _stopping) = context();
    for events in [vec!["a"], vec!["a"; 3], vec!["a"; 100]] {
        let error = once(&mut *filter, &cx, &events).await.unwrap_err();
        assert_eq!(error.class(), Class::Misconfigured);
        assert!(error.message().contains("exit status 1; it last wrote to standard error: broken"));
    }
}

#[tokio::test]
async fn hanging_command_is_killed_with_its_children() {
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

#[tokio::test]
async fn end_of_a_command_whose_background_process_holds_its_output_is_noticed_at_once() {
    let script_text = "sleep 3600 & read line; echo \"gone\" >&2; exit 4";
    let mut filter = script(script_text, &json!({ "time_limit": "1h", "attempts": 2 }));
    let (cx, _stopping) = context();
    let error = once(&mut *filter, &cx, &["a"]).await.unwrap_err();
    assert_eq!(error.message(), "`sh` ended with exit status 4; it last wrote to standard error: gone");
}

/// Tells whether a process has ended: it does not exist, or is a zombie.
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

/// Answers each line with itself in brackets, and `double` with one more line.
const DOUBLE: &str = r#"while IFS= read -r line; do
    echo "[$line]"
    case "$line" in double) echo extra ;; esac
done"#;

#[tokio::test]
async fn line_too_many_rejects_only_the_event_that_it_answers() {
    for position in 0..7 {
        let mut events = vec!["a", "b", "c", "d", "e", "f"];
        events.insert(position, "double");
        let mut filter = script(DOUBLE, &json!({ "attempts": 2 }));
        let (cx, _stopping) = context();
        let (_, (texts, rejected)) = retried(&mut *filter, &cx, &events).await;
        // A line too many that comes after the last answer may be seen by the next batch only.
        let is_late = texts.last().is_some_and(|text| text == "[double]");
        assert!(!is_late || position == 6);
        assert_eq!(&texts[..6], ["[a]", "[b]", "[c]", "[d]", "[e]", "[f]"], "`double` at {position}");
        assert_eq!(rejected.len(), usize::from(!is_late));
        for (event, reason) in rejected {
            assert_eq!(
                (event, reason.as_str()),
                (position, "`sh` answered with more lines than it was given")
            );
        }
        // The next batch is not shifted.
        assert_eq!(retried(&mut *filter, &cx, &["g", "h"]).await.1.0, ["[g]", "[h]"]);
        filter.close(&cx).await.unwrap();
    }
}

#[tokio::test]
async fn every_answer_doubled_rejects_no_event_of_another() {
    let mut filter = script("while read -r line; do printf '1\\n2\\n'; done", &json!({ "attempts": 2 }));
    let (cx, _stopping) = context();
    let error = once(&mut *filter, &cx, &["a"]).await.unwrap_err();
    assert_eq!(error.message(), "`sh` answered with more lines than it was given");
    assert_eq!(once(&mut *filter, &cx, &["a"]).await.unwrap_err().class(), Class::Misconfigured);
}

#[tokio::test]
async fn line_too_many_between_two_batches_shifts_no_answer() {
    let folder = tempfile::tempdir().unwrap();
    // The second line of the answer to `late` comes after the batch is over.
    let late = r#"while IFS= read -r line; do
        echo "[$line]"
        case "$line" in late) until test -e go; do sleep 0.01; done; echo extra ;; esac
    done"#;
    let mut filter = script(late, &json!({ "folder": folder.path() }));
    let (cx, _stopping) = context();
    assert_eq!(once(&mut *filter, &cx, &["a", "late"]).await.unwrap().0, ["[a]", "[late]"]);
    std::fs::write(folder.path().join("go"), "").unwrap();
    assert_eq!(once(&mut *filter, &cx, &["b", "c"]).await.unwrap().0, ["[b]", "[c]"]);
    assert_eq!(once(&mut *filter, &cx, &["d"]).await.unwrap().0, ["[d]"]);
    std::fs::remove_file(folder.path().join("go")).unwrap();
    assert_eq!(once(&mut *filter, &cx, &["late"]).await.unwrap().0, ["[late]"]);
    std::fs::write(folder.path().join("go"), "").unwrap();
    let error = filter.close(&cx).await.unwrap_err();
    assert!(error.message().starts_with("`sh` wrote more lines than it was given"), "{error}");
}

#[tokio::test]
async fn output_before_the_first_line_is_misconfigured() {
    for events in [vec!["a"], vec!["a", "b", "c"]] {
        let mut filter = script("sleep 0.05; echo ready; exec cat", &json!({}));
        let (cx, _stopping) = context();
        let error = once(&mut *filter, &cx, &events).await.unwrap_err();
        assert_eq!(error.class(), Class::Misconfigured);
        assert!(error.message().contains("before it was given a line"), "{error}");
    }
}

#[tokio::test]
async fn output_after_the_last_answer_fails_the_end() {
    let mut filter = script("cat; echo total", &json!({}));
    let (cx, _stopping) = context();
    assert_eq!(once(&mut *filter, &cx, &["a", "b"]).await.unwrap().0, ["a", "b"]);
    assert!(filter.close(&cx).await.is_err());
    let mut filter = script("cat; echo total >&2", &json!({}));
    assert_eq!(once(&mut *filter, &cx, &["a", "b"]).await.unwrap().0, ["a", "b"]);
    filter.close(&cx).await.unwrap();
}

#[tokio::test]
async fn empty_lines_and_commands_that_read_late_are_answered() {
    let mut filter = script("sleep 1.2; sed -u 's/^/x/'", &json!({}));
    let (cx, _stopping) = context();
    assert_eq!(once(&mut *filter, &cx, &["", "a", ""]).await.unwrap().0, ["x", "xa", "x"]);
    assert_eq!(once(&mut *filter, &cx, &[""]).await.unwrap().0, ["x"]);
}

#[tokio::test]
async fn missing_program_is_misconfigured() {
    let options = json!({ "command": ["/no/such/program"] });
    let mut filter = build_async_filter(&plugin(), &options);
    let error = filter.open(&context().0).await.unwrap_err();
    assert_eq!(error.class(), Class::Misconfigured);
    assert!(error.message().starts_with("`/no/such/program` cannot be started"), "{error}");
}

#[tokio::test]
async fn filter_conforms() {
    let options = json!({ "command": ["cat"] });
    conformance::async_filter(&plugin(), &options, &["a", "b", "c"]).await;
}
