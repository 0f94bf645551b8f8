//! Comparison of the files that were made at the followed paths with those that were found.

use std::collections::HashMap;

/// Files that had a path for a moment, and were not found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) name: String,
    pub(super) count: usize,
}

impl Lost {
    pub(super) fn warn(&self) {
        let Self { name, count } = self;
        let files = if *count == 1 { "a file".to_owned() } else { format!("{count} files") };
        tracing::warn!(
            file = %name,
            "{files} at {name} existed only for a moment and cannot be found: deleted, moved to another folder, \
             compressed, or renamed as rotation does not name files; their lines are not delivered"
        );
    }
}

/// Difference of both counts for each path, from one look to the next.
#[derive(Debug, Default)]
pub(super) struct Missing(HashMap<String, Difference>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Difference {
    /// Files that were made and not found yet. A rename at the same time may have hidden them from the search.
    NotFound(usize),
    /// Files that were found before the system has reported them. The report comes with the next look.
    NotReported(usize),
}

impl Missing {
    /// Tells whether files of this path are still to be found.
    pub(super) fn is_waiting(&self, name: &str) -> bool {
        matches!(self.0.get(name), Some(Difference::NotFound(_)))
    }

    /// Returns the paths whose files are still to be found.
    pub(super) fn waiting(&self) -> impl Iterator<Item = &String> {
        self.0.keys().filter(|name| self.is_waiting(name))
    }

    /// Compares the counts of one look. Returns the number of files that two looks have not found.
    pub(super) fn compare(&mut self, name: &str, made: usize, found: usize) -> usize {
        let (made, earlier) = match self.0.remove(name) {
            Some(Difference::NotFound(earlier)) => (made, earlier),
            Some(Difference::NotReported(count)) => (made.saturating_sub(count), 0),
            None => (made, 0),
        };
        // The files that are found first are those of the look before.
        let lost = earlier.saturating_sub(found);
        let found = found.saturating_sub(earlier);
        if found > made {
            self.0.insert(name.to_owned(), Difference::NotReported(found - made));
        } else if made > found {
            self.0.insert(name.to_owned(), Difference::NotFound(made - found));
        }
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_two_looks_do_not_find_are_lost() {
        let mut missing = Missing::default();
        let looks = |missing: &mut Missing, looks: &[(usize, usize)]| -> Vec<usize> {
            looks.iter().map(|(made, found)| missing.compare("a", *made, *found)).collect()
        };
        assert_eq!(looks(&mut missing, &[(1, 1), (0, 0), (2, 2)]), [0, 0, 0]);
        assert_eq!(looks(&mut missing, &[(2, 1), (0, 0), (0, 0)]), [0, 1, 0]);
        assert_eq!(looks(&mut missing, &[(2, 1), (0, 1), (0, 0)]), [0, 0, 0], "found by the second look");
        assert_eq!(looks(&mut missing, &[(0, 1), (1, 0), (0, 0)]), [0, 0, 0], "reported by the second look");
        assert_eq!(looks(&mut missing, &[(3, 1), (2, 1), (0, 1), (0, 0)]), [0, 1, 1, 0]);
        assert_eq!(missing.waiting().count(), 0);
    }
}
