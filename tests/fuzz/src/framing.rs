//! Framing of lines and elements: the result does not depend on the chunks.

use tidegate_sdk::framing::{Elements, Lines, elements_of};
use tidegate_sdk::{Batch, SourceRejection};

use crate::choice;

/// The events, and the lengths of rejected ones.
type Cut = (Vec<String>, Vec<u64>);

/// Limits of an event, from "almost everything is too large" to "nothing is".
const LIMITS: [usize; 4] = [1, 8, 64, 1 << 20];

fn lengths(rejected: &[SourceRejection]) -> Vec<u64> {
    rejected.iter().map(|one| one.length).collect()
}

fn cut_lines(input: &[u8], step: usize, limit: usize) -> Cut {
    let mut lines = Lines::new(limit);
    let (mut texts, mut rejected, mut consumed) = (Vec::new(), Vec::new(), 0);
    for piece in input.chunks(step) {
        lines.buffer().extend_from_slice(piece);
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
    (texts, lengths(&rejected))
}

/// The first byte chooses the limit and the size of the pieces; the rest is the input.
pub(crate) fn lines(bytes: &[u8]) {
    let (choice, input) = choice(bytes);
    let limit = LIMITS[choice % 4];
    let whole = cut_lines(input, input.len().max(1), limit);
    assert_eq!(cut_lines(input, 1 + choice / 4, limit), whole);
    let mut naive: Vec<&[u8]> = input.split(|byte| *byte == b'\n').collect();
    naive.iter_mut().for_each(|line| *line = line.strip_suffix(b"\r").unwrap_or(line));
    naive.retain(|line| !line.is_empty() && line.len() <= limit);
    let naive: Vec<_> = naive.into_iter().map(String::from_utf8_lossy).collect();
    assert_eq!(whole.0, naive);
}

fn cut_elements(input: &[u8], step: usize, limit: usize) -> (Cut, Result<(), String>) {
    let mut elements = Elements::new(limit);
    let (mut texts, mut rejected) = (Vec::new(), Vec::new());
    for piece in input.chunks(step) {
        elements.buffer().extend_from_slice(piece);
        loop {
            let mut builder = Batch::builder();
            let passed = elements.cut(&mut builder, &mut rejected);
            texts.extend(builder.finish().texts());
            match passed {
                Ok(0) => break,
                Ok(_) => {}
                Err(problem) => return ((texts, lengths(&rejected)), Err(problem)),
            }
        }
    }
    ((texts, lengths(&rejected)), elements.finish())
}

/// As [`lines`].
pub(crate) fn elements(bytes: &[u8]) {
    let (choice, input) = choice(bytes);
    let limit = LIMITS[choice % 4];
    let whole = cut_elements(input, input.len().max(1), limit);
    assert_eq!(cut_elements(input, 1 + choice / 4, limit), whole);
    for event in &whole.0.0 {
        assert!(event.len() <= limit * 3, "an event keeps to the limit");
    }
    if let Ok(ranges) = elements_of(input) {
        let texts: Vec<_> = ranges.into_iter().map(|range| String::from_utf8_lossy(&input[range])).collect();
        if texts.iter().all(|text| text.len() <= limit) && input.len() <= limit {
            assert_eq!(whole, ((texts.into_iter().map(Into::into).collect(), Vec::new()), Ok(())));
        }
    }
}
