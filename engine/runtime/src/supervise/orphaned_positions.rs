//! Orphaned positions: stored under a name, or for an input, that the pipeline files no longer have.
//!
//! A position belongs to the id of a pipeline and the name of a source. If one of them changes, the source starts from the
//! beginning, which delivers its events again. The same holds for a source whose path changes.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use rustix::process::{Pid, test_kill_process};
use tidegate_config::{Node, Pipeline};
use tidegate_sdk::{Component, Kind, Replay};

use crate::delivery::checkpoint::Checkpoint;

/// Extension of a checkpoint file.
const ENDING: &str = ".position";

/// Returns a warning for each source that starts from the beginning although a position of another name is stored.
///
/// Only reads. `data_dir` need not exist.
pub fn orphaned_positions<'a>(
    pipelines: impl IntoIterator<Item = &'a Pipeline>,
    data_dir: &Path,
) -> Vec<String> {
    let pipelines: Vec<&Pipeline> = pipelines.into_iter().collect();
    let ids: BTreeSet<&str> = pipelines.iter().map(|pipeline| pipeline.id.as_str()).collect();
    pipelines.iter().flat_map(|pipeline| of_pipeline(pipeline, &ids, data_dir)).collect()
}

fn of_pipeline(pipeline: &Pipeline, ids: &BTreeSet<&str>, data_dir: &Path) -> Vec<String> {
    let sources: Vec<&Node> = sources(pipeline).collect();
    let folder = data_dir.join(&pipeline.id);
    let stored = stored(&folder);
    let fresh: Vec<&&Node> = sources.iter().filter(|source| !stored.contains(&source.name)).collect();
    let orphans: Vec<&String> =
        stored.iter().filter(|name| sources.iter().all(|source| source.name != **name)).collect();
    let mut found = Vec::new();
    if let (Some(fresh), Some(orphan)) = (fresh.first(), orphans.first()) {
        found.push(format!(
            "`{0}` of pipeline `{1}` has no stored position, and {2} has one of `{orphan}`, which is not a source of the file: \
             if `{orphan}` was renamed, everything that it has read is delivered again. Give `{0}` the old name, or remove {2}",
            fresh.name,
            pipeline.name,
            folder.join(format!("{orphan}{ENDING}")).display()
        ));
    } else if stored.is_empty()
        && let Some((old, name)) = renamed(&sources, ids, data_dir)
    {
        found.push(format!(
            "pipeline `{0}` has no stored position, and {1} has one of `{name}` under the id `{old}`, which is not a \
             pipeline of this run: if `{0}` is the new name of `{old}`, everything that was read is delivered again, unless \
             `[pipeline] id = \"{old}\"` is set. If `{old}` is another pipeline, nothing is wrong",
            pipeline.name,
            data_dir.join(&old).display()
        ));
    }
    found.extend(sources.iter().filter_map(|source| moved(source, pipeline, &folder)));
    found
}

/// Sources whose position is kept across runs.
fn sources(pipeline: &Pipeline) -> impl Iterator<Item = &Node> {
    let nodes = pipeline.graphs.iter().flat_map(|graph| &graph.nodes);
    nodes.filter(|node| node.kind() == Kind::Source && node.capabilities.replay != Replay::Never)
}

/// Names of the sources with a position in the folder.
fn stored(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter_map(|name| name.strip_suffix(ENDING).map(str::to_owned)).collect()
}

/// Finds a pipeline that no file has and that does not run, with a position of a source of one of these names.
fn renamed(sources: &[&Node], ids: &BTreeSet<&str>, data_dir: &Path) -> Option<(String, String)> {
    let entries = fs::read_dir(data_dir).into_iter().flatten().flatten();
    let mut others: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    others.sort_unstable();
    others.into_iter().filter(|id| !ids.contains(id.as_str())).find_map(|id| {
        let folder = data_dir.join(&id);
        let stored = stored(&folder);
        let source = sources.iter().find(|source| stored.contains(&source.name))?;
        (!is_running(&folder)).then(|| (id, source.name.clone()))
    })
}

/// Returns whether the process that locked the folder last still exists.
fn is_running(folder: &Path) -> bool {
    let holder = fs::read_to_string(folder.join("lock")).ok().and_then(|text| text.trim().parse().ok());
    let holder = holder.and_then(Pid::from_raw);
    holder.is_some_and(|holder| test_kill_process(holder) != Err(rustix::io::Errno::SRCH))
}

/// Warning for a source whose options name none of the inputs that it has positions for.
fn moved(source: &Node, pipeline: &Pipeline, folder: &Path) -> Option<String> {
    if !folder.join(format!("{}{ENDING}", source.name)).exists() {
        return None;
    }
    let places = Checkpoint::new(folder, &source.name).peek()?;
    let Ok(Component::Source(built)) = source.build() else { return None };
    let partition = places.keys().next()?;
    places.keys().all(|partition| !built.covers(partition)).then(|| {
        format!(
            "`{0}` of pipeline `{1}` has a stored position for {partition}, which its options do not name any more: what \
             they name is read from its start. If that is the same data in another place, it is delivered again",
            source.name, pipeline.name
        )
    })
}
