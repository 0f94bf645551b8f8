//! Files that are read once.

use std::fs;

use tidegate_sdk::{AttributeValue, Class};

use super::*;

async fn read(options: &Value) -> (Vec<String>, Vec<String>) {
    let (texts, rejected, _) = Run::start(options).await.end().await;
    (texts, rejected)
}

async fn refused(options: &Value) -> tidegate_sdk::Error {
    build_source(&plugin(), options).open(&context().0).await.unwrap_err()
}

#[tokio::test]
async fn globs_and_paths_are_read_in_order_each_once() {
    let folder = TempDir::new().unwrap();
    for (name, text) in [("b.log", "\u{feff}three\r\n\r\nfour"), ("a.log", "one\ntwo\n"), ("c.txt", "five\n")]
    {
        fs::write(path(&folder, name), text).unwrap();
    }
    fs::create_dir(path(&folder, "folder.log")).unwrap();
    let options = json!({ "path": [path(&folder, "*.log"), path(&folder, "c.txt"), path(&folder, "a.log")] });
    let mut run = Run::start(&options).await;
    let first = run.next_events().await.unwrap();
    let expected = AttributeValue::Text(path(&folder, "a.log"));
    assert_eq!(first.batch.attribute(1, "file"), Some(&expected));
    assert_eq!(&*first.batch.origin(0).partition, path(&folder, "a.log"));
    run.until(5).await;
    assert_eq!(run.cx.progress().get(), Some((29, 29)));
    let (texts, rejected, _) = run.end().await;
    assert_eq!(texts, ["one", "two", "three", "four", "five"]);
    assert!(rejected.is_empty());
}

#[tokio::test]
async fn missing_files_are_named() {
    let folder = TempDir::new().unwrap();
    for (name, text) in [("no.log", "there is no file"), ("*.log", "no file matches"), ("", "is a folder")] {
        let error = refused(&json!({ "path": path(&folder, name) })).await;
        assert_eq!(error.class(), Class::Fatal);
        assert!(error.message().contains(text) && error.message().contains(&path(&folder, name)), "{error}");
    }
    let error = refused(&json!({ "path": "no-such.log" })).await;
    assert!(error.message().contains("looked in /"), "{error}");
}

/// Stops after each batch in turn and resumes from its position: no gap, and nothing twice.
async fn resumes_anywhere(bytes: &[u8], options: Value, expected: &[String]) {
    let folder = TempDir::new().unwrap();
    fs::write(path(&folder, "input"), bytes).unwrap();
    let mut options = options;
    options["path"] = path(&folder, "input").into();
    let mut batches = 0;
    for stop_after in 0.. {
        let mut run = Run::start(&options).await;
        for _ in 0..stop_after {
            run.next().await.unwrap();
        }
        let (mut texts, positions) = (run.texts.clone(), run.positions.clone());
        drop(run);
        let (rest, rejected, _) = Run::resume(&options, positions).await.end().await;
        assert!(rejected.is_empty(), "{rejected:?}");
        let finished = rest.is_empty();
        texts.extend(rest);
        assert!(texts == expected, "resumed after {stop_after}: {} of {}", texts.len(), expected.len());
        batches = stop_after;
        if finished {
            break;
        }
    }
    assert!(batches > 2, "there were batches to stop between");
}

#[tokio::test]
async fn lines_resume_at_each_batch() {
    let text = lines(0..30_000);
    resumes_anywhere(text.as_bytes(), json!({}), &numbers(0..30_000)).await;
    // A last line without its end is a line too, and is not read again.
    resumes_anywhere(text.trim_end().as_bytes(), json!({}), &numbers(0..30_000)).await;
}

#[tokio::test]
async fn compressed_lines_resume_at_each_batch() {
    let (first, second) = (lines(0..25_000), lines(25_000..50_000));
    let members = [gzip(first.as_bytes()), gzip(second.as_bytes())].concat();
    resumes_anywhere(&members, json!({}), &numbers(0..50_000)).await;
    let frame = |text: &str| zstd::encode_all(text.as_bytes(), 1).unwrap();
    resumes_anywhere(&[frame(&first), frame(&second)].concat(), json!({}), &numbers(0..50_000)).await;
}

