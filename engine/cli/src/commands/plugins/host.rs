//! `tidegate plugin-host`: a process that describes, tests or measures a library, or runs one component of it.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{bench, check};
use crate::exit::{Exit, Failure};
use crate::terminal;

/// Arguments of `tidegate plugin-host`.
#[derive(Args, Debug)]
pub(crate) struct PluginHostArguments {
    /// Load this library and print its description
    #[arg(long, value_name = "FILE")]
    pub(crate) describe: Option<PathBuf>,
    /// Load this library and test its plugins
    #[arg(long, value_name = "FILE")]
    pub(crate) check: Option<PathBuf>,
    /// Pipeline file with options for the test
    #[arg(long, value_name = "FILE")]
    pub(crate) pipeline: Option<PathBuf>,
    /// Load a library and measure its plugins: the arguments of `plugins bench`
    #[arg(long, value_name = "JSON")]
    pub(crate) bench: Option<String>,
    /// Run one component of this library, for the engine that has spawned this process
    #[arg(long, value_name = "FILE", requires_all = ["sha256", "descriptors"])]
    pub(crate) serve: Option<PathBuf>,
    /// Expected hash of its file
    #[arg(long)]
    pub(crate) sha256: Option<String>,
    /// The descriptors that the engine has left open for this process
    #[arg(long, value_name = "NUMBERS")]
    pub(crate) descriptors: Option<String>,
}

/// Runs one action on a library in this process.
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
        _ => Err(Failure::wrong("`plugin-host` is for the engine only")),
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
