//! `tidegate check`: every problem in every file, without running anything.

pub(crate) mod arguments;
mod connect;
mod explain;

use serde_json::{Value, json};

use crate::exit::{Exit, Failure};
use crate::files::Files;
use crate::guarantees;
use crate::options::ReportFormat;
use crate::registry::Plugins;
use crate::terminal::quantity::plural;
use crate::terminal::table::Align::Left;
use crate::terminal::table::{Cell, Table, Tone};
use crate::terminal::{self, Paint, escape_control};
use arguments::CheckArguments;
use connect::Connection;
use explain::Explanation;

/// Checks the files. With `--connect`, opens their sources and sinks if there is no error.
pub(crate) fn check(arguments: &CheckArguments, plugins: &Plugins) -> Result<Exit, Failure> {
    let mut files = Files::load(&arguments.sources, plugins, None);
    files.skip_unbuilt(&arguments.sources);
    if let Ok(data_dir) = arguments.data_dir.resolve() {
        files.compare_with_state(&data_dir);
    }
    let (errors, _) = files.tally();
    let connections =
        if arguments.connect && errors == 0 { connect::connect_all(files.pipelines())? } else { Vec::new() };
    let explanations = if arguments.explain { explain::explain_all(files.pipelines()) } else { Vec::new() };
    let exit = match (errors, connections.iter().all(|one| one.result.is_ok())) {
        (1.., _) => Exit::Wrong,
        (0, false) => Exit::Failed,
        (0, true) => Exit::Done,
    };
    match arguments.format {
        ReportFormat::Json => {
            let mut report = as_json(&files, &connections, exit == Exit::Done);
            if arguments.explain {
                report["explanations"] = explanations.iter().map(explanation_as_json).collect();
            }
            let text = format!("{report:#}\n");
            terminal::out(&text)?;
        }
        ReportFormat::Text => {
            let paint = Paint::for_stderr();
            terminal::err(&files.render(paint));
            let verdict = verdict(&files, &connections, arguments.connect);
            match exit {
                Exit::Done => {
                    let paint = Paint::for_stdout();
                    let tables = guarantees::table(files.pipelines(), paint)
                        + &explain::table(&explanations, paint)
                        + &table(&connections, paint);
                    terminal::out(&format!("{tables}{verdict}\n"))?;
                }
                _ => terminal::err(&format!("{}{verdict}\n", table(&connections, paint))),
            }
        }
    }
    Ok(exit)
}

fn verdict(files: &Files, connections: &[Connection], connect: bool) -> String {
    let failed = connections.iter().filter(|one| one.result.is_err()).count();
    match (files.tally().0, failed) {
        (1.., _) if connect => format!("{}; nothing was opened", files.verdict()),
        (0, 1..) => {
            format!("{failed} of {} could not be opened", plural(connections.len() as u64, "connection"))
        }
        _ => files.verdict(),
    }
}

fn table(connections: &[Connection], paint: Paint) -> String {
    if connections.is_empty() {
        return String::new();
    }
    let mut table =
        Table::new(&[("pipeline", Left), ("component", Left), ("plugin", Left), ("opened", Left)]);
    for one in connections {
        let (outcome, tone) = match &one.result {
            Ok(()) => ("ok".to_owned(), Tone::Good),
            Err(reason) => (escape_control(reason), Tone::Bad),
        };
        table.row(vec![
            one.pipeline.as_str().into(),
            Cell::new(&one.component, Tone::Strong),
            format!("{} {}", one.kind, one.plugin).into(),
            Cell::new(outcome, tone),
        ]);
    }
    format!("{}\n", table.render("", paint))
}

fn explanation_as_json(one: &Explanation) -> Value {
    json!({ "pipeline": one.pipeline, "component": one.component, "plugin": one.plugin, "explanation": one.explanation })
}

fn as_json(files: &Files, connections: &[Connection], ok: bool) -> Value {
    let (errors, warnings) = files.tally();
    let checked = files.checked.iter().map(|file| {
        let diagnostics = tidegate_config::to_json(&file.diagnostics, &file.text);
        json!({ "file": file.text.path, "diagnostics": diagnostics })
    });
    let opened = connections.iter().map(|one| {
        json!({
            "pipeline": one.pipeline,
            "component": one.component,
            "kind": one.kind.name(),
            "plugin": one.plugin,
            "ok": one.result.is_ok(),
            "reason": one.result.as_ref().err(),
        })
    });
    json!({
        "ok": ok,
        "errors": errors,
        "warnings": warnings,
        "problems": files.problems,
        "state_warnings": files.warnings,
        "skipped": files.skipped.iter().map(|(file, reason)| json!({ "file": file, "reason": reason }))
            .collect::<Vec<_>>(),
        "files": checked.collect::<Vec<_>>(),
        "connections": opened.collect::<Vec<_>>(),
    })
}
