//! `tidegate plugins bench`: what calls of a library's plugins cost, for whoever writes one.
//!
//! A child process does the work, as for `plugins check`. [`arguments`] says what is measured, `drive` calls a component
//! as the engine does, `measure` times that, and this shows the tables.

pub(crate) mod arguments;
mod drive;
mod idle;
mod measure;

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::child::{PluginChild, Said};
use crate::exit::{Exit, Failure};
use crate::registry::Plugins;
use crate::terminal::quantity::rate;
use crate::terminal::table::Align::{Left, Right};
use crate::terminal::table::{Cell, Table, Tone};
use crate::terminal::wrap::wrap;
use crate::terminal::{self, Paint, harmless};

use arguments::PluginBench;
pub(crate) use measure::serve;

/// How long the child may be silent beyond the time that one line is measured for.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the child says while it works, a line of JSON each.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Told {
    /// The library as a whole: what it calls itself.
    Library(String),
    /// The lines of this plugin follow.
    Plugin(String),
    /// One of them.
    Row(Row),
    /// One that could not be measured: where it ran, and why not.
    Skipped(String, String),
    /// There are no more.
    Over,
}

/// What was measured of a plugin in one place.
#[derive(Debug, Serialize, Deserialize)]
struct Row {
    place: String,
    nanoseconds_per_call: f64,
    nanoseconds_per_event: f64,
    wakes_per_call: f64,
    /// Events that came out for each that went in, of a filter.
    out: Option<f64>,
    /// Half of the range of what the rounds gave, as a part of the median.
    spread: f64,
}

/// Has a child measure the library, and shows what it finds.
pub(crate) fn bench(arguments: &PluginBench, plugins: &Plugins) -> Result<Exit, Failure> {
    // What makes it no library at all is told in one sentence, before anything of it runs here.
    let name = arguments.file.display().to_string();
    plugins.open(Path::new("."), &name, None).map_err(Failure::wrong)?;
    let how = serde_json::to_string(arguments).map_err(|error| Failure::failed(error.to_string()))?;
    let mut child = PluginChild::start(|command| {
        command.arg("--bench").arg(how);
    })?;
    let patience = PATIENCE + Duration::from_secs_f64(arguments.seconds * 4.0);
    let mut shown = Shown { paint: Paint::for_stdout(), table: None, notes: String::new(), measured: 0 };
    loop {
        let broken = match child.next(patience) {
            Said::Message(Told::Over) => break,
            Said::Message(told) => {
                shown.take(told)?;
                continue;
            }
            Said::Nothing => format!("nothing came of it within {patience:?}"),
            Said::Over(how) => format!("the library {how}"),
        };
        shown.finish()?;
        return Err(Failure::failed(broken));
    }
    shown.finish()?;
    match shown.measured {
        0 => Err(Failure::failed("nothing could be measured")),
        _ => Ok(Exit::Done),
    }
}

/// What is on its way to standard output: the table of one plugin, and why lines are missing.
struct Shown {
    paint: Paint,
    table: Option<Table>,
    notes: String,
    measured: usize,
}

impl Shown {
    fn take(&mut self, told: Told) -> Result<(), Failure> {
        match told {
            Told::Library(title) => terminal::out(&format!("{}\n", self.paint.bold(&harmless(&title)))),
            Told::Plugin(name) => {
                self.finish()?;
                terminal::out(&format!("\n{}\n", harmless(&name)))
            }
            Told::Row(row) => {
                self.measured += usize::from(row.place != measure::BUILT_IN);
                self.table.get_or_insert_with(empty).row(cells(&row));
                Ok(())
            }
            Told::Skipped(place, why) => {
                let text = harmless(&format!("{place} was not measured: {why}"));
                self.notes += &format!("{}\n", wrap(&text, terminal::prose_width(), "  ").trim_end());
                Ok(())
            }
            Told::Over => Ok(()),
        }
    }

    /// Shows the table of the plugin that is over.
    fn finish(&mut self) -> Result<(), Failure> {
        let table = self.table.take().map(|table| table.render("  ", self.paint)).unwrap_or_default();
        terminal::out(&format!("{table}{}", std::mem::take(&mut self.notes)))
    }
}

fn empty() -> Table {
    Table::new(&[
        ("where", Left),
        ("ns/call", Right),
        ("ns/event", Right),
        ("events/s", Right),
        ("wakes/call", Right),
        ("out", Right),
        ("spread", Right),
    ])
}

fn cells(row: &Row) -> Vec<Cell> {
    let tone = if row.place == measure::BUILT_IN { Tone::Quiet } else { Tone::Strong };
    vec![
        Cell::new(row.place.clone(), tone),
        nanoseconds(row.nanoseconds_per_call).into(),
        nanoseconds(row.nanoseconds_per_event).into(),
        rate(1e9 / row.nanoseconds_per_event).into(),
        format!("{:.1}", row.wakes_per_call).into(),
        row.out.map(|out| format!("{out:.2}")).unwrap_or_default().into(),
        format!("±{:.0} %", row.spread * 100.0).into(),
    ]
}

/// Three digits of what may be a fraction, and all of what is large.
fn nanoseconds(number: f64) -> String {
    match number {
        small if small < 9.995 => format!("{small:.2}"),
        middle if middle < 99.95 => format!("{middle:.1}"),
        large => crate::terminal::quantity::count(large.round() as u64),
    }
}
