//! Delivery guarantees of each source and sink, printed by `check` and logged at the start of `run`.

use tidegate_config::{Guarantee, GuaranteeLevel, Pipeline, guarantees};

use crate::terminal::Paint;
use crate::terminal::table::Align::Left;
use crate::terminal::table::{Cell, Table, Tone};

fn lanes<'a>(
    pipelines: impl Iterator<Item = &'a Pipeline>,
) -> impl Iterator<Item = (&'a Pipeline, Guarantee)> {
    pipelines.flat_map(|pipeline| {
        let graphs = pipeline.graphs.iter();
        let all = graphs.flat_map(|graph| guarantees(graph, pipeline.settings.delivery));
        all.map(move |lane| (pipeline, lane))
    })
}

/// Renders a table of every lane.
pub(crate) fn table<'a>(pipelines: impl Iterator<Item = &'a Pipeline>, paint: Paint) -> String {
    let mut table =
        Table::new(&[("pipeline", Left), ("lane", Left), ("delivery", Left), ("why not more", Left)]);
    let mut count = 0;
    for (pipeline, lane) in lanes(pipelines) {
        let tone = match lane.level {
            GuaranteeLevel::EffectivelyOnce => Tone::Good,
            _ => Tone::Strong,
        };
        table.row(vec![
            pipeline.name.as_str().into(),
            format!("{} -> {}", lane.source, lane.sink).into(),
            Cell::new(lane.level.as_str(), tone),
            lane.reason.unwrap_or_default().into(),
        ]);
        count += 1;
    }
    match count {
        0 => String::new(),
        _ => format!("{}\n", table.render("", paint)),
    }
}

/// Logs a line for every lane.
pub(crate) fn log<'a>(pipelines: impl Iterator<Item = &'a Pipeline>) {
    for (pipeline, lane) in lanes(pipelines) {
        let (source, sink, level) = (&lane.source, &lane.sink, lane.level.as_str());
        match &lane.reason {
            Some(reason) => {
                tracing::info!(pipeline = pipeline.name, "{source} -> {sink}: {level} ({reason})");
            }
            None => tracing::info!(pipeline = pipeline.name, "{source} -> {sink}: {level}"),
        }
    }
}
