//! `tidegate dead-letters`: what could not be processed, and why.

use std::path::Path;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;
use tidegate_runtime::dead_letters::{self as store, DeadLetter};

use crate::args::{DeadLettersAction, ReportFormat};
use crate::exit::{Exit, Failure};
use crate::hexdump::hexdump;
use crate::quantity::{bytes, count, plural};
use crate::table::Align::{Left, Right};
use crate::table::{Cell, Table, Tone, shortened};
use crate::terminal::{self, Paint, harmless};

/// How much of a reason a line of the list shows, in characters; `show` shows all of it.
const REASON: usize = 100;

/// A dead letter and the id of its pipeline.
struct Found {
    pipeline: String,
    letter: DeadLetter,
}

/// Lists or shows.
pub(crate) fn dead_letters(action: &DeadLettersAction) -> Result<Exit, Failure> {
    match action {
        DeadLettersAction::List { pipeline, format, limit, data_dir } => {
            let (mut found, unreadable) = read(&data_dir.resolve()?, pipeline.as_deref())?;
            found.sort_by_key(|one| one.letter.time);
            let hidden = found.len().saturating_sub(*limit);
            let shown = &found[hidden..];
            match format {
                ReportFormat::Text => terminal::out(&table(shown, Paint::for_stdout(), &TimeZone::system()))?,
                ReportFormat::Json => terminal::out(&json_lines(shown))?,
            }
            terminal::err(&remarks(shown.len(), hidden, unreadable));
        }
        DeadLettersAction::Show { id, pipeline, data_dir } => {
            let (found, _) = read(&data_dir.resolve()?, pipeline.as_deref())?;
            let one = only(*id, found)?;
            terminal::out(&whole(&one, Paint::for_stdout(), &TimeZone::system()))?;
        }
    }
    Ok(Exit::Done)
}

/// The dead letters of one pipeline, or of all, and how many could not be read.
fn read(data_dir: &Path, pipeline: Option<&str>) -> Result<(Vec<Found>, u64), Failure> {
    let ids = match pipeline {
        Some(id) if id.contains(['/', '\\']) || id.starts_with('.') => {
            return Err(Failure::wrong(format!("`{id}` is not the id of a pipeline")));
        }
        Some(id) => vec![id.to_owned()],
        None => pipelines(data_dir)?,
    };
    let (mut found, mut unreadable) = (Vec::new(), 0);
    for id in ids {
        let (letters, bad) = store::read(data_dir, &id).map_err(|error| {
            let folder = data_dir.join(&id);
            Failure::failed(format!("the dead letters in `{}` cannot be read: {error}", folder.display()))
        })?;
        unreadable += bad;
        found.extend(letters.into_iter().map(|letter| Found { pipeline: id.clone(), letter }));
    }
    Ok((found, unreadable))
}

/// The ids of all pipelines that have state, sorted. A data folder that is not there yet holds none.
fn pipelines(data_dir: &Path) -> Result<Vec<String>, Failure> {
    let problem = |error| Failure::failed(format!("`{}` cannot be read: {error}", data_dir.display()));
    let entries = match data_dir.read_dir() {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(problem(error)),
    };
    let mut ids = Vec::new();
    for entry in entries {
        let path = entry.map_err(problem)?.path();
        if path.is_dir() {
            ids.extend(path.file_name().and_then(|name| name.to_str()).map(str::to_owned));
        }
    }
    ids.sort();
    Ok(ids)
}

/// The letter with this number, if there is exactly one.
fn only(id: u64, found: Vec<Found>) -> Result<Found, Failure> {
    let mut matching: Vec<Found> = found.into_iter().filter(|one| one.letter.id == id).collect();
    let Some(last) = matching.pop() else {
        let message =
            format!("there is no dead letter {id}; `tidegate dead-letters list` lists those there are");
        return Err(Failure::wrong(message));
    };
    if matching.is_empty() {
        return Ok(last);
    }
    let mut pipelines: Vec<&str> = matching.iter().map(|one| one.pipeline.as_str()).collect();
    pipelines.push(&last.pipeline);
    Err(Failure::wrong(format!(
        "several pipelines have a dead letter {id}: {}; say which one with --pipeline ID",
        pipelines.join(", ")
    )))
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
    for Found { pipeline, letter } in found {
        table.row(vec![
            pipeline.as_str().into(),
            Cell::new(letter.id.to_string(), Tone::Strong),
            time(letter.time, zone, "%Y-%m-%d %H:%M:%S").into(),
            letter.component.as_str().into(),
            bytes(letter.length).into(),
            shortened(&harmless(&letter.reason), REASON).into_owned().into(),
        ]);
    }
    table.render("", paint)
}

fn json_lines(found: &[Found]) -> String {
    let line = |one: &Found| {
        let mut value = json!(one.letter);
        value["pipeline"] = json!(one.pipeline);
        format!("{value}\n")
    };
    found.iter().map(line).collect()
}

fn remarks(shown: usize, hidden: usize, unreadable: u64) -> String {
    let mut text = String::new();
    if shown == 0 {
        text.push_str("there are no dead letters\n");
    }
    if hidden > 0 {
        let older = plural(hidden as u64, "older one");
        text.push_str(&format!("{older} not shown; --limit {} shows all\n", shown + hidden));
    }
    if unreadable > 0 {
        text.push_str(&format!(
            "{} could not be read: damaged on disk\n",
            plural(unreadable, "entry").replace("entrys", "entries")
        ));
    }
    text
}

fn whole(one: &Found, paint: Paint, zone: &TimeZone) -> String {
    let letter = &one.letter;
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        text.push_str(&format!("{} {value}\n", paint.dim(&format!("{name:<10}"))));
    };
    let place = match letter.partition.is_empty() {
        true => letter.source.clone(),
        false => format!("{}, {}", letter.source, harmless(&letter.partition)),
    };
    line("id", &letter.id.to_string());
    line("pipeline", &one.pipeline);
    line("time", &time(letter.time, zone, "%Y-%m-%d %H:%M:%S%.3f %:z"));
    line("component", &paint.bold(&letter.component));
    line("reason", &paint.red(&harmless(&letter.reason)));
    line("from", &format!("{place}, batch {}, event {}", count(letter.sequence), count(letter.index.into())));
    line("attempts", &letter.attempts.to_string());
    let kept = letter.payload.len() as u64;
    let cut = if kept < letter.length {
        format!(", of which the first {} are kept", count(kept))
    } else {
        String::new()
    };
    line("size", &format!("{} bytes{cut}", count(letter.length)));
    text.push('\n');
    text.push_str(&payload(&letter.payload));
    text
}

/// The payload as it is if it is text, else as a hex dump.
fn payload(bytes: &[u8]) -> String {
    let unprintable = |one: char| one.is_control() && !matches!(one, '\n' | '\r' | '\t');
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains(unprintable) => format!("{}\n", text.trim_end_matches('\n')),
        _ => hexdump(bytes),
    }
}

fn time(milliseconds: i64, zone: &TimeZone, format: &str) -> String {
    match Timestamp::from_millisecond(milliseconds) {
        Ok(time) => time.to_zoned(zone.clone()).strftime(format).to_string(),
        Err(_) => format!("{milliseconds} ms"),
    }
}

#[cfg(test)]
mod tests;
