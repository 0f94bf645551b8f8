//! Live display: a line for each component, and a bar for a source with an end.

use std::time::{Duration, Instant};

use tidegate_runtime::status::{ComponentStatus, GraphStatus, Health};

use super::rates::{Rate, Rates};
use crate::commands::run::health;
use crate::terminal::console;
use crate::terminal::quantity::{count, rate, span};
use crate::terminal::table::Align::{Left, Right};
use crate::terminal::table::{Cell, Table, Tone, shortened};
use crate::terminal::{self, Paint, escape_control};

/// Interval between updates. Shorter ones cannot be read, longer ones look frozen.
pub(crate) const PERIOD: Duration = Duration::from_millis(250);

/// Width of a bar in columns.
const BAR: usize = 30;

/// The display.
#[derive(Debug)]
pub(crate) struct Live {
    rates: Rates,
    paint: Paint,
}

impl Live {
    /// A display that shows nothing until the first [`show`](Self::show).
    pub(crate) fn new() -> Self {
        Self { rates: Rates::default(), paint: Paint::for_stderr() }
    }

    /// Shows the current status.
    pub(crate) fn show(&mut self, graphs: &[GraphStatus]) {
        self.rates.observe(graphs, Instant::now());
        console::display(lines(graphs, &self.rates, terminal::stderr_size(), self.paint));
    }
}

/// Returns the lines for a terminal of this many columns and rows. The last line counts those that do not fit.
fn lines(
    graphs: &[GraphStatus],
    rates: &Rates,
    (columns, rows): (usize, usize),
    paint: Paint,
) -> Vec<String> {
    // A line that fills the last column makes some terminals begin another one.
    let limit = columns.saturating_sub(1);
    let mut table = Table::new(&[
        ("", Left),
        ("component", Left),
        ("plugin", Left),
        ("in", Right),
        ("out", Right),
        ("rejected", Right),
        ("queue", Right),
        ("", Left),
    ]);
    let components = || {
        graphs.iter().enumerate().flat_map(|(graph, status)| {
            status.components.iter().enumerate().map(move |(index, one)| (graph, index, one))
        })
    };
    for (graph, index, component) in components() {
        table.row(row(component, rates.of(graph, index)));
    }
    let mut table = table.lines(limit, paint).into_iter();
    let mut lines: Vec<String> = table.next().into_iter().collect();
    for (graph, status) in graphs.iter().enumerate() {
        lines.push(graph_line(status, limit, paint));
        for (index, component) in status.components.iter().enumerate() {
            lines.extend(table.next());
            if let Some((done, total)) = component.progress.filter(|(_, total)| *total > 0) {
                lines.push(bar(done, total, rates.of(graph, index).progress, limit, paint));
            }
        }
    }
    let room = rows.saturating_sub(2).max(1);
    if lines.len() > room {
        let hidden = lines.len() - room + 1;
        lines.truncate(room - 1);
        lines.push(paint.dim(&format!("... and {hidden} more lines; the terminal is too low")));
    }
    lines
}

fn graph_line(graph: &GraphStatus, limit: usize, paint: Paint) -> String {
    let (state, reason) = health::state(&graph.state);
    let mut rest = format!("{state}, {} in flight", count(graph.in_flight_events));
    if graph.restarts > 0 {
        rest.push_str(&format!(", {} restarts", count(graph.restarts)));
    }
    if let Some(reason) = reason {
        rest.push_str(&format!(": {}", escape_control(reason)));
    }
    let name = shortened(&graph.name, limit);
    let room = limit.saturating_sub(name.chars().count() + 2);
    match shortened(&rest, room) {
        rest if rest.is_empty() => paint.bold(&name),
        rest => format!("{}  {}", paint.bold(&name), paint.dim(&rest)),
    }
}

fn row(component: &ComponentStatus, now: Rate) -> Vec<Cell> {
    let (word, reason) = health::health(&component.health);
    let tone = match component.health {
        Health::Starting | Health::Ended => Tone::Quiet,
        Health::Ready => Tone::Good,
        Health::Waiting(_) => Tone::Warning,
        Health::Unhealthy(_) | Health::Blocked(_) => Tone::Bad,
    };
    let health =
        reason.map_or_else(|| word.to_owned(), |reason| format!("{word}: {}", escape_control(reason)));
    let rejected = component.counts.rejected;
    let queue = component.queue.filter(|queue| queue.capacity > 0);
    let filled = queue.map(|queue| format!("{}%", queue.bytes.saturating_mul(100) / queue.capacity));
    vec![
        Cell::new("●", tone),
        Cell::new(&component.name, Tone::Strong),
        component.plugin.as_str().into(),
        rate(now.events_in).into(),
        rate(now.events_out).into(),
        Cell::new(count(rejected), if rejected == 0 { Tone::Quiet } else { Tone::Warning }),
        filled.unwrap_or_default().into(),
        Cell::new(health, tone),
    ]
}

/// Returns a bar with percentage and remaining time: `━━━━━━━━━━──────  52%  12.3s left`.
fn bar(done: u64, total: u64, per_second: f64, limit: usize, paint: Paint) -> String {
    let done = done.min(total);
    let share = done as f64 / total as f64;
    let filled = (share * BAR as f64) as usize;
    // Rounded down, so that 100 % means that everything is done.
    let mut label = format!("{:3.0}%", (share * 100.0).floor());
    let left = (total - done) as f64 / per_second;
    if done < total && left.is_finite() && left < 100.0 * 86_400.0 {
        label.push_str(&format!("  {} left", span(Duration::from_secs_f64(left))));
    }
    let text = format!("   {}{}  {label}", "━".repeat(filled), "─".repeat(BAR - filled));
    paint.cyan(&shortened(&text, limit))
}

#[cfg(test)]
mod tests;
