//! Plugins from shared libraries instead of the built-in ones.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::PathBuf;

use clap::ValueEnum;

/// Isolation of a source and a sink from a library.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Isolation {
    /// In the engine.
    Inline,
    /// In the engine, on their own threads.
    Thread,
    /// In their own processes.
    Process,
}

/// The libraries of a lane.
#[derive(Clone, Debug)]
pub struct Libraries {
    /// Files of the libraries.
    pub files: Vec<PathBuf>,
    /// Isolation of the source and the sink.
    pub isolation: Isolation,
}

impl Libraries {
    /// The table `[plugins]` of the pipeline file.
    pub(crate) fn table(&self) -> String {
        let files: Vec<String> = self.files.iter().map(|file| file.display().to_string()).collect();
        format!("[plugins]\nlibraries = {files:?}\n\n")
    }

    /// The option `isolation` of a component.
    pub(crate) fn option(&self) -> String {
        format!("isolation = \"{}\"\n", self.isolation)
    }
}

/// Plugin processes of this engine, without those that only describe a library.
pub(crate) fn processes(engine: u32) -> BTreeSet<u32> {
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.filter(|id| parent(*id) == Some(engine) && serves(*id)).collect()
}

/// Parent of a live process.
fn parent(id: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let mut fields = stat.get(stat.rfind(')')? + 2..)?.split(' ');
    let state = fields.next()?;
    if state == "Z" || state == "X" { None } else { fields.next()?.parse().ok() }
}

fn serves(id: u32) -> bool {
    let line = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
    line.split(|byte| *byte == 0).any(|word| word == b"--serve")
}

impl fmt::Display for Isolation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Inline => "inline",
            Self::Thread => "thread",
            Self::Process => "process",
        })
    }
}
