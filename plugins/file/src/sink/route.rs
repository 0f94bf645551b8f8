//! Assignment of events to files, and refusal of paths.

use std::collections::HashMap;
use std::io::{self, ErrorKind};

use tidegate_sdk::{Batch, Delivery, Error, Template};

use super::confine;
use super::location::{Location, is_link_refused};
use crate::failure::{failed, reason};

/// Reason why a file could not be opened.
pub(crate) enum Refused {
    /// The path is not allowed, so its events are rejected.
    Path(String),
    /// The system returned an error.
    Error(Error),
}

/// Returns the events of each file, in the order of their first events. Events without a valid path are rejected.
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
    /// Returns the reason why the folder of a file cannot be opened or created.
    pub(crate) fn folder(location: &Location, error: &io::Error) -> Self {
        let path = location.path().display();
        let Some(root) = location.root() else {
            return Self::Error(failed(format!("the folder of {path} cannot be created"), error));
        };
        if is_link_refused(error) {
            return Self::Path(format!(
                "{path} leads through a symbolic link that may leave {}",
                root.display()
            ));
        }
        // A file has the name of a folder of the rendered path.
        if matches!(error.kind(), ErrorKind::NotADirectory | ErrorKind::AlreadyExists) {
            return Self::Path(format!("the folder of {path} cannot be created: {}", reason(error)));
        }
        Self::Error(failed(format!("the folder of {path} cannot be created"), error))
    }

    /// Returns the reason why a file cannot be opened for writing.
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

    /// Converts it to an error of the sink, if no event is concerned.
    pub(crate) fn into_error(self) -> Error {
        match self {
            Self::Error(error) => error,
            Self::Path(reason) => Error::misconfigured(reason),
        }
    }
}
