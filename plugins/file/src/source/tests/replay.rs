//! The numbering of events: the same however often the source is stopped, whatever the file holds.

use std::fs;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;

/// Limit below the size of one read, so that one read has several events over it.
const LIMIT: u64 = 40 << 10;

async fn read(options: &Value, positions: BTreeMap<String, Position>, batches: usize) -> Run {
    let (cx, stopping) = context();
    let cx = cx.with_resume(positions.clone()).with_event_size(tidegate_sdk::Size(LIMIT));
    let mut source = build_source(&plugin(), options);
    source.open(&cx).await.unwrap();
    let mut run = Run { source, cx, stopping, texts: Vec::new(), rejected: Vec::new(), positions };
    for _ in 0..batches {
        if run.next().await.is_none() {
            break;
        }
    }
    run
}

/// Reads the file at once, and then a few batches at a time, each time from where the last one ended.
async fn is_the_same_in_pieces(bytes: &[u8], options: &Value, pieces: &[usize]) {
    let folder = TempDir::new().unwrap();
    fs::write(path(&folder, "input"), bytes).unwrap();
    let mut options = options.clone();
    options["path"] = path(&folder, "input").into();
    let whole = read(&options, BTreeMap::new(), usize::MAX).await;
    let (mut texts, mut rejected, mut positions) = (Vec::new(), Vec::new(), BTreeMap::new());
    for piece in pieces.iter().copied().chain([usize::MAX]) {
        let part = read(&options, positions, piece).await;
        texts.extend(part.texts);
        rejected.extend(part.rejected);
        positions = part.positions;
    }
    assert!(texts == whole.texts, "{} events in pieces, {} at once", texts.len(), whole.texts.len());
    assert_eq!(rejected.len(), whole.rejected.len());
}

/// Event in a file: mostly short, sometimes near the limit or over it.
fn item() -> impl Strategy<Value = (u8, usize)> {
    (any::<u8>(), prop_oneof![20 => 0..200usize, 4 => 30_000..60_000usize, 1 => 200_000..700_000usize])
}

fn lines_of(items: &[(u8, usize)]) -> Vec<u8> {
    let ends: [&[u8]; 4] = [b"\n", b"\r\n", b"\n\n", b"\xff\0\n"];
    let line = |(kind, length): &(u8, usize)| {
        [&vec![b'a' + kind % 26; *length], ends[usize::from(kind % 4)]].concat()
    };
    items.iter().flat_map(line).collect()
}

fn array_of(items: &[(u8, usize)]) -> Vec<u8> {
    let element = |(kind, length): &(u8, usize)| format!("[{kind},\"{}\"]", "x".repeat(*length));
    format!(" [{} ]\n", items.iter().map(element).collect::<Vec<_>>().join(" ,\n")).into_bytes()
}

fn csv_of(items: &[(u8, usize)]) -> Vec<u8> {
    let record = |(kind, length): &(u8, usize)| match kind % 8 {
        0 => "bad\n".to_owned(),
        1 => format!("{kind},\"a\r\n\"\"{}\"\r\n", "x".repeat(*length)),
        _ => format!("{kind},{}\n", "x".repeat(*length)),
    };
    format!("\u{feff}id,name\n{}", items.iter().map(record).collect::<String>()).into_bytes()
}

type Items = [(u8, usize)];
type Make = fn(&Items) -> Vec<u8>;
type Pack = fn(&[u8]) -> Vec<u8>;

fn holds(make: Make, options: &Value) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let packings: [Pack; 3] = [<[u8]>::to_vec, gzip, |bytes| zstd::encode_all(bytes, 1).unwrap()];
    let mut runner = TestRunner::new(Config { cases: 12, failure_persistence: None, ..Config::default() });
    let input = (vec(item(), 0..150), vec(1..4usize, 0..12), 0..3usize);
    runner
        .run(&input, |(items, pieces, packing)| {
            let bytes = packings[packing](&make(&items));
            runtime.block_on(is_the_same_in_pieces(&bytes, options, &pieces));
            Ok(())
        })
        .unwrap();
}

#[test]
fn lines_are_the_same_in_pieces() {
    holds(lines_of, &json!({}));
}

#[test]
fn elements_are_the_same_in_pieces() {
    holds(array_of, &json!({ "decode": "json_array" }));
}

#[test]
fn records_are_the_same_in_pieces() {
    holds(csv_of, &json!({ "decode": "csv" }));
}

#[tokio::test]
async fn no_position_lies_within_an_event_over_the_limit() {
    // The first one ends in the second read, at whose end too little of the second one is missing to be over
    // the limit on its own.
    let (first, second) = ("x".repeat(600 << 10), "y".repeat(454_000));
    let bytes = format!("a\n{first}\n{second}\nb\n");
    is_the_same_in_pieces(bytes.as_bytes(), &json!({}), &[1; 8]).await;
}

#[tokio::test]
async fn a_followed_file_is_the_same_in_pieces_across_rotations() {
    let folder = TempDir::new().unwrap();
    let (input, rotated) = (path(&folder, "app.log"), path(&folder, "app.log.1"));
    let options = followed(input.clone());
    let (mut texts, mut positions) = (Vec::new(), BTreeMap::new());
    for round in 0..30 {
        append(&input, &lines(round * 10..round * 10 + 10));
        let mut run = Run::resume(&options, positions).await;
        run.until(if round % 3 == 2 { 5 } else { 10 }).await;
        let (read, _, after) = run.stop().await;
        texts.extend(read);
        positions = after;
        append(&input, &format!("late {round}\n"));
        if round % 2 == 0 {
            fs::rename(&input, &rotated).unwrap();
        }
    }
    append(&input, "end\n");
    let mut run = Run::resume(&options, positions).await;
    while run.texts.last().is_none_or(|last| last != "end") {
        run.next().await;
    }
    texts.extend(run.stop().await.0);
    let expected = (0..30)
        .flat_map(|round| numbers(round * 10..round * 10 + 10).into_iter().chain([format!("late {round}")]));
    assert_eq!(texts, expected.chain(["end".to_owned()]).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_archive_whose_contents_changed_is_read_from_its_start() {
    let folder = TempDir::new().unwrap();
    let input = path(&folder, "input.gz");
    let options = json!({ "path": input });
    // Stored, not compressed, and the same beyond the first KiB: only the contents before the place differ.
    let stored = |text: &str| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    fs::write(&input, stored(&lines(0..30_000))).unwrap();
    let (_, _, positions) = Run::start(&options).await.end().await;
    fs::write(&input, stored(&lines(0..30_000).replace("line 029999", "LINE 029999"))).unwrap();
    let (texts, ..) = Run::resume(&options, positions).await.end().await;
    assert_eq!(texts.len(), 30_000);
}
