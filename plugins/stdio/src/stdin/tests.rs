use std::io::{PipeWriter, Write};
use std::os::fd::OwnedFd;

use tidegate_sdk::Size;
use tidegate_testkit::{context, read_all};

use super::*;

fn piped(decode: Decode) -> (Stdin, PipeWriter) {
    let (reader, writer) = io::pipe().unwrap();
    (Stdin::of(reader.into(), decode), writer)
}

async fn next(source: &mut Stdin, cx: &Cx) -> Option<(Vec<String>, Vec<SourceRejection>)> {
    let next = Source::next(source, cx).await.unwrap()?;
    Some((next.batch.texts(), next.rejected))
}

#[tokio::test]
async fn a_line_leaves_as_soon_as_it_is_there() {
    let (mut source, mut writer) = piped(Decode::Lines);
    let (cx, _stopping) = context();
    source.open(&cx).await.unwrap();
    for (bytes, line) in [("\u{feff}one\r\n", "one"), ("two\n", "two")] {
        writer.write_all(bytes.as_bytes()).unwrap();
        assert_eq!(next(&mut source, &cx).await.unwrap().0, [line]);
    }
    writer.write_all(b"last").unwrap();
    drop(writer);
    assert_eq!(next(&mut source, &cx).await.unwrap().0, ["last"]);
    assert!(next(&mut source, &cx).await.is_none());
    assert!(next(&mut source, &cx).await.is_none(), "the end stays the end");
}

#[tokio::test]
async fn a_silent_input_does_not_hold_up_a_stop() {
    let (mut source, mut writer) = piped(Decode::Lines);
    let (cx, stopping) = context();
    source.open(&cx).await.unwrap();
    writer.write_all(b"whole\nhalf").unwrap();
    assert_eq!(next(&mut source, &cx).await.unwrap().0, ["whole"]);
    stopping.cancel();
    let (texts, rejected) = next(&mut source, &cx).await.unwrap();
    assert!(texts.is_empty());
    assert_eq!(rejected[0].payload, "half");
    assert!(rejected[0].reason.contains("stopped"));
    assert!(next(&mut source, &cx).await.is_none());
    cx.tasks().joined().await;
    drop(writer);
}

#[tokio::test]
async fn a_dropped_source_ends_its_tasks() {
    let (mut source, writer) = piped(Decode::Lines);
    let (cx, _stopping) = context();
    source.open(&cx).await.unwrap();
    drop(source);
    cx.tasks().joined().await;
    drop(writer);
}

#[tokio::test]
async fn every_line_of_a_large_file_comes_once() {
    let mut file = tempfile::tempfile().unwrap();
    let lines: Vec<String> = (0..200_000).map(|number| format!("{{\"n\":{number}}}")).collect();
    file.write_all(lines.join("\n").as_bytes()).unwrap();
    io::Seek::rewind(&mut file).unwrap();
    let mut source = Stdin::of(OwnedFd::from(file), Decode::Lines);
    let (texts, refused) = read_all(&mut source).await.unwrap();
    assert!(texts == lines && refused.is_empty());
}

#[tokio::test]
async fn the_null_device_is_an_empty_input() {
    let null = std::fs::File::open("/dev/null").unwrap();
    let (texts, refused) = read_all(&mut Stdin::of(null.into(), Decode::Lines)).await.unwrap();
    assert!(texts.is_empty() && refused.is_empty());
}

#[tokio::test]
async fn a_line_over_the_limit_is_refused_and_the_next_one_read() {
    let (mut source, mut writer) = piped(Decode::Lines);
    let (cx, _stopping) = context();
    let cx = cx.with_event_size(Size(10));
    source.open(&cx).await.unwrap();
    writer.write_all(b"much too long a line\nshort\n").unwrap();
    drop(writer);
    let (mut texts, mut rejected) = (Vec::new(), Vec::new());
    while let Some((more, refused)) = next(&mut source, &cx).await {
        texts.extend(more);
        rejected.extend(refused);
    }
    assert_eq!(texts, ["short"]);
    assert_eq!(rejected[0].length, 20);
}

#[tokio::test]
async fn formats_without_lines_are_refused_by_name() {
    let utf16: Vec<u8> = "a line of text\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (bytes, name) in [
        (&b"\x1f\x8b\x08\0\0\0"[..], "gzip"),
        (b"\x28\xb5\x2f\xfd\x04\0", "zstd"),
        (b"\xfd7zXZ\0\0\x04", "xz"),
        (b"PK\x03\x04\x14\0", "zip"),
        (&utf16, "UTF-16"),
    ] {
        for decode in [Decode::Lines, Decode::JsonArray] {
            let (mut source, mut writer) = piped(decode);
            // The first byte alone is not taken for text.
            writer.write_all(&bytes[..1]).unwrap();
            let rest = bytes[1..].to_vec();
            let (cx, _stopping) = context();
            source.open(&cx).await.unwrap();
            writer.write_all(&rest).unwrap();
            drop(writer);
            let error = Source::next(&mut source, &cx).await.err().unwrap();
            assert_eq!(error.class(), tidegate_sdk::Class::Fatal);
            assert!(
                error.message().contains("standard input has no lines") && error.message().contains(name),
                "{error}"
            );
        }
    }
}

#[tokio::test]
async fn short_input_that_begins_like_another_format_is_text() {
    for text in ["PK", "BZ", "\x1f", "7z\n"] {
        let (mut source, mut writer) = piped(Decode::Lines);
        writer.write_all(text.as_bytes()).unwrap();
        drop(writer);
        let (texts, refused) = read_all(&mut source).await.unwrap();
        assert!(texts == [text.trim_end()] && refused.is_empty(), "{text:?}: {texts:?}");
    }
}

#[tokio::test]
async fn an_array_is_streamed_by_element() {
    let (mut source, mut writer) = piped(Decode::JsonArray);
    let (cx, _stopping) = context();
    source.open(&cx).await.unwrap();
    writer.write_all(br#"[{"a":1},"#).unwrap();
    assert_eq!(next(&mut source, &cx).await.unwrap().0, [r#"{"a":1}"#]);
    writer.write_all(b"2]\n").unwrap();
    drop(writer);
    assert_eq!(next(&mut source, &cx).await.unwrap().0, ["2"]);
    assert!(next(&mut source, &cx).await.is_none());
}

#[tokio::test]
async fn an_array_that_does_not_end_is_an_error() {
    let (mut source, mut writer) = piped(Decode::JsonArray);
    writer.write_all(b"[1").unwrap();
    drop(writer);
    let error = read_all(&mut source).await.unwrap_err();
    assert_eq!(error.class(), tidegate_sdk::Class::Fatal);
    assert!(error.message().contains("ends before its `]`"), "{error}");
}
