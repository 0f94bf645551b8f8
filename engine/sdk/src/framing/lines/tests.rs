use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use proptest::prelude::*;
use tokio::io::ReadBuf;

use super::*;
use crate::Batch;

/// Feeds `input` in pieces of `step` bytes, each in one of both ways; both must give the same.
fn lines(input: &[u8], step: usize, limit: usize) -> (Vec<String>, Vec<SourceRejection>) {
    let (texts, rejected) = fed(input, step, limit, |_| false);
    for by_block in [(|_| true) as fn(usize) -> bool, |number| number % 3 != 0] {
        let (same, refused) = fed(input, step, limit, by_block);
        let lengths =
            |rejected: &[SourceRejection]| rejected.iter().map(|one| one.length).collect::<Vec<_>>();
        assert_eq!((&same, lengths(&refused)), (&texts, lengths(&rejected)));
    }
    (texts, rejected)
}

/// Feeds pieces, those for whose numbers `by_block` says so as blocks.
fn fed(
    input: &[u8],
    step: usize,
    limit: usize,
    by_block: fn(usize) -> bool,
) -> (Vec<String>, Vec<SourceRejection>) {
    let mut lines = Lines::new(limit);
    let (mut texts, mut rejected, mut consumed) = (Vec::new(), Vec::new(), 0);
    for (number, piece) in input.chunks(step).enumerate() {
        match by_block(number) {
            true => lines.put(Bytes::copy_from_slice(piece)),
            false => lines.buffer().extend_from_slice(piece),
        }
        loop {
            let mut builder = Batch::builder();
            let passed = lines.cut(&mut builder, &mut rejected);
            consumed += passed;
            texts.extend(builder.finish().texts());
            if passed == 0 {
                break;
            }
        }
    }
    let mut builder = Batch::builder();
    consumed += lines.finish(&mut builder, &mut rejected);
    texts.extend(builder.finish().texts());
    assert_eq!(consumed, input.len() as u64, "every byte is consumed once");
    (texts, rejected)
}

#[test]
fn cuts_the_same_however_it_is_fed() {
    for step in [1, 2, 3, 100] {
        let (texts, rejected) = lines(b"one\r\n\ntwo\n\r\nthree", step, 100);
        assert_eq!(texts, ["one", "two", "three"]);
        assert!(rejected.is_empty());
    }
}

#[test]
fn line_over_the_limit_is_reported_and_the_stream_goes_on() {
    for step in [1, 7, 1000] {
        let input = [b"a\n".as_slice(), &b"x".repeat(50), b"\nb\n", &b"y".repeat(50)].concat();
        let (texts, rejected) = lines(&input, step, 10);
        assert_eq!(texts, ["a", "b"]);
        assert_eq!(rejected.iter().map(|one| one.length).collect::<Vec<_>>(), [50, 50]);
        assert!(rejected[0].reason.contains("over the limit"));
    }
}

#[test]
fn a_batch_is_cut_at_its_size() {
    let input = b"x\n".repeat(crate::BATCH_EVENTS + 5);
    let (mut fed, mut put) = (Lines::new(100), Lines::new(100));
    fed.buffer().extend_from_slice(&input);
    put.put(input.into());
    for mut lines in [fed, put] {
        let (mut first, mut second) = (Batch::builder(), Batch::builder());
        lines.cut(&mut first, &mut Vec::new());
        lines.cut(&mut second, &mut Vec::new());
        assert_eq!((first.len(), second.len()), (crate::BATCH_EVENTS, 5));
    }
}

#[test]
fn a_line_at_the_limit_is_whole_however_its_end_is_fed() {
    // The `\r` of a line at the limit, read before its `\n`, once made the line one too long.
    for step in [1, 9, 100] {
        let (texts, rejected) = lines(b"12345678\r\n123456789\r\n", step, 8);
        assert_eq!(texts, ["12345678"], "step {step}");
        assert_eq!(rejected.iter().map(|one| one.length).collect::<Vec<_>>(), [10]);
    }
}

/// Gives one piece at a time, and fails once before each but the first.
struct Failing<'a>(Vec<&'a [u8]>, bool);

impl AsyncRead for Failing<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if std::mem::replace(&mut self.1, false) {
            return Poll::Ready(Err(io::Error::other("not now")));
        }
        if !self.0.is_empty() {
            buffer.put_slice(self.0.remove(0));
            self.1 = true;
        }
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn reading_consumes_every_byte_once_though_it_fails() {
    let pieces: [&[u8]; 5] = [b"\n\n", b"\none\ntwo\nthr", b"ee\n", b"much too long\n", b"\n"];
    let (mut lines, mut input) = (Lines::new(8).starting_at(100), Failing(pieces.to_vec(), false));
    let (mut texts, mut positions, mut rejected, mut failures) = (Vec::new(), Vec::new(), Vec::new(), 0);
    loop {
        match lines.read(&mut input).await {
            Ok(None) => break,
            Ok(Some(read)) => {
                texts.extend(read.batch.texts());
                positions.push(format!("{:?}", read.batch.runs()[0].origin.position));
                rejected.extend(read.rejected);
            }
            Err(_) => failures += 1,
        }
    }
    assert_eq!((texts, rejected.len()), (vec!["one".to_owned(), "two".into(), "three".into()], 1));
    assert_eq!(positions, ["Some(111)", "Some(117)", "Some(131)"]);
    assert_eq!(failures, 5, "each is reported");
}

proptest! {
    #[test]
    fn lines_are_those_of_a_naive_reader(
        input in "[ab\r\n]{0,60}", step in 1_usize..20, limit in 1_usize..6
    ) {
        let naive = input.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
        let (long, short): (Vec<&str>, Vec<&str>) =
            naive.filter(|line| !line.is_empty()).partition(|line| line.len() > limit);
        let (texts, rejected) = lines(input.as_bytes(), step, limit);
        prop_assert_eq!(texts, short);
        prop_assert_eq!(rejected.len(), long.len());
    }
}

#[test]
fn a_byte_order_mark_is_skipped_at_the_start_of_each_input() {
    for step in [1, 2, 3, 100] {
        let mut lines = Lines::new(100);
        let mut texts = Vec::new();
        let mut consumed = 0;
        for input in [&b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n"[..], b"\xef\xbb\xbfc", b"\xef\xbb"] {
            lines.begin_input();
            let (mut builder, mut rejected) = (Batch::builder(), Vec::new());
            for piece in input.chunks(step) {
                lines.put(Bytes::copy_from_slice(piece));
                consumed += lines.cut(&mut builder, &mut rejected);
            }
            consumed += lines.finish(&mut builder, &mut rejected);
            texts.extend(builder.finish().payloads().map(<[u8]>::to_vec));
        }
        assert_eq!(texts, [&b"a"[..], b"\xef\xbb\xbfb", b"c", b"\xef\xbb"], "step {step}");
        assert_eq!(consumed, 16, "every byte is consumed once");
    }
}
