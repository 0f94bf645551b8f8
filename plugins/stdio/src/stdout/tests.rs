use std::io::Read;

use tidegate_sdk::Class;
use tidegate_testkit::{batch, context};

use super::*;

fn piped(color: Color) -> (Stdout, PipeReader) {
    let (reader, writer) = io::pipe().unwrap();
    (Stdout::of(writer.into(), color), reader)
}

#[tokio::test]
async fn each_event_is_a_line() {
    let (mut sink, mut reader) = piped(Color::Auto);
    let (cx, _stopping) = context();
    sink.open(&cx).await.unwrap();
    let delivery = sink.write(&batch(["{\"a\":1}", "two"]), &cx).await.unwrap();
    assert!(delivery.rejected().is_empty() && delivery.to_retry().is_none());
    drop(sink);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "{\"a\":1}\ntwo\n", "a pipe gets no colours");
}

#[tokio::test]
async fn json_is_coloured_with_always() {
    let (mut sink, mut reader) = piped(Color::Always);
    let (cx, _stopping) = context();
    sink.open(&cx).await.unwrap();
    let _ = sink.write(&batch(["1", "two"]), &cx).await.unwrap();
    drop(sink);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "\x1b[36m1\x1b[0m\ntwo\n");
}

#[tokio::test]
async fn a_closed_reader_is_fatal() {
    let (mut sink, reader) = piped(Color::Auto);
    let (cx, _stopping) = context();
    sink.open(&cx).await.unwrap();
    drop(reader);
    let error = sink.write(&batch(["one"]), &cx).await.unwrap_err();
    assert_eq!(error.class(), Class::Fatal);
    assert!(error.message().contains("standard output was closed"), "{error}");
}

#[tokio::test]
async fn a_full_disk_is_tried_again() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut sink = Stdout::of(full.into(), Color::Auto);
    let (cx, _stopping) = context();
    sink.open(&cx).await.unwrap();
    let delivery = sink.write(&batch(["one", "two"]), &cx).await.unwrap();
    let (again, error) = delivery.to_retry().unwrap();
    assert_eq!((again, error.class()), ([0, 1].as_slice(), Class::Retry));
    assert!(error.message().contains("space"), "{error}");
}

/// A write that blocked would stop this test, because it runs on one thread.
#[tokio::test(flavor = "current_thread")]
async fn a_slow_reader_does_not_block_the_runtime() {
    let (mut sink, mut reader) = piped(Color::Auto);
    let (cx, _stopping) = context();
    sink.open(&cx).await.unwrap();
    let (large, task_cx) = (batch([vec![b'x'; 1 << 20]]), cx.clone());
    let writing = cx.spawn(async move { sink.write(&large, &task_cx).await.map(|_| ()) });
    tokio::task::yield_now().await;
    let read = cx.spawn_blocking(move || {
        let mut text = Vec::new();
        reader.read_to_end(&mut text).map(|_| text.len())
    });
    writing.await.unwrap().unwrap();
    assert_eq!(read.await.unwrap().unwrap(), (1 << 20) + 1);
}

#[tokio::test]
async fn a_dropped_sink_ends_its_tasks() {
    let (mut sink, reader) = piped(Color::Auto);
    let (cx, _stopping) = context();
    sink.open(&cx).await.unwrap();
    let large = batch([vec![b'x'; 1 << 20]]);
    {
        let writing = sink.write(&large, &cx);
        tokio::pin!(writing);
        // The write has begun and cannot end, because its output has no reader.
        assert!(futures_pending(writing.as_mut()).await);
    }
    drop(sink);
    cx.tasks().joined().await;
    drop(reader);
}

async fn futures_pending<F: Future + ?Sized>(mut future: std::pin::Pin<&mut F>) -> bool {
    std::future::poll_fn(|context| std::task::Poll::Ready(future.as_mut().poll(context).is_pending())).await
}

#[test]
fn missing_events_are_counted_in_whole_lines() {
    let events = batch(["one", "two\nlines", "three"]);
    let text = b"one\ntwo\nlines\nthree\n";
    let missing = |bytes| first_missing(&events, text, bytes);
    assert_eq!([0, 3, 4, 8, 13, 14, 19, 20].map(missing), [0, 0, 1, 1, 1, 2, 2, 3]);
}
