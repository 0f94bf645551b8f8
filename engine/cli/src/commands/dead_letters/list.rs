//! `tidegate dead-letters list`.

use jiff::tz::TimeZone;
use serde_json::json;

use super::arguments::List;
use super::show::time;
use super::stores::{Found, Stores};
use crate::exit::{Exit, Failure};
use crate::options::ReportFormat;
use crate::terminal::quantity::{bytes, plural};
use crate::terminal::table::Align::{Left, Right};
use crate::terminal::table::{Cell, Table, Tone, shortened};
use crate::terminal::{self, Paint, escape_control};

/// Characters of a reason in a line of the list. `show` prints all of it.
const REASON: usize = 100;

/// Prints the newest dead letters that match.
pub(super) fn list(arguments: &List) -> Result<Exit, Failure> {
    let stores = Stores::open(&arguments.data_dir.resolve()?, arguments.pipeline.as_deref())?;
    let (mut found, mut all) = (Vec::new(), 0);
    stores.each(|one| {
        if arguments.filters.matches(&one.dead_letter) {
            all += 1;
            found.push(one);
            // Memory holds the newest only, however many there are.
            if found.len() > arguments.limit.saturating_mul(2) {
                keep_newest(&mut found, arguments.limit);
            }
        }
    })?;
    keep_newest(&mut found, arguments.limit);
    match arguments.format {
        ReportFormat::Text => terminal::out(&table(&found, Paint::for_stdout(), &TimeZone::system()))?,
        ReportFormat::Json => terminal::out(&json_lines(&found))?,
    }
    terminal::err(&remarks(found.len(), all - found.len(), stores.unreadable(), arguments.filters.any()));
    Ok(Exit::Done)
}

/// Removes all but the newest `limit`, and sorts them, newest last.
fn keep_newest(found: &mut Vec<Found>, limit: usize) {
    found.sort_by_key(|one| one.dead_letter.time);
    found.drain(..found.len().saturating_sub(limit));
}

fn table(found: &[Found], paint: Paint, zone: &TimeZone) -> String {
    if found.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&[
        ("pipeline", Left),
        ("id", Right),
        ("time", Left),
        ("component", Left),
        ("size", Right),
        ("reason", Left),
    ]);
    for Found { pipeline, dead_letter } in found {
        table.row(vec![
            pipeline.as_str().into(),
            Cell::new(dead_letter.id.to_string(), Tone::Strong),
            time(dead_letter.time, zone, "%Y-%m-%d %H:%M:%S").into(),
            dead_letter.component.as_str().into(),
            bytes(dead_letter.length).into(),
            shortened(&escape_control(&dead_letter.reason), REASON).into_owned().into(),
        ]);
    }
    table.render("", paint)
}

fn json_lines(found: &[Found]) -> String {
    let line = |one: &Found| {
        let mut value = json!(one.dead_letter);
        value["pipeline"] = json!(one.pipeline);
        format!("{value}\n")
    };
    found.iter().map(line).collect()
}

fn remarks(shown: usize, hidden: usize, unreadable: u64, filtered: bool) -> String {
    let mut text = String::new();
    if shown + hidden == 0 {
        text.push_str(if filtered { "no dead letter matches\n" } else { "there are no dead letters\n" });
    }
    if hidden > 0 {
        let older = plural(hidden as u64, "older one");
        text.push_str(&format!("{older} not shown; --limit {} shows all\n", shown + hidden));
    }
    if unreadable > 0 {
        let lines = plural(unreadable, "line");
        text.push_str(&format!("{lines} of the store could not be read: damaged on disk\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::show::tests::dead_letter;
    use super::*;

    #[test]
    fn the_list_is_a_table() {
        let found = [dead_letter("logs", 9, b"12345"), dead_letter("users", 10, &[0; 2048])];
        let expected = "\
pipeline  id  time                 component     size  reason
logs       9  2023-11-14 22:13:20  parse          5 B  malformed JSON at byte 3
users     10  2023-11-14 22:13:20  parse      2.0 KiB  malformed JSON at byte 3
";
        assert_eq!(table(&found, Paint::PLAIN, &TimeZone::UTC), expected);
    }

    #[test]
    fn remarks_count_hidden_and_damaged_dead_letters() {
        assert_eq!(remarks(0, 0, 0, false), "there are no dead letters\n");
        assert_eq!(remarks(0, 0, 0, true), "no dead letter matches\n");
        assert_eq!(
            remarks(100, 20, 2, false),
            "20 older ones not shown; --limit 120 shows all\n2 lines of the store could not be read: damaged on disk\n"
        );
    }

    #[test]
    fn json_lines_have_the_pipeline() {
        let line = json_lines(&[dead_letter("logs", 9, b"x")]);
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!((value["pipeline"].as_str(), value["id"].as_u64()), (Some("logs"), Some(9)));
    }
}
