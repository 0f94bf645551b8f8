//! `tidegate dead-letters`: what could not be processed, and why.

pub(crate) mod arguments;
mod remove;
mod replay;
mod stores;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use tidegate_runtime::dead_letters::Raw;

use crate::exit::{Exit, Failure};
use crate::options::ReportFormat;
use crate::registry::Plugins;
use crate::terminal::hexdump::hexdump;
use crate::terminal::quantity::{bytes, count, plural};
use crate::terminal::table::Align::{Left, Right};
use crate::terminal::table::{Cell, Table, Tone, shortened};
use crate::terminal::{self, Paint, harmless};
use arguments::{Action, List};
use stores::{Found, Stores};

/// How much of a reason a line of the list shows, in characters; `show` shows all of it.
const REASON: usize = 100;

/// Does what is asked for.
pub(crate) fn dead_letters(action: &Action, plugins: &Plugins) -> Result<Exit, Failure> {
    match action {
        Action::List(arguments) => list(arguments),
        Action::Show { id, pipeline, data_dir } => {
            let one = Stores::open(&data_dir.resolve()?, pipeline.as_deref())?.only(*id)?;
            terminal::out(&whole(&one, Paint::for_stdout(), &TimeZone::system()))?;
            Ok(Exit::Done)
        }
        Action::Replay(arguments) => replay::replay(arguments, plugins),
        Action::Remove(arguments) => remove::remove(arguments),
    }
}

fn list(arguments: &List) -> Result<Exit, Failure> {
    let stores = Stores::open(&arguments.data_dir.resolve()?, arguments.pipeline.as_deref())?;
    let (mut found, mut all) = (Vec::new(), 0);
    stores.each(|one| {
        if arguments.filters.matches(&one.letter) {
            all += 1;
            found.push(one);
            // Only the newest are held, however many there are.
            if found.len() > arguments.limit.saturating_mul(2) {
                newest(&mut found, arguments.limit);
            }
        }
    })?;
    newest(&mut found, arguments.limit);
    match arguments.format {
        ReportFormat::Text => terminal::out(&table(&found, Paint::for_stdout(), &TimeZone::system()))?,
        ReportFormat::Json => terminal::out(&json_lines(&found))?,
    }
    terminal::err(&remarks(found.len(), all - found.len(), stores.unreadable(), arguments.filters.any()));
    Ok(Exit::Done)
}

/// Leaves the newest so many, newest last.
fn newest(found: &mut Vec<Found>, limit: usize) {
    found.sort_by_key(|one| one.letter.time);
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

fn remarks(shown: usize, hidden: usize, unreadable: u64, filtered: bool) -> String {
    let mut text = String::new();
    if shown + hidden == 0 {
        let which = if filtered { " like this" } else { "" };
        text.push_str(&format!("there are no dead letters{which}\n"));
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
    if let Some(time) = letter.timestamp {
        line("timestamp", &timestamp(time, zone));
    }
    if let Some(Raw(key)) = &letter.key {
        line("key", &harmless(&String::from_utf8_lossy(key)));
    }
    for (name, value) in &letter.attributes {
        line("attribute", &harmless(&format!("{name} = {}", plain(value))));
    }
    match letter.unreplayable() {
        Some(reason) => line("replay", &format!("cannot be replayed: {reason}")),
        None => line("replay", &format!("at `{}`, as it is below", letter.component)),
    }
    text.push('\n');
    text.push_str(&payload(&letter.payload));
    text
}

/// A value as a person writes it: text without quotes.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
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

/// An event's own time, given in nanoseconds.
fn timestamp(nanoseconds: i64, zone: &TimeZone) -> String {
    match Timestamp::from_nanosecond(nanoseconds.into()) {
        Ok(time) => time.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S%.f %:z").to_string(),
        Err(_) => format!("{nanoseconds} ns"),
    }
}

#[cfg(test)]
mod tests;