#[tokio::test]
async fn arrays_resume_at_each_batch() {
    let elements: Vec<String> = (0..26_000).map(|number| format!("{{\"n\":{number}}}")).collect();
    let text = format!(" [ {} ] \n", elements.join(" , "));
    resumes_anywhere(text.as_bytes(), json!({ "decode": "json_array" }), &elements).await;
    resumes_anywhere(&gzip(text.as_bytes()), json!({ "decode": "json_array" }), &elements).await;
}

#[tokio::test]
async fn csv_resumes_at_each_batch_with_its_header() {
    let rows: String = (0..26_000).map(|number| format!("{number},\"a\r\n{number}\"\r\n")).collect();
    let expected: Vec<String> =
        (0..26_000).map(|number| format!("{{\"id\":{number},\"name\":\"a\\r\\n{number}\"}}")).collect();
    let text = format!("\u{feff}id,name\r\n{rows}");
    let options = json!({ "decode": "csv", "csv": { "types": true } });
    resumes_anywhere(text.as_bytes(), options.clone(), &expected).await;
    resumes_anywhere(&gzip(text.as_bytes()), options, &expected).await;
}

#[tokio::test]
async fn lines_of_csv_are_counted_across_a_resume() {
    let folder = TempDir::new().unwrap();
    let rows: String = (0..20_000).map(|number| format!("{number},x\n")).collect();
    fs::write(path(&folder, "a.csv"), format!("id,name\n{rows}bad\n")).unwrap();
    let options = json!({ "path": path(&folder, "a.csv"), "decode": "csv" });
    let mut run = Run::start(&options).await;
    run.next().await.unwrap();
    let positions = run.positions.clone();
    drop(run);
    let (_, rejected, _) = Run::resume(&options, positions).await.end().await;
    assert!(rejected.len() == 1 && rejected[0].starts_with("line 20002: "), "{rejected:?}");
}

#[tokio::test]
async fn a_file_that_changed_is_read_from_its_start() {
    let folder = TempDir::new().unwrap();
    let input = path(&folder, "input");
    let options = json!({ "path": input });
    let changes: [(&str, &dyn Fn()); 4] = [
        ("its start changed", &|| fs::write(&input, "ONE\ntwo\n").unwrap()),
        ("its end changed", &|| fs::write(&input, format!("{}LINE 000300\n", lines(0..300))).unwrap()),
        ("it is shorter", &|| fs::write(&input, "one\n").unwrap()),
        ("it was replaced", &|| {
            fs::write(path(&folder, "new"), "one\ntwo\n").unwrap();
            fs::rename(path(&folder, "new"), &input).unwrap();
        }),
    ];
    for (what, change) in changes {
        let before = if what == "its end changed" { lines(0..301) } else { "one\ntwo\n".to_owned() };
        fs::write(&input, before).unwrap();
        let (_, _, positions) = Run::start(&options).await.end().await;
        let (again, ..) = Run::resume(&options, positions.clone()).await.end().await;
        assert!(again.is_empty(), "unchanged, it is not read again");
        change();
        let (again, ..) = Run::resume(&options, positions).await.end().await;
        let now = fs::read_to_string(&input).unwrap();
        assert!(again.iter().map(String::as_str).eq(now.lines()), "{what}: {again:?}");
    }
}

#[tokio::test]
async fn appended_lines_are_read_by_the_next_run() {
    let folder = TempDir::new().unwrap();
    fs::write(path(&folder, "input"), "one\n").unwrap();
    let options = json!({ "path": path(&folder, "input") });
    let (_, _, positions) = Run::start(&options).await.end().await;
    append(path(&folder, "input"), "two\n");
    let (texts, ..) = Run::resume(&options, positions).await.end().await;
    assert_eq!(texts, ["two"]);
}

