//! Standard error of a command: lines for the log, and the last few of them for error messages.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt};

/// The longest line that is logged, in bytes. The rest of a longer line is left out.
const LINE: usize = 2048;

/// The number of lines that are kept for error messages.
const LINES: usize = 5;

/// The last lines that a command wrote. A clone shares them.
#[derive(Clone, Debug, Default)]
pub(crate) struct LastLines(Arc<Mutex<VecDeque<String>>>);

impl LastLines {
    fn push(&self, line: String) {
        let mut lines = self.0.lock();
        if lines.len() == LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    /// A clause for an error message. It is empty if nothing was written.
    pub(crate) fn clause(&self) -> String {
        let lines = self.0.lock();
        if lines.is_empty() {
            return String::new();
        }
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        format!("; it last wrote to standard error: {}", lines.join(" | "))
    }
}

/// Reads `from` to its end and logs each line under the name of `component`.
pub(crate) async fn log_lines(mut from: impl AsyncRead + Unpin, component: String, last: LastLines) {
    let (mut piece, mut line) = (vec![0; 4096], Vec::new());
    let log = |line: &mut Vec<u8>| {
        let text = String::from_utf8_lossy(line.trim_ascii_end()).into_owned();
        line.clear();
        if !text.is_empty() {
            tracing::info!(component, "{text}");
            last.push(text);
        }
    };
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        for part in piece[..length].split_inclusive(|byte| *byte == b'\n') {
            let room = LINE - line.len();
            line.extend_from_slice(&part[..part.len().min(room)]);
            if part.ends_with(b"\n") {
                log(&mut line);
            }
        }
    }
    log(&mut line);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn log_lines_keeps_the_last_lines_and_cuts_long_ones() {
        let last = LastLines::default();
        assert_eq!(last.clause(), "");
        let text = format!("0\n1\n2\n\n3\n4\n{}\nend", "x".repeat(10_000));
        log_lines(text.as_bytes(), "test".into(), last.clone()).await;
        let expected = format!("2 | 3 | 4 | {} | end", "x".repeat(LINE));
        assert_eq!(last.clause(), format!("; it last wrote to standard error: {expected}"));
    }
}
