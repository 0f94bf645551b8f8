//! Files that are read once.

use std::fs;
use std::path::{Path, PathBuf};

use tidegate_sdk::Error;

use super::feed::Feed;
use super::options::SourceOptions;
use super::place::Place;
use super::stream::{Problem, Start, Stream};

/// Reads the files, one after the other, each from where it was left.
pub(crate) fn read(options: &SourceOptions, files: &[PathBuf], feed: &Feed) {
    let sizes: Vec<u64> =
        files.iter().map(|file| fs::metadata(file).map_or(0, |known| known.len())).collect();
    let total = sizes.iter().sum();
    let mut done = 0;
    for (file, size) in files.iter().zip(sizes) {
        let Some(mut stream) = open(options, file, feed) else { return };
        let progress = |read: u64| feed.cx().progress().set(done + read, total);
        if !read_file(&mut stream, feed, progress) {
            return;
        }
        done += size;
        feed.cx().progress().set(done, total);
    }
}

/// Opens a file, trying again for as long as it makes sense. `None` if the source is to end.
fn open(options: &SourceOptions, path: &Path, feed: &Feed) -> Option<Stream> {
    let name = path.to_string_lossy();
    loop {
        if feed.is_stopping() {
            return None;
        }
        let opened = start(feed, &name).and_then(|start| Stream::open(options, path, &name, &start, feed));
        let error = match opened {
            Ok(Some(stream)) => return Some(stream),
            Ok(None) if feed.is_stopping() => return None,
            Ok(None) => Error::fatal(format!("{name} is gone; it was there when the source started")),
            Err(error) => error,
        };
        if !feed.fail(error) {
            return None;
        }
    }
}

fn start(feed: &Feed, name: &str) -> Result<Start, Error> {
    match feed.cx().resume(name) {
        Some(position) => Ok(Start::At(position.read::<Place>()?)),
        None => Ok(Start::Beginning),
    }
}

/// Reads a file to its end. False if the source is to end before.
fn read_file(stream: &mut Stream, feed: &Feed, progress: impl Fn(u64)) -> bool {
    loop {
        if feed.is_stopping() {
            return false;
        }
        let end = match stream.fill() {
            Ok(0) => Some(None),
            Ok(_) => None,
            Err(Problem::Corrupt(reason)) => Some(Some(reason)),
            Err(Problem::Failed(error)) => {
                if feed.fail(error) {
                    continue;
                }
                return false;
            }
        };
        progress(stream.read_so_far());
        while let Some(batch) = stream.cut() {
            if !feed.send(batch) {
                return false;
            }
        }
        let last = match end {
            None => continue,
            Some(None) => stream.finish(),
            Some(Some(reason)) => Some(stream.end_early(&reason)),
        };
        return last.is_none_or(|batch| feed.send(batch));
    }
}
