//! A small jq: `jq QUERY` reads a JSON value from each line of standard input and prints each result on a line.

use std::io::{BufRead, BufWriter, Write};
use std::process::ExitCode;

use tidegate_query::{Flow, Limits, Query, ReadOptions};

fn main() -> ExitCode {
    let query = std::env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    match run(&query) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            let _ = writeln!(std::io::stderr(), "{problem}");
            ExitCode::FAILURE
        }
    }
}

fn run(query: &str) -> Result<(), Box<dyn std::error::Error>> {
    let query = Query::new(query, &[])?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut text = Vec::new();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let input = match tidegate_query::read(&line, ReadOptions::STRICT) {
            Ok(input) => input,
            Err((at, what)) => {
                writeln!(out, "malformed JSON at byte {at}: {what}")?;
                continue;
            }
        };
        text.clear();
        let each = |value| {
            // Nothing is too long, and no result is nested deeper than its limits say.
            let _ = tidegate_query::write(&value, &mut text, usize::MAX, usize::MAX);
            text.push(b'\n');
            Flow::Next
        };
        let outcome = query.evaluate(input, Vec::new(), &Limits::default(), &|_| {}, each);
        out.write_all(&text)?;
        if let Err(failure) = outcome {
            writeln!(out, "error: {failure}")?;
        }
    }
    out.flush()?;
    Ok(())
}
