//! Pipes and devices in place of a file, links in its way, and folders that go.

use std::fs;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, symlink};
use std::path::Path;

use rustix::fs::{CWD, FileType, OFlags, mknodat};

use super::*;

fn pipe(folder: &TempDir) -> String {
    let path = path(folder, "pipe");
    mknodat(CWD, &path, FileType::Fifo, 0o644.into(), 0).unwrap();
    path
}

/// The end of a pipe that reads, without waiting for the one that writes.
fn reader(path: &str) -> fs::File {
    fs::File::options().read(true).custom_flags(OFlags::NONBLOCK.bits() as i32).open(path).unwrap()
}

fn available(reader: &mut fs::File) -> String {
    let (mut text, mut bytes) = (Vec::new(), vec![0; 1 << 20]);
    while let Ok(read @ 1..) = reader.read(&mut bytes) {
        text.extend_from_slice(&bytes[..read]);
    }
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn a_pipe_is_written_when_it_has_a_reader() {
    let folder = TempDir::new().unwrap();
    let pipe = pipe(&folder);
    let (mut sink, cx) = open(&json!({ "path": pipe })).await;
    let delivery = sink.write(&batch(["1", "2", "3"]), &cx).await.unwrap();
    let (again, error) = delivery.to_retry().expect("it has no reader");
    assert_eq!((again, error.class()), ([0, 1, 2].as_slice(), Class::Retry));
    assert!(error.message().contains("has no reader"), "{error}");
    let mut first = reader(&pipe);
    write(&mut sink, &cx, &["1", "2", "3"]).await;
    assert_eq!(available(&mut first), "1\n2\n3\n");
    // The reader goes, and another one comes.
    drop(first);
    let delivery = sink.write(&batch(["4"]), &cx).await.unwrap();
    assert!(delivery.to_retry().is_some(), "{delivery:?}");
    let mut second = reader(&pipe);
    write(&mut sink, &cx, &["4"]).await;
    assert_eq!(available(&mut second), "4\n");
    assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo(), "it is still a pipe");
}

