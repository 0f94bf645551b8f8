//! Summary at the end of a run.

use std::time::Duration;

use tidegate_config::Pipeline;
use tidegate_runtime::status::{ComponentStatus, End, GraphState, GraphStatus, Health, StopCause};

use crate::terminal::quantity::{bytes, count, plural, rate, span};
use crate::terminal::table::Align::{Left, Right};
use crate::terminal::table::{Cell, Table, Tone};
use crate::terminal::{Paint, escape_control};

/// Indent of the tables.
const INDENT: &str = "  ";

/// Dead-letter store of a pipeline.
#[derive(Clone, Debug)]
pub(crate) struct DeadLetterStore {
    pipeline: String,
    /// Id of the pipeline, which names the folder of the store.
    id: String,
}

impl DeadLetterStore {
    /// The store of this pipeline.
    pub(crate) fn of(pipeline: &Pipeline) -> Self {
        Self { pipeline: pipeline.name.clone(), id: pipeline.id.clone() }
    }

    /// Counts the dead letters that this run has added.
    fn added(&self, graphs: &[GraphStatus]) -> u64 {
        let ours = graphs.iter().filter(|graph| {
            graph
                .name
                .strip_prefix(&self.pipeline)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        });
        ours.flat_map(|graph| &graph.components).map(|component| component.counts.dead_letters).sum()
    }
}

/// Renders each graph with a table of its components, then the dead letters.
///
/// `data_dir_option` is the option that a command needs to find them. `columns` is the width of a line.
pub(crate) fn summary(
    graphs: &[GraphStatus],
    stores: &[DeadLetterStore],
    data_dir_option: &str,
    (columns, paint): (usize, Paint),
) -> String {
    let mut text = String::new();
    for graph in graphs {
        text.push('\n');
        text.push_str(&headline(graph, paint));
        text.push_str(&components(graph, columns, paint));
        for component in &graph.components {
            if let Health::Waiting(reason) | Health::Unhealthy(reason) | Health::Blocked(reason) =
                &component.health
            {
                let name = paint.yellow(&component.name);
                text.push_str(&format!("  {name} was not ready: {}\n", escape_control(reason)));
            }
        }
    }
    for store in stores {
        let added = store.added(graphs);
        if added > 0 {
            let dead_letters = paint.yellow(&plural(added, "dead letter"));
            text.push_str(&format!(
                "\n{dead_letters} in {}; list them with\n  tidegate dead-letters list --pipeline {}{data_dir_option}\n",
                store.pipeline, store.id
            ));
        }
    }
    text
}

fn headline(graph: &GraphStatus, paint: Paint) -> String {
    let name = paint.bold(&graph.name);
    let restarts = match graph.restarts {
        0 => String::new(),
        restarts => format!(", {}", plural(restarts, "restart")),
    };
    let time = paint.dim(&format!("{}{restarts}", span(graph.ran)));
    format!("{name}  {}  {time}\n", end(&graph.state, graph.in_flight_events, paint))
}

fn end(state: &GraphState, in_flight: u64, paint: Paint) -> String {
    match state {
        GraphState::Over(End::Ended) => paint.green("ended"),
        GraphState::Over(End::Drained) => paint.green("drained"),
        GraphState::Over(End::Failed(reason)) => {
            format!("{} {}", paint.red("failed:"), escape_control(reason))
        }
        GraphState::Over(End::CutShort { cause, undelivered }) => {
            let (label, reason) = match cause {
                StopCause::DrainTimeout => ("drain deadline passed:", String::new()),
                StopCause::Abort => ("stopped at once:", String::new()),
                StopCause::Undeliverable(reason) => {
                    ("drained in part:", format!(" ({})", escape_control(reason)))
                }
            };
            let unanswered = match undelivered.unanswered {
                0 => String::new(),
                unanswered => format!(", {} of requests that got an error", count(unanswered)),
            };
            format!(
                "{} {} not delivered: {} will be read again{unanswered}, {} lost{reason}",
                paint.red(label),
                plural(undelivered.events, "event"),
                count(undelivered.replayed),
                count(undelivered.lost())
            )
        }
        GraphState::Running | GraphState::Draining => {
            format!("{} {} not delivered", paint.red("stopped at once:"), plural(in_flight, "event"))
        }
        GraphState::Restarting(reason) => {
            format!("{} {}", paint.red("stopped while restarting after:"), escape_control(reason))
        }
    }
}

/// Renders a table of the components. If it is too wide, the least important columns are left out.
fn components(graph: &GraphStatus, columns: usize, paint: Paint) -> String {
    const DISPENSABLE: [&str; 6] = ["kind", "retried", "rejected", "plugin", "bytes in", "rate"];
    let mut left_out = vec!["skipped"];
    let mut dispensable = DISPENSABLE.iter();
    loop {
        // A count above zero is shown in the narrowest terminal.
        let all = table(graph, &|column| !left_out.contains(&column) || any(graph, column));
        match dispensable.next() {
            Some(next) if all.width() + INDENT.len() > columns => left_out.push(next),
            _ => return all.render(INDENT, paint),
        }
    }
}

/// Returns true if a column that is mostly zero has a count above zero.
fn any(graph: &GraphStatus, column: &str) -> bool {
    graph.components.iter().any(|component| match column {
        "rejected" => component.counts.rejected > 0,
        "retried" => component.counts.retried > 0,
        "skipped" => component.counts.skipped > 0,
        _ => false,
    })
}

/// Builds the table with the columns that are `wanted`.
fn table(graph: &GraphStatus, wanted: &dyn Fn(&str) -> bool) -> Table {
    let mut columns = vec![
        ("component", Left),
        ("kind", Left),
        ("plugin", Left),
        ("events in", Right),
        ("bytes in", Right),
        ("events out", Right),
        ("bytes out", Right),
        ("rejected", Right),
        ("retried", Right),
        ("skipped", Right),
        ("rate", Right),
    ];
    let kept: Vec<bool> = columns.iter().map(|(name, _)| wanted(name)).collect();
    let mut keep = kept.iter();
    columns.retain(|_| keep.next() == Some(&true));
    let mut table = Table::new(&columns);
    for component in &graph.components {
        let cells = row(component, graph.ran).into_iter().zip(&kept);
        table.row(cells.filter(|(_, kept)| **kept).map(|(cell, _)| cell).collect());
    }
    table
}

fn row(component: &ComponentStatus, ran: Duration) -> [Cell; 11] {
    let counts = component.counts;
    let number = |number: u64, tone| Cell::new(count(number), if number == 0 { Tone::Quiet } else { tone });
    let seconds = ran.as_secs_f64().max(0.001);
    [
        Cell::new(&component.name, Tone::Strong),
        component.kind.name().into(),
        component.plugin.as_str().into(),
        number(counts.events_in, Tone::Plain),
        bytes(counts.bytes_in).into(),
        number(counts.events_out, Tone::Plain),
        bytes(counts.bytes_out).into(),
        number(counts.rejected, Tone::Warning),
        number(counts.retried, Tone::Warning),
        number(counts.skipped, Tone::Warning),
        rate(counts.events_in as f64 / seconds).into(),
    ]
}

#[cfg(test)]
mod tests;
