//! The sink against real files.

mod exact;
mod kills;
mod special;
mod stream;

use std::fs;
use std::io::Read;

use serde_json::{Value, json};
use tempfile::TempDir;
use tidegate_sdk::{Class, Cx, Plugin, Sink};
use tidegate_testkit::{batch, build_sink, context};

fn plugin() -> Plugin {
    let is_sink = |plugin: &Plugin| plugin.kind() == tidegate_sdk::Kind::Sink;
    crate::plugins().into_iter().find(is_sink).expect("the sink is there")
}

fn path(folder: &TempDir, name: &str) -> String {
    folder.path().join(name).to_str().unwrap().to_owned()
}

async fn open(options: &Value) -> (Box<dyn Sink>, Cx) {
    let (cx, _) = context();
    let mut sink = build_sink(&plugin(), options);
    sink.open(&cx).await.unwrap();
    (sink, cx)
}

/// Writes events that must all be delivered.
async fn write(sink: &mut Box<dyn Sink>, cx: &Cx, events: &[&str]) {
    let delivery = sink.write(&batch(events), cx).await.unwrap();
    assert!(delivery.rejected().is_empty(), "{delivery:?}");
    assert!(delivery.to_retry().is_none(), "{delivery:?}");
}

/// The files in the folder in the order of their names.
fn names(folder: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = entries.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

fn unpacked(path: &str, compress: &str) -> String {
    let file = fs::File::open(path).unwrap();
    let mut text = String::new();
    match compress {
        "gzip" => flate2::read::MultiGzDecoder::new(file).read_to_string(&mut text).unwrap(),
        _ => zstd::stream::read::Decoder::new(file).unwrap().read_to_string(&mut text).unwrap(),
    };
    text
}

#[tokio::test]
async fn events_are_appended_and_half_a_line_is_ended_first() {
    let folder = TempDir::new().unwrap();
    let file = path(&folder, "a/b/out.jsonl");
    let (mut sink, cx) = open(&json!({ "path": file })).await;
    write(&mut sink, &cx, &["1", "2"]).await;
    write(&mut sink, &cx, &["3"]).await;
    drop(sink);
    fs::write(&file, "1\n2\n3\nhal").unwrap();
    let (mut sink, cx) = open(&json!({ "path": file })).await;
    write(&mut sink, &cx, &["4"]).await;
    assert_eq!(fs::read_to_string(&file).unwrap(), "1\n2\n3\nhal\n4\n");
}

#[tokio::test]
async fn a_file_is_emptied_by_the_first_event_only() {
    let folder = TempDir::new().unwrap();
    let file = path(&folder, "out");
    fs::write(&file, "old\n").unwrap();
    let (mut sink, cx) = open(&json!({ "path": file, "mode": "truncate" })).await;
    assert_eq!(fs::read_to_string(&file).unwrap(), "old\n", "opening alone changes nothing");
    write(&mut sink, &cx, &["1"]).await;
    write(&mut sink, &cx, &["2"]).await;
    assert_eq!(fs::read_to_string(&file).unwrap(), "1\n2\n");
}

#[tokio::test]
async fn each_event_goes_to_its_file_though_few_are_open() {
    let folder = TempDir::new().unwrap();
    let options = json!({ "path": path(&folder, "{.day}.jsonl"), "max_open": 2 });
    let (mut sink, cx) = open(&options).await;
    for round in 0..3 {
        let events: Vec<String> =
            (0..10).map(|event| format!(r#"{{"day":{},"n":{round}}}"#, event % 5)).collect();
        write(&mut sink, &cx, &events.iter().map(String::as_str).collect::<Vec<_>>()).await;
    }
    assert_eq!(names(&folder).len(), 5);
    for day in 0..5 {
        let expected: String =
            (0..3).map(|round| format!("{{\"day\":{day},\"n\":{round}}}\n").repeat(2)).collect();
        assert_eq!(fs::read_to_string(path(&folder, &format!("{day}.jsonl"))).unwrap(), expected);
    }
}

#[tokio::test]
async fn paths_that_leave_the_folder_are_rejected_one_by_one() {
    let folder = TempDir::new().unwrap();
    fs::create_dir(path(&folder, "in")).unwrap();
    fs::create_dir(path(&folder, "secret")).unwrap();
    fs::write(path(&folder, "victim"), "safe").unwrap();
    fs::create_dir(path(&folder, "in/folder")).unwrap();
    let link = |to: &str, at: &str| std::os::unix::fs::symlink(path(&folder, to), path(&folder, at)).unwrap();
    link("secret", "in/link");
    link("victim", "in/file");
    link("nothing", "in/nowhere");
    let (mut sink, cx) = open(&json!({ "path": path(&folder, "in/{.f}") })).await;
    let bad = [
        "../victim",
        "/etc/passwd",
        "a/../../victim",
        "..",
        "a//b",
        "./a",
        "",
        "a\\u0000b",
        "link/x",
        "file",
        "nowhere",
        "folder",
        "link/deep/x",
        "good/x",
    ];
    let mut events: Vec<String> = bad.iter().map(|file| format!(r#"{{"f":"{file}"}}"#)).collect();
    events.insert(0, r#"{"f":"good"}"#.to_owned());
    events.push(r#"{"g":1}"#.to_owned());
    events.push(format!(r#"{{"f":"{}"}}"#, "x".repeat(256)));
    events.push(r#"{"f":"sub/good"}"#.to_owned());
    let delivery = sink.write(&batch(&events), &cx).await.unwrap();
    assert!(delivery.to_retry().is_none(), "{delivery:?}");
    let mut rejected: Vec<usize> = delivery.rejected().iter().map(|one| one.event).collect();
    rejected.sort_unstable();
    assert_eq!(rejected, (1..events.len() - 1).collect::<Vec<_>>(), "{delivery:?}");
    assert_eq!(fs::read_to_string(path(&folder, "in/good")).unwrap(), "{\"f\":\"good\"}\n");
    assert_eq!(fs::read_to_string(path(&folder, "in/sub/good")).unwrap(), "{\"f\":\"sub/good\"}\n");
    assert_eq!(fs::read_to_string(path(&folder, "victim")).unwrap(), "safe");
    assert_eq!(fs::read_dir(path(&folder, "secret")).unwrap().count(), 0);
    assert!(!fs::exists(path(&folder, "nothing")).unwrap());
}

#[tokio::test]
async fn a_file_is_sealed_before_it_grows_too_large() {
    let folder = TempDir::new().unwrap();
    let options = json!({ "path": path(&folder, "out.jsonl"), "rotate": { "size": "10B", "keep": 2 } });
    let (mut sink, cx) = open(&options).await;
    write(&mut sink, &cx, &["1234", "5678", "9", "much longer than a file", "10", "11"]).await;
    let files = names(&folder);
    let texts: Vec<String> =
        files.iter().map(|name| fs::read_to_string(path(&folder, name)).unwrap()).collect();
    assert_eq!(texts, ["9\n", "much longer than a file\n", "10\n11\n"], "{files:?}");
    assert_eq!(files[2], "out.jsonl");
    assert!(files[0].starts_with("out-2") && files[0].ends_with("Z-0002.jsonl"), "{files:?}");
}

#[tokio::test]
async fn a_file_is_sealed_when_it_is_old() {
    let folder = TempDir::new().unwrap();
    let options = json!({ "path": path(&folder, "out"), "rotate": { "every": "1ms" } });
    let (mut sink, cx) = open(&options).await;
    write(&mut sink, &cx, &["1"]).await;
    std::thread::sleep(std::time::Duration::from_millis(2));
    write(&mut sink, &cx, &["2"]).await;
    let texts = names(&folder)
        .iter()
        .map(|name| fs::read_to_string(path(&folder, name)).unwrap())
        .collect::<Vec<_>>();
    // The file itself is called `out`, which comes before `out-...`.
    assert_eq!(texts, ["2\n", "1\n"]);
}

#[tokio::test]
async fn compressed_files_are_whole_after_each_write_and_mended_after_a_crash() {
    for (compress, name) in [("gzip", "out.gz"), ("zstd", "out.zst")] {
        let folder = TempDir::new().unwrap();
        let file = path(&folder, name);
        let options = json!({ "path": file, "compress": compress });
        let (mut sink, cx) = open(&options).await;
        for event in ["1", "2"] {
            write(&mut sink, &cx, &[event]).await;
        }
        assert_eq!(unpacked(&file, compress), "1\n2\n");
        // A crash in the middle of the third write, and of the first one.
        let whole = fs::read(&file).unwrap();
        for (torn, expected) in
            [([&whole[..], &whole[..7]].concat(), "1\n2\n3\n"), (whole[..7].to_vec(), "3\n")]
        {
            fs::write(&file, torn).unwrap();
            let (mut sink, cx) = open(&options).await;
            write(&mut sink, &cx, &["3"]).await;
            assert_eq!(unpacked(&file, compress), expected);
        }
        fs::write(&file, "plain text\n").unwrap();
        let error = build_sink(&plugin(), &options).open(&cx).await.unwrap_err();
        assert_eq!(error.class(), Class::Misconfigured);
        assert_eq!(fs::read_to_string(&file).unwrap(), "plain text\n");
    }
}

#[tokio::test]
async fn sealed_files_are_whole_archives() {
    let folder = TempDir::new().unwrap();
    let options = json!({ "path": path(&folder, "out.zst"), "compress": "zstd", "rotate": { "size": "1B" } });
    let (mut sink, cx) = open(&options).await;
    for event in ["1", "2", "3"] {
        write(&mut sink, &cx, &[event]).await;
    }
    let texts: Vec<String> =
        names(&folder).iter().map(|name| unpacked(&path(&folder, name), "zstd")).collect();
    assert_eq!(texts, ["1\n", "2\n", "3\n"]);
}

#[tokio::test]
async fn a_full_disk_is_an_error_and_no_event_counts_as_delivered() {
    let (mut sink, cx) = open(&json!({ "path": "/dev/full" })).await;
    let delivery = sink.write(&batch(["1", "2"]), &cx).await.unwrap();
    let (again, error) = delivery.to_retry().unwrap();
    assert_eq!((again, error.class()), ([0, 1].as_slice(), Class::Misconfigured));
    assert!(error.message().starts_with("/dev/full cannot be written: no space left"), "{error}");
}

#[tokio::test]
async fn files_that_cannot_be_opened_are_errors_at_the_start() {
    let folder = TempDir::new().unwrap();
    fs::write(path(&folder, "file"), "").unwrap();
    for name in ["file/out", ""] {
        let file = path(&folder, name).trim_end_matches('/').to_owned();
        let error = build_sink(&plugin(), &json!({ "path": file })).open(&context().0).await.unwrap_err();
        assert!(error.message().contains(&file), "{error}");
    }
}

#[tokio::test]
async fn a_file_that_is_moved_or_deleted_is_made_again() {
    let folder = TempDir::new().unwrap();
    let file = path(&folder, "out");
    let (mut sink, cx) = open(&json!({ "path": file })).await;
    write(&mut sink, &cx, &["1"]).await;
    fs::rename(&file, path(&folder, "moved")).unwrap();
    write(&mut sink, &cx, &["2"]).await;
    assert_eq!(fs::read_to_string(&file).unwrap(), "2\n");
    fs::remove_file(&file).unwrap();
    write(&mut sink, &cx, &["3"]).await;
    assert_eq!(fs::read_to_string(&file).unwrap(), "3\n");
    fs::write(&file, "").unwrap();
    write(&mut sink, &cx, &["4"]).await;
    assert_eq!(fs::read_to_string(&file).unwrap(), "4\n");
}

#[tokio::test]
async fn invalid_options_are_refused() {
    for (options, pointer) in [
        (json!({ "path": "a/" }), "/path"),
        (json!({ "path": "a/{.x}", "mode": "truncate" }), "/mode"),
        (json!({ "path": "a", "max_open": 0 }), "/max_open"),
        (json!({ "path": "a", "rotate": {} }), "/rotate"),
        (json!({ "path": "a", "rotate": { "size": "1B", "keep": 0 } }), "/rotate/keep"),
    ] {
        let error = plugin().build(&options).err().unwrap();
        assert_eq!(error.pointer, pointer, "{error}");
    }
}
