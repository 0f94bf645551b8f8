//! Dead letters of one pipeline, or of every pipeline in a data folder.

use std::path::Path;

use tidegate_runtime::dead_letters::{DeadLetter, DeadLetterIndex, folder};

use crate::exit::Failure;

/// A dead letter with the id of its pipeline.
pub(super) struct Found {
    pub(super) pipeline: String,
    pub(super) dead_letter: DeadLetter,
}

/// Dead letters of several pipelines, by id.
pub(super) struct Stores(Vec<(String, DeadLetterIndex)>);

impl Stores {
    /// Opens the store of one pipeline, or every store.
    pub(super) fn open(data_dir: &Path, pipeline: Option<&str>) -> Result<Self, Failure> {
        let ids = match pipeline {
            Some(id) if id.contains(['/', '\\']) || id.starts_with('.') => {
                return Err(Failure::wrong(format!("`{id}` is not the id of a pipeline")));
            }
            Some(id) => vec![id.to_owned()],
            None => pipelines(data_dir)?,
        };
        let mut stores = Vec::new();
        for id in ids {
            let index =
                DeadLetterIndex::open(&folder(data_dir, &id)).map_err(|error| unreadable(&id, &error))?;
            stores.push((id, index));
        }
        Ok(Self(stores))
    }

    /// Visits every dead letter.
    pub(super) fn each(&self, mut visit: impl FnMut(Found)) -> Result<(), Failure> {
        for (id, index) in &self.0 {
            let found = |dead_letter| {
                visit(Found { pipeline: id.clone(), dead_letter });
                Ok(())
            };
            index.each(found).map_err(|error| unreadable(id, &error))?;
        }
        Ok(())
    }

    /// Counts the damaged lines.
    pub(super) fn unreadable(&self) -> u64 {
        self.0.iter().map(|(_, index)| index.unreadable()).sum()
    }

    /// Returns the dead letter of this number. Fails if none or several pipelines have one.
    pub(super) fn only(&self, id: u64) -> Result<Found, Failure> {
        let mut found = Vec::new();
        for (pipeline, index) in &self.0 {
            if let Some(dead_letter) = index.get(id).map_err(|error| unreadable(pipeline, &error))? {
                found.push(Found { pipeline: pipeline.clone(), dead_letter });
            }
        }
        match found.pop() {
            None => Err(Failure::wrong(missing(&[id]))),
            Some(only) if found.is_empty() => Ok(only),
            Some(last) => {
                let mut pipelines: Vec<&str> = found.iter().map(|one| one.pipeline.as_str()).collect();
                pipelines.push(&last.pipeline);
                Err(Failure::wrong(format!(
                    "several pipelines have a dead letter {id}: {}; choose one with --pipeline ID",
                    pipelines.join(", ")
                )))
            }
        }
    }

    /// Returns the only pipeline that has dead letters, with its index.
    pub(super) fn only_pipeline(self) -> Result<(String, DeadLetterIndex), Failure> {
        let mut stores = self.0;
        if stores.len() > 1 {
            stores.retain(|(_, index)| !index.is_empty());
        }
        match stores.pop() {
            None => Err(Failure::wrong("there are no dead letters")),
            Some(only) if stores.is_empty() => Ok(only),
            Some(last) => {
                let mut ids: Vec<&str> = stores.iter().map(|(id, _)| id.as_str()).collect();
                ids.push(&last.0);
                Err(Failure::wrong(format!(
                    "several pipelines have dead letters: {}; choose one with --pipeline ID",
                    ids.join(", ")
                )))
            }
        }
    }
}

/// Names dead letters that do not exist.
pub(super) fn missing(ids: &[u64]) -> String {
    let ids: Vec<String> = ids.iter().map(u64::to_string).collect();
    let ids = ids.join(", ");
    format!("there is no dead letter {ids}; `tidegate dead-letters list` lists all")
}

fn unreadable(id: &str, error: &std::io::Error) -> Failure {
    Failure::failed(format!("the dead letters of `{id}` cannot be read: {error}"))
}

/// Lists the ids of all pipelines that have state, sorted. A missing data folder has none.
fn pipelines(data_dir: &Path) -> Result<Vec<String>, Failure> {
    let problem = |error| Failure::failed(format!("`{}` cannot be read: {error}", data_dir.display()));
    let entries = match data_dir.read_dir() {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(problem(error)),
    };
    let mut ids = Vec::new();
    for entry in entries {
        let path = entry.map_err(problem)?.path();
        if path.is_dir() {
            ids.extend(path.file_name().and_then(|name| name.to_str()).map(str::to_owned));
        }
    }
    ids.sort();
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(data: &Path, pipeline: &str, ids: &[u64]) {
        let path = folder(data, pipeline);
        std::fs::create_dir_all(&path).unwrap();
        let line = |id: &u64| {
            format!(
                "{{\"id\":{id},\"time\":1,\"component\":\"c\",\"reason\":\"r\",\"source\":\"s\",\"partition\":\"\",\
                 \"sequence\":0,\"index\":0,\"attempts\":1,\"length\":1,\"payload\":\"x\"}}\n"
            )
        };
        std::fs::write(path.join("1.jsonl"), ids.iter().map(line).collect::<String>()).unwrap();
    }

    #[test]
    fn a_number_that_several_pipelines_have_needs_the_pipeline() {
        let data = tempfile::tempdir().unwrap();
        store(data.path(), "a", &[1]);
        store(data.path(), "b", &[1, 2]);
        let stores = || Stores::open(data.path(), None).unwrap();
        assert_eq!(stores().only(2).map(|one| one.pipeline).unwrap(), "b");
        let message = |id| stores().only(id).err().unwrap().message;
        assert!(message(1).contains("dead letter 1: a, b; choose one"), "{}", message(1));
        assert!(message(3).contains("no dead letter 3"), "{}", message(3));
        let several = stores().only_pipeline().err().unwrap().message;
        assert!(several.contains("a, b; choose one"), "{several}");
        let one = Stores::open(data.path(), Some("b")).unwrap().only_pipeline().unwrap();
        assert_eq!((one.0.as_str(), one.1.len()), ("b", 2));
    }

    #[test]
    fn a_missing_data_folder_has_no_pipelines() {
        let folder = tempfile::tempdir().unwrap();
        assert!(pipelines(&folder.path().join("none")).unwrap().is_empty());
        std::fs::create_dir(folder.path().join("b")).unwrap();
        std::fs::create_dir(folder.path().join("a")).unwrap();
        std::fs::write(folder.path().join("lock"), "").unwrap();
        assert_eq!(pipelines(folder.path()).unwrap(), ["a", "b"]);
        for id in ["../a", "a/../b", ".."] {
            assert!(Stores::open(folder.path(), Some(id)).is_err(), "{id}");
        }
    }
}
