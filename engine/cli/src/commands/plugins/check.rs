//! `tidegate plugins check`: whether a library keeps to what every plugin keeps to, for whoever writes one.
//!
//! A child process does the work, so that a library that crashes ends that and not the verdict.

pub(crate) mod arguments;
mod rules;

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::child::{PluginChild, Said};
use crate::exit::{Exit, Failure};
use crate::registry::Plugins;
use crate::terminal::wrap::wrap;
use crate::terminal::{self, Paint, harmless};
use arguments::PluginCheck;

pub(crate) use rules::{serve, uses};

/// How long one rule may take to be looked at.
const PATIENCE: Duration = Duration::from_secs(180);

/// What the child says while it works, a line of JSON each.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Told {
    /// The library as a whole: what it calls itself.
    Library(String),
    /// The rules of this plugin follow.
    Plugin(String),
    /// This rule is looked at now.
    Looking(String),
    /// It is kept.
    Kept,
    /// It is broken: how.
    Broken(String),
    /// It was not looked at: why.
    Skipped(String),
    /// There are no more.
    Over,
}

/// Has a child look at the library, and tells what it finds.
pub(crate) fn check(arguments: &PluginCheck, plugins: &Plugins) -> Result<Exit, Failure> {
    // What makes it no library at all is told in one sentence, before anything of it runs here.
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

/// Shows what the child says, as it comes.
fn follow(child: &mut PluginChild<Told>) -> Result<Exit, Failure> {
    let (paint, width) = (Paint::for_stdout(), terminal::prose_width());
    let (mut looking, mut broken) = (None, 0_u64);
    loop {
        let told = match child.next(PATIENCE) {
            Said::Message(told) => told,
            Said::Nothing => Told::Broken(format!("nothing came of it within {PATIENCE:?}")),
            Said::Over(how) => Told::Broken(format!("the library {how}")),
        };
        let last = looking.clone().unwrap_or_else(|| "it loads".to_owned());
        let line = match told {
            Told::Library(title) => format!("{}\n", paint.bold(&harmless(&title))),
            Told::Plugin(name) => format!("  {}\n", harmless(&name)),
            Told::Looking(rule) => {
                looking = Some(rule);
                continue;
            }
            Told::Kept => format!("    {}  {last}\n", paint.green("kept   ")),
            Told::Skipped(why) => {
                format!(
                    "    {}  {last}\n{}",
                    paint.dim("skipped"),
                    wrap(&harmless(&why), width, "             ")
                )
            }
            Told::Broken(why) => {
                broken += 1;
                let why = wrap(&harmless(&why), width, "             ");
                terminal::out(&format!("    {}  {last}\n{}\n", paint.red("broken "), why.trim_end()))?;
                match looking.take() {
                    Some(_) if child.is_there() => continue,
                    _ => break,
                }
            }
            Told::Over => break,
        };
        terminal::out(&format!("{}\n", line.trim_end()))?;
    }
    let (verdict, exit) = match broken {
        0 => (paint.green("it keeps to all of them"), Exit::Done),
        1 => (paint.red("1 rule is broken"), Exit::Failed),
        many => (paint.red(&format!("{many} rules are broken")), Exit::Failed),
    };
    terminal::out(&format!("{verdict}\n"))?;
    Ok(exit)
}
