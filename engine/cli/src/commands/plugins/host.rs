//! `tidegate plugin-host`: a process that looks at one library, or runs one component of it, for the engine.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{bench, check};
use crate::exit::{Exit, Failure};
use crate::terminal;

/// What another process of this program does with a shared library.
#[derive(Args, Debug)]
pub(crate) struct PluginHostArguments {
    /// Load this library and print what is in it
    #[arg(long, value_name = "FILE")]
    pub(crate) describe: Option<PathBuf>,
    /// Load this library and try its plugins
    #[arg(long, value_name = "FILE")]
    pub(crate) check: Option<PathBuf>,
    /// With these uses of them
    #[arg(long, value_name = "FILE")]
    pub(crate) pipeline: Option<PathBuf>,
    /// Load a library and measure its plugins: the arguments of `plugins bench`
    #[arg(long, value_name = "JSON")]
    pub(crate) bench: Option<String>,
    /// Run one component of this library, for the engine that has started this process
    #[arg(long, value_name = "FILE", requires_all = ["sha256", "descriptors"])]
    pub(crate) serve: Option<PathBuf>,
    /// What its file must hash to
    #[arg(long)]
    pub(crate) sha256: Option<String>,
    /// The descriptors that the engine has left open for this process
    #[arg(long, value_name = "NUMBERS")]
    pub(crate) descriptors: Option<String>,
}

/// What is done with a library in a process that is there for nothing else.
pub(crate) fn host(arguments: &PluginHostArguments) -> Result<Exit, Failure> {
    let PluginHostArguments { describe: described, check, pipeline, bench, serve, sha256, descriptors } =
        arguments;
    if let Some(bench) = bench {
        return bench::serve(bench);
    }
    match (described, check, serve, sha256, descriptors) {
        (Some(library), ..) => describe(library, sha256.as_deref()),
        (None, Some(library), ..) => check::serve(library, pipeline.as_deref()),
        (None, None, Some(library), Some(sha256), Some(descriptors)) => {
            let served = tidegate_loader::serve(library, sha256, descriptors);
            served.map(|()| Exit::Done).map_err(|refusal| Failure::wrong(refusal.to_string()))
        }
        _ => Err(Failure::wrong("`plugin-host` is for the engine, which says what it wants")),
    }
}

fn describe(path: &Path, sha256: Option<&str>) -> Result<Exit, Failure> {
    let description = match tidegate_loader::describe(path, sha256) {
        Ok(description) => description,
        Err(refusal) => {
            terminal::err(&format!("{refusal}\n"));
            return Ok(Exit::Wrong);
        }
    };
    let text = serde_json::to_string(&description).map_err(|error| Failure::failed(error.to_string()))?;
    terminal::out(&format!("{text}\n"))?;
    Ok(Exit::Done)
}