#[tokio::test]
async fn a_damaged_archive_gives_what_it_can_and_the_next_file_is_read() {
    let folder = TempDir::new().unwrap();
    let text = lines(0..1000);
    let whole = gzip(text.as_bytes());
    fs::write(path(&folder, "a.gz"), &whole[..whole.len() / 2]).unwrap();
    let frame = zstd::encode_all(text.as_bytes(), 1).unwrap();
    fs::write(path(&folder, "b.zst"), [&frame[..], &frame[..frame.len() / 2]].concat()).unwrap();
    fs::write(path(&folder, "c"), "last\n").unwrap();
    let (texts, rejected) = read(&json!({ "path": path(&folder, "*") })).await;
    let from_gzip = texts.iter().position(|text| text == "line 000999").unwrap() - 999;
    assert!(from_gzip > 10, "{from_gzip} lines were there to be read");
    assert_eq!(texts[..from_gzip], numbers(0..1000)[..from_gzip]);
    assert_eq!(texts[from_gzip..from_gzip + 1000], numbers(0..1000));
    assert_eq!(texts.last().unwrap(), "last");
    assert_eq!(rejected.len(), 2, "{rejected:?}");
    assert!(rejected[0].contains("a.gz") && rejected[1].contains("b.zst"), "{rejected:?}");
}

#[tokio::test]
async fn a_malformed_array_is_rejected_and_the_next_file_is_read() {
    let folder = TempDir::new().unwrap();
    for (name, text) in [("a", "{}"), ("b", "[1, 2"), ("c", "[3] x"), ("d", "[4]")] {
        fs::write(path(&folder, name), text).unwrap();
    }
    let (texts, rejected) = read(&json!({ "path": path(&folder, "*"), "decode": "json_array" })).await;
    assert_eq!(texts, ["1", "3", "4"]);
    let found: Vec<bool> = ["begins with", "before its `]`", "follows"]
        .iter()
        .zip(&rejected)
        .map(|(want, reason)| reason.contains(want))
        .collect();
    assert_eq!(found, [true; 3], "{rejected:?}");
}

#[tokio::test]
async fn a_line_over_the_limit_is_refused_and_the_next_one_read() {
    let folder = TempDir::new().unwrap();
    let text = format!("one\n{}\ntwo\n", "x".repeat(10 << 20));
    for (name, bytes) in [("plain", text.clone().into_bytes()), ("packed", gzip(text.as_bytes()))] {
        fs::write(path(&folder, name), bytes).unwrap();
        let (texts, rejected) = read(&json!({ "path": path(&folder, name) })).await;
        assert_eq!(texts, ["one", "two"]);
        assert!(rejected.len() == 1 && rejected[0].contains("10MiB"), "{rejected:?}");
    }
}

#[tokio::test]
async fn lines_that_are_not_text_pass_unchanged() {
    let folder = TempDir::new().unwrap();
    fs::write(path(&folder, "input"), b"\xff\0\xfex\r\n").unwrap();
    let mut run = Run::start(&json!({ "path": path(&folder, "input") })).await;
    assert_eq!(run.next_events().await.unwrap().batch.payload(0), b"\xff\0\xfex");
}

#[tokio::test]
async fn a_stop_ends_it_in_the_middle_and_joins_the_thread() {
    let folder = TempDir::new().unwrap();
    fs::write(path(&folder, "input"), lines(0..300_000)).unwrap();
    let options = json!({ "path": path(&folder, "input") });
    let mut run = Run::start(&options).await;
    run.next().await.unwrap();
    let (mut texts, _, positions) = run.stop().await;
    assert!(texts.len() < 300_000);
    let (rest, ..) = Run::resume(&options, positions).await.end().await;
    texts.extend(rest);
    assert!(texts == numbers(0..300_000));
}

#[tokio::test]
async fn invalid_options_are_refused() {
    for (options, pointer) in [
        (json!({ "path": [] }), "/path"),
        (json!({ "path": "a[" }), "/path"),
        (json!({ "path": "a", "csv": {} }), "/csv"),
        (json!({ "path": "a", "decode": "csv", "csv": { "delimiter": "ab" } }), "/csv/delimiter"),
        (json!({ "path": "a", "decode": "csv", "csv": { "header": false } }), "/csv/header"),
        (json!({ "path": "a", "decode": "csv", "csv": { "header": ["a", "a"] } }), "/csv/header"),
        (json!({ "path": "a", "poll_interval": "0s" }), "/poll_interval"),
    ] {
        let error = plugin().build(&options).err().unwrap();
        assert_eq!(error.pointer, pointer, "{error}");
    }
}
