//! Which event goes to which file, and the folders of those files.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::Path;

use tidegate_sdk::{Batch, Delivery, Error, Template};

use super::confine;
use crate::failure::{failed, reason};

/// Why a file could not be opened.
pub(crate) enum Refused {
    /// The path leads where it must not.
    Path(String),
    Error(Error),
}

/// Which events go to which file, in order of the first event of each. Events without a good path are
/// rejected.
pub(crate) fn assign(
    template: &Template,
    batch: &Batch,
    delivery: &mut Delivery,
) -> Vec<(String, Vec<usize>)> {
    if let Some(path) = template.as_literal() {
        return vec![(path.to_owned(), (0..batch.len()).collect())];
    }
    let mut files: Vec<(String, Vec<usize>)> = Vec::new();
    let mut indices: HashMap<String, usize> = HashMap::new();
    for (event, payload) in batch.payloads().enumerate() {
        let path = template.render(payload).and_then(|path| {
            confine::check(template, &path)?;
            Ok(path)
        });
        let path = match path {
            Ok(path) => path,
            Err(reason) => {
                delivery.reject(event, reason);
                continue;
            }
        };
        match indices.get(&*path) {
            Some(index) => files[*index].1.push(event),
            None => {
                indices.insert(path.clone().into_owned(), files.len());
                files.push((path.into_owned(), vec![event]));
            }
        }
    }
    files
}

/// Makes the folders of `path`, which was rendered from `template`.
pub(crate) fn make_folders(template: &Template, path: &Path) -> Result<(), Refused> {
    let from_data = template.as_literal().is_none();
    let made = match template.as_literal() {
        Some(_) => match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => std::fs::create_dir_all(folder).map(Ok),
            _ => Ok(Ok(())),
        },
        None => confine::make_folders(confine::folder(template), path),
    };
    match made {
        Ok(Ok(())) if from_data && path.is_dir() => {
            Err(Refused::Path(format!("{} is a folder", path.display())))
        }
        Ok(Ok(())) => Ok(()),
        // A file stands where the data asks for a folder.
        Err(error)
            if from_data && matches!(error.kind(), ErrorKind::NotADirectory | ErrorKind::AlreadyExists) =>
        {
            Err(Refused::Path(format!("the folder of {} cannot be made: {}", path.display(), reason(&error))))
        }
        Ok(Err(outside)) => Err(Refused::Path(outside)),
        Err(error) => {
            let what = format!("the folder of {} cannot be made", path.display());
            Err(Refused::Error(failed(what, &error)))
        }
    }
}
