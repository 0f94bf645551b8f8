//! A stream of numbered events, a driver in place of the engine, and a checker of the files.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tidegate_sdk::{Batch, Claim, Class, Cx, Delivery, Error, Lane, Position, Record, Sink};
use tidegate_testkit::{batch, build_sink, context};

use super::{plugin, unpacked};

/// Number of files that the events name.
pub(super) const FILES: u64 = 5;

pub(super) fn event(number: u64) -> String {
    let padding = "x".repeat((number * 7 % 50) as usize);
    format!(r#"{{"f":{},"n":"{number:010}","pad":"{padding}"}}"#, number % FILES)
}

pub(super) fn lane(partition: &str) -> Lane {
    Lane { source: "numbers".into(), partition: partition.into() }
}

/// Record after all events before `done`. Some records are in the middle of a source batch.
pub(super) fn record(done: u64) -> Record {
    let base = done - done % 3;
    Record { position: Some(Position::new(&base)), base, done }
}

/// Options of the sink, by the name of the variant.
pub(super) fn options(folder: &Path, variant: &str) -> Value {
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    match variant {
        "plain" => json!({ "path": path("out.jsonl") }),
        "rotated" => json!({ "path": path("out.jsonl"), "rotate": { "size": "3KiB" } }),
        "zstd" => json!({ "path": path("out.zst"), "compress": "zstd", "rotate": { "size": "3KiB" } }),
        "gzip" => json!({ "path": path("out.gz"), "compress": "gzip" }),
        "template" => {
            json!({ "path": path("{.f}/out.jsonl"), "max_open": 2, "rotate": { "size": "3KiB" } })
        }
        other => panic!("no variant {other}"),
    }
}

/// Driver of one sink with one lane, in place of the engine.
pub(super) struct Driver {
    pub(super) sink: Box<dyn Sink>,
    pub(super) cx: Cx,
    pub(super) next: u64,
}

pub(super) fn claim(reset: bool) -> Claim {
    Claim { pipeline: "pipeline".into(), sink: "sink".into(), reset }
}

pub(super) async fn claimed(
    options: &Value,
    claim: &Claim,
) -> Result<(Box<dyn Sink>, Cx, BTreeMap<Lane, Record>), Error> {
    let (cx, _) = context();
    let mut sink = build_sink(&plugin(), options);
    sink.open(&cx).await?;
    let lanes = sink.transactional()?.claim(claim, &cx).await?;
    Ok((sink, cx, lanes))
}

impl Driver {
    pub(super) async fn start(options: &Value) -> Result<Self, Error> {
        let (sink, cx, lanes) = claimed(options, &claim(false)).await?;
        let next = lanes.get(&lane("")).map_or(0, |known| {
            assert_eq!(*known, record(known.done), "the record is whole");
            known.done
        });
        Ok(Self { sink, cx, next })
    }

    pub(super) fn batch(&self, events: u64) -> Batch {
        batch((self.next..self.next + events).map(event))
    }

    pub(super) async fn try_commit(&mut self, events: u64) -> Result<Delivery, Error> {
        let (batch, done) = (self.batch(events), self.next + events);
        self.sink.transactional()?.commit(&batch, &lane(""), &record(done), &self.cx).await
    }

    /// Commits the next events, and tries again after errors that allow it.
    pub(super) async fn commit(&mut self, events: u64) {
        for _ in 0..20 {
            match self.try_commit(events).await {
                Ok(delivery) => {
                    assert!(delivery.rejected().is_empty() && delivery.to_retry().is_none());
                    self.next += events;
                    return;
                }
                Err(error) => assert_ne!(error.class(), Class::Fatal, "{error}"),
            }
        }
        panic!("no commit goes through");
    }
}

/// Returns the text of the sealed files and of the current one, in order.
fn text(folder: &Path, name: &str) -> String {
    let stem = name.split('.').next().unwrap();
    let mut names: Vec<String> = fs::read_dir(folder)
        .map(|entries| entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect())
        .unwrap_or_default();
    names.retain(|other| other.starts_with(stem) && !other.contains(".tidegate"));
    // The current file comes last, because `-` sorts before `.`.
    names.sort();
    let read = |name: &String| {
        let path = folder.join(name);
        match name.rsplit('.').next() {
            // A file that was created after a seal and is still empty.
            _ if fs::metadata(&path).unwrap().len() == 0 => String::new(),
            Some("zst") => unpacked(path.to_str().unwrap(), "zstd"),
            Some("gz") => unpacked(path.to_str().unwrap(), "gzip"),
            _ => fs::read_to_string(&path).unwrap(),
        }
    };
    names.iter().map(read).collect()
}

/// Returns the first difference of the files from the events before `done`; `None` if they are exactly these, in order.
pub(super) fn problem(folder: &Path, variant: &str, done: u64) -> Option<String> {
    let lines = |numbers: &mut dyn Iterator<Item = u64>| -> String {
        numbers.map(|number| event(number) + "\n").collect()
    };
    let compare = |what: &str, found: &str, expected: &str| {
        (found != expected).then(|| {
            let same = found.bytes().zip(expected.bytes()).take_while(|(a, b)| a == b).count();
            format!(
                "{what} of {variant}: {} bytes instead of {} up to event {done}, the same up to {same}: {:?}",
                found.len(),
                expected.len(),
                found.as_bytes()[same.saturating_sub(20)..]
                    .iter()
                    .take(120)
                    .map(|byte| *byte as char)
                    .collect::<String>()
            )
        })
    };
    match variant {
        "template" => (0..FILES).find_map(|file| {
            let expected = lines(&mut (0..done).filter(|number| number % FILES == file));
            compare(&format!("file {file}"), &text(&folder.join(file.to_string()), "out.jsonl"), &expected)
        }),
        _ => {
            let name = match variant {
                "zstd" => "out.zst",
                "gzip" => "out.gz",
                _ => "out.jsonl",
            };
            compare("the file", &text(folder, name), &lines(&mut (0..done)))
        }
    }
}

#[test]
fn the_checker_finds_what_is_lost_twice_torn_or_out_of_order() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out.jsonl");
    let write = |numbers: &[u64]| {
        fs::write(&file, numbers.iter().map(|number| event(*number) + "\n").collect::<String>()).unwrap();
        problem(folder.path(), "plain", 3)
    };
    assert_eq!(write(&[0, 1, 2]), None);
    for wrong in [&[0, 2][..], &[0, 1, 1, 2], &[1, 0, 2], &[0, 1], &[0, 1, 2, 3], &[]] {
        assert!(write(wrong).is_some(), "{wrong:?}");
    }
    fs::write(&file, &(event(0) + "\n" + &event(1) + "\n" + &event(2))[..]).unwrap();
    assert!(problem(folder.path(), "plain", 3).is_some());
}
