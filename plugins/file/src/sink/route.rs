//! Which event goes to which file, and the folders of those files.

use std::collections::HashMap;
use std::io::{self, ErrorKind};

use tidegate_sdk::{Batch, Delivery, Error, Template};

use super::confine;
use super::location::{Location, is_link_refused};
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

impl Refused {
    /// Why the folder of a file cannot be opened or made.
    pub(crate) fn folder(location: &Location, error: &io::Error) -> Self {
        let path = location.path().display();
        let Some(root) = location.root() else {
            return Self::Error(failed(format!("the folder of {path} cannot be made"), error));
        };
        if is_link_refused(error) {
            return Self::Path(format!(
                "{path} leads through a symbolic link that may leave {}",
                root.display()
            ));
        }
        // A file stands where the data asks for a folder.
        if matches!(error.kind(), ErrorKind::NotADirectory | ErrorKind::AlreadyExists) {
            return Self::Path(format!("the folder of {path} cannot be made: {}", reason(error)));
        }
        Self::Error(failed(format!("the folder of {path} cannot be made"), error))
    }

    /// Why a file cannot be opened for writing.
    pub(crate) fn file(location: &Location, error: &io::Error) -> Self {
        let path = location.path().display();
        if location.root().is_some() {
            if is_link_refused(error) {
                return Self::Path(format!("{path} is a symbolic link"));
            }
            if error.kind() == ErrorKind::IsADirectory {
                return Self::Path(format!("{path} is a folder"));
            }
        }
        Self::Error(failed(format!("{path} cannot be opened for writing"), error))
    }

    /// The error, where it is of the sink and not of an event.
    pub(crate) fn into_error(self) -> Error {
        match self {
            Self::Error(error) => error,
            Self::Path(reason) => Error::misconfigured(reason),
        }
    }
}
