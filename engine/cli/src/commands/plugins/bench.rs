//! `tidegate plugins bench`: measures the calls of a library's plugins, for authors of plugins.
//!
//! A child process does the work, as for `plugins check`. `drive` calls a component as the engine does, `measure` times the
//! calls, and this module prints the tables.

pub(crate) mod arguments;
mod drive;
mod idle;
mod measure;

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::child::{ChildMessage, PluginChild};
use crate::exit::{Exit, Failure};
use crate::registry::Plugins;
use crate::terminal::quantity::rate;
use crate::terminal::table::Align::{Left, Right};
use crate::terminal::table::{Cell, Table, Tone};
use crate::terminal::wrap::wrap;
use crate::terminal::{self, Paint, escape_control};

use arguments::PluginBench;
pub(crate) use measure::serve;

/// Time limit for a message of the child, in addition to the time of a measurement.
const PATIENCE: Duration = Duration::from_secs(120);

/// Message of the child, a line of JSON each.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum BenchEvent {
    /// Name and version of the library.
    Library(String),
    /// Beginning of a plugin.
    Plugin(String),
    /// Measurement of the plugin in one isolation.
    Row(Row),
    /// Isolation that could not be measured, with the reason.
    Skipped(String, String),
    /// End of the measurements.
    Over,
}

/// Measurements of a plugin in one isolation.
#[derive(Debug, Serialize, Deserialize)]
struct Row {
    isolation: String,
    nanoseconds_per_call: f64,
    nanoseconds_per_event: f64,
    wakes_per_call: f64,
    /// Events out for each event in, of a filter.
    out: Option<f64>,
    /// Half of the range of the rounds, as a part of the median.
    spread: f64,
}

/// Measures the library in a child process, and prints the results.
pub(crate) fn bench(arguments: &PluginBench, plugins: &Plugins) -> Result<Exit, Failure> {
    // A file that is no library is reported in one sentence, before any code of it runs.
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
            ChildMessage::Message(BenchEvent::Over) => break,
            ChildMessage::Message(event) => {
                shown.take(event)?;
                continue;
            }
            ChildMessage::Nothing => format!("it sent no result within {patience:?}"),
            ChildMessage::Over(how) => format!("the library {how}"),
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

/// Table of the current plugin, and the reasons for missing lines.
struct Shown {
    paint: Paint,
    table: Option<Table>,
    notes: String,
    measured: usize,
}

impl Shown {
    fn take(&mut self, event: BenchEvent) -> Result<(), Failure> {
        match event {
            BenchEvent::Library(title) => {
                terminal::out(&format!("{}\n", self.paint.bold(&escape_control(&title))))
            }
            BenchEvent::Plugin(name) => {
                self.finish()?;
                terminal::out(&format!("\n{}\n", escape_control(&name)))
            }
            BenchEvent::Row(row) => {
                self.measured += usize::from(row.isolation != measure::BUILT_IN);
                self.table.get_or_insert_with(empty).row(cells(&row));
                Ok(())
            }
            BenchEvent::Skipped(isolation, why) => {
                let text = escape_control(&format!("{isolation} was not measured: {why}"));
                self.notes += &format!("{}\n", wrap(&text, terminal::prose_width(), "  ").trim_end());
                Ok(())
            }
            BenchEvent::Over => Ok(()),
        }
    }

    /// Prints the table of the plugin.
    fn finish(&mut self) -> Result<(), Failure> {
        let table = self.table.take().map(|table| table.render("  ", self.paint)).unwrap_or_default();
        terminal::out(&format!("{table}{}", std::mem::take(&mut self.notes)))
    }
}

fn empty() -> Table {
    Table::new(&[
        ("isolation", Left),
        ("ns/call", Right),
        ("ns/event", Right),
        ("events/s", Right),
        ("wakes/call", Right),
        ("out", Right),
        ("spread", Right),
    ])
}

fn cells(row: &Row) -> Vec<Cell> {
    let tone = if row.isolation == measure::BUILT_IN { Tone::Quiet } else { Tone::Strong };
    vec![
        Cell::new(row.isolation.clone(), tone),
        nanoseconds(row.nanoseconds_per_call).into(),
        nanoseconds(row.nanoseconds_per_event).into(),
        rate(1e9 / row.nanoseconds_per_event).into(),
        format!("{:.1}", row.wakes_per_call).into(),
        row.out.map(|out| format!("{out:.2}")).unwrap_or_default().into(),
        format!("±{:.0} %", row.spread * 100.0).into(),
    ]
}

/// Formats small numbers with three digits, and large ones in full.
fn nanoseconds(number: f64) -> String {
    match number {
        small if small < 9.995 => format!("{small:.2}"),
        middle if middle < 99.95 => format!("{middle:.1}"),
        large => crate::terminal::quantity::count(large.round() as u64),
    }
}