#[tokio::test]
async fn each_file_fails_for_a_reason_of_its_own() {
    let folder = TempDir::new().unwrap();
    for name in ["a", "b"] {
        mknodat(CWD, path(&folder, name), FileType::Fifo, 0o644.into(), 0).unwrap();
    }
    let (mut sink, cx) = open(&json!({ "path": path(&folder, "{.to}") })).await;
    let events = [r#"{"to":"a"}"#, r#"{"to":"c"}"#, r#"{"to":"b"}"#, r#"{"to":"a"}"#];
    let mut delivery = sink.write(&batch(events), &cx).await.unwrap();
    assert_eq!(delivery.to_retry().unwrap().0, [0, 2, 3], "the pipes have no readers");
    let reasons = delivery.take_failed();
    for (index, name) in [(0, "/a"), (1, "/b"), (2, "/a")] {
        assert!(reasons[index].1.contains(name), "{reasons:?}");
    }
}

#[tokio::test]
async fn a_reader_that_takes_nothing_is_waited_for_and_gets_each_event_once_and_whole() {
    let folder = TempDir::new().unwrap();
    let pipe = pipe(&folder);
    let mut reader = reader(&pipe);
    let (mut sink, cx) = open(&json!({ "path": pipe })).await;
    // More than a pipe holds; lines of a length that does not fit it.
    let events: Vec<String> = (0..300).map(|number| format!("{number:04}{}", "x".repeat(997))).collect();
    let (mut left, mut text, mut waits) = (events.clone(), String::new(), 0);
    loop {
        let delivery = sink.write(&batch(&left), &cx).await.unwrap();
        let Some((again, error)) = delivery.to_retry() else { break };
        assert_eq!(error.class(), Class::Retry, "{error}");
        assert!(error.message().contains("takes nothing"), "{error}");
        left = again.iter().map(|event| left[*event].clone()).collect();
        waits += 1;
        text += &available(&mut reader);
    }
    text += &available(&mut reader);
    assert!(waits > 2, "it had to wait {waits} times");
    let expected: String = events.iter().flat_map(|event| [event, "\n"]).collect();
    assert!(text == expected, "{} bytes of {}", text.len(), expected.len());
}

#[tokio::test]
async fn files_that_cannot_be_appended_to_are_refused() {
    let folder = TempDir::new().unwrap();
    let socket = path(&folder, "socket");
    let _socket = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let (pipe, cx) = (pipe(&folder), context().0);
    for (options, expected) in [
        (json!({ "path": socket }), "is a socket"),
        (json!({ "path": pipe, "compress": "gzip" }), "`compress` is not possible"),
    ] {
        let error = build_sink(&plugin(), &options).open(&cx).await.unwrap_err();
        assert!(error.class() == Class::Misconfigured && error.message().contains(expected), "{error}");
    }
    // With effectively-once delivery nothing can be taken back from a pipe.
    let claimed = super::stream::claimed(&json!({ "path": pipe }), &super::stream::claim(false)).await;
    let error = claimed.map(drop).unwrap_err();
    assert!(error.message().contains("not a regular file"), "{error}");
    let (mut sink, cx) = open(&json!({ "path": "/dev/null" })).await;
    write(&mut sink, &cx, &["1"]).await;
}

#[tokio::test]
async fn a_folder_that_was_removed_is_made_again() {
    let folder = TempDir::new().unwrap();
    for (path_option, file) in [("a/b/out", "a/b/out"), ("a/{.f}/out", "a/x/out")] {
        let (mut sink, cx) = open(&json!({ "path": path(&folder, path_option) })).await;
        for number in 0..3 {
            let event = format!(r#"{{"f":"x","n":{number}}}"#);
            write(&mut sink, &cx, &[&event]).await;
            assert_eq!(fs::read_to_string(path(&folder, file)).unwrap(), event + "\n");
            fs::remove_dir_all(path(&folder, "a")).unwrap();
        }
    }
}

/// Additional text of the files outside.
const VICTIM: &str = "victim\n";

/// Replaces the folder `name` by a link to a folder outside, with the same files and additional text in them.
fn swap(folder: &TempDir, name: &str) {
    let (inside, outside) = (path(folder, name), path(folder, "outside"));
    fs::rename(&inside, path(folder, "was")).unwrap();
    fs::create_dir_all(&outside).unwrap();
    for entry in fs::read_dir(path(folder, "was")).unwrap() {
        let entry = entry.unwrap();
        let text = fs::read_to_string(entry.path()).unwrap() + VICTIM;
        fs::write(Path::new(&outside).join(entry.file_name()), text).unwrap();
    }
    symlink(&outside, &inside).unwrap();
}

fn is_untouched(folder: &TempDir) -> bool {
    let entries = fs::read_dir(path(folder, "outside")).unwrap().map(|entry| entry.unwrap());
    let entries: Vec<_> = entries.collect();
    let inside = |entry: &fs::DirEntry| Path::new(&path(folder, "was")).join(entry.file_name());
    let same = |entry: &fs::DirEntry| {
        fs::read_to_string(entry.path()).unwrap() == fs::read_to_string(inside(entry)).unwrap() + VICTIM
    };
    !entries.is_empty() && entries.iter().all(|entry| fs::exists(inside(entry)).unwrap() && same(entry))
}

#[tokio::test]
async fn a_folder_that_is_swapped_for_a_link_receives_nothing() {
    let rotating = json!({ "rotate": { "size": "1B", "keep": 1 } });
    for (more, opened) in [(json!({}), 64), (json!({}), 1), (rotating, 64)] {
        let folder = TempDir::new().unwrap();
        let mut options = more.clone();
        options["path"] = path(&folder, "root/{.f}/out").into();
        options["max_open"] = opened.into();
        let (mut sink, cx) = open(&options).await;
        write(&mut sink, &cx, &[r#"{"f":"a"}"#, r#"{"f":"b"}"#, r#"{"f":"a","n":2}"#]).await;
        swap(&folder, "root/a");
        let events = [r#"{"f":"a"}"#, r#"{"f":"b"}"#, r#"{"f":"a"}"#];
        let delivery = sink.write(&batch(events), &cx).await.unwrap();
        let mut rejected: Vec<usize> = delivery.rejected().iter().map(|one| one.event).collect();
        rejected.sort_unstable();
        assert_eq!(rejected, [0, 2], "{delivery:?}");
        assert!(delivery.rejected()[0].reason.contains("symbolic link"), "{delivery:?}");
        assert!(delivery.to_retry().is_none(), "{delivery:?}");
        assert!(is_untouched(&folder), "{more}");
    }
}

#[tokio::test]
async fn a_folder_that_is_swapped_for_a_link_receives_nothing_effectively_once() {
    let folder = TempDir::new().unwrap();
    let options = json!({ "path": path(&folder, "root/{.f}/out"), "rotate": { "size": "1KiB", "keep": 1 } });
    let mut driver = super::stream::Driver::start(&options).await.unwrap();
    driver.commit(super::stream::FILES).await;
    swap(&folder, "root/1");
    assert!(driver.try_commit(super::stream::FILES).await.is_err() || is_untouched(&folder));
    assert!(is_untouched(&folder), "a commit writes nothing outside");
    drop(driver);
    // Recovery after a crash changes nothing either.
    let _ = super::stream::Driver::start(&options).await.map(drop);
    assert!(is_untouched(&folder), "recovery cuts nothing outside");
}

#[tokio::test]
async fn a_file_that_was_moved_after_a_crash_loses_what_was_never_committed() {
    for target in ["root/old/1", "root/archive/deep/x", "root/1/out.1"] {
        let folder = TempDir::new().unwrap();
        let options = json!({ "path": path(&folder, "root/{.f}/out") });
        let mut driver = super::stream::Driver::start(&options).await.unwrap();
        driver.commit(3 * super::stream::FILES).await;
        let next = driver.next;
        drop(driver);
        let file = path(&folder, "root/1/out");
        let committed = fs::read_to_string(&file).unwrap();
        // Text of a commit during which the process was killed.
        let mut torn = fs::File::options().append(true).open(&file).unwrap();
        std::io::Write::write_all(&mut torn, b"{\"f\":1,\"n\":\"never committed\"}\n").unwrap();
        let target = path(&folder, target);
        fs::create_dir_all(Path::new(&target).parent().unwrap()).unwrap();
        fs::rename(&file, &target).unwrap();
        if target.ends_with("out.1") {
            fs::write(&file, "another file\n").unwrap();
        }
        let mut driver = super::stream::Driver::start(&options).await.unwrap();
        assert_eq!(driver.next, next);
        assert_eq!(fs::read_to_string(&target).unwrap(), committed, "{target}");
        driver.commit(super::stream::FILES).await;
        let expected = super::stream::event(next + 1);
        assert!(fs::read_to_string(&file).unwrap().ends_with(&format!("{expected}\n")));
    }
}
