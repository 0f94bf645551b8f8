//! `tidegate plugins check`: tests a library against the plugin contract, for authors of plugins.
//!
//! A child process does the work, so that a crashing library does not end the report.

pub(crate) mod arguments;
mod rules;

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::child::{ChildMessage, PluginChild};
use crate::exit::{Exit, Failure};
use crate::registry::Plugins;
use crate::terminal::wrap::wrap;
use crate::terminal::{self, Paint, escape_control};
use arguments::PluginCheck;

pub(crate) use rules::{serve, uses};

/// Time limit for the test of one rule.
const PATIENCE: Duration = Duration::from_secs(180);

/// Message of the child, a line of JSON each.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CheckEvent {
    /// Name and version of the library.
    Library(String),
    /// Beginning of a plugin.
    Plugin(String),
    /// Beginning of the test of a rule.
    Testing(String),
    /// The rule holds.
    Kept,
    /// The rule is broken, with the reason.
    Broken(String),
    /// The rule was not tested, with the reason.
    Skipped(String),
    /// End of the tests.
    Over,
}

/// Tests the library in a child process, and prints the results.
pub(crate) fn check(arguments: &PluginCheck, plugins: &Plugins) -> Result<Exit, Failure> {
    // A file that is no library is reported in one sentence, before any code of it runs.
    let name = arguments.file.display().to_string();
    plugins.open(Path::new("."), &name, None).map_err(Failure::wrong)?;
    let mut child = PluginChild::start(|command| {
        command.arg("--check").arg(&arguments.file);
        if let Some(pipeline) = &arguments.pipeline {
            command.arg("--pipeline").arg(pipeline);
        }
    })?;
    follow(&mut child)
}

/// Prints the messages of the child as they arrive.
fn follow(child: &mut PluginChild<CheckEvent>) -> Result<Exit, Failure> {
    let (paint, width) = (Paint::for_stdout(), terminal::prose_width());
    let (mut testing, mut broken) = (None, 0_u64);
    loop {
        let event = match child.next(PATIENCE) {
            ChildMessage::Message(event) => event,
            ChildMessage::Nothing => CheckEvent::Broken(format!("it sent no result within {PATIENCE:?}")),
            ChildMessage::Over(how) => CheckEvent::Broken(format!("the library {how}")),
        };
        let last = testing.clone().unwrap_or_else(|| "the library loads".to_owned());
        let line = match event {
            CheckEvent::Library(title) => format!("{}\n", paint.bold(&escape_control(&title))),
            CheckEvent::Plugin(name) => format!("  {}\n", escape_control(&name)),
            CheckEvent::Testing(rule) => {
                testing = Some(rule);
                continue;
            }
            CheckEvent::Kept => format!("    {}  {last}\n", paint.green("kept   ")),
            CheckEvent::Skipped(why) => {
                format!(
                    "    {}  {last}\n{}",
                    paint.dim("skipped"),
                    wrap(&escape_control(&why), width, "             ")
                )
            }
            CheckEvent::Broken(why) => {
                broken += 1;
                let why = wrap(&escape_control(&why), width, "             ");
                terminal::out(&format!("    {}  {last}\n{}\n", paint.red("broken "), why.trim_end()))?;
                match testing.take() {
                    Some(_) if child.is_running() => continue,
                    _ => break,
                }
            }
            CheckEvent::Over => break,
        };
        terminal::out(&format!("{}\n", line.trim_end()))?;
    }
    let (verdict, exit) = match broken {
        0 => (paint.green("every rule holds"), Exit::Done),
        1 => (paint.red("1 rule is broken"), Exit::Failed),
        many => (paint.red(&format!("{many} rules are broken")), Exit::Failed),
    };
    terminal::out(&format!("{verdict}\n"))?;
    Ok(exit)
}
