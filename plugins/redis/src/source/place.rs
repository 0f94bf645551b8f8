//! Positions in a stream, and their comparison with what the stream is now. Pure.

use serde::{Deserialize, Serialize};

use crate::source::page::{Id, Page};
use crate::source::summary::{Mark, Summary};

/// A position in a stream: after the entry with this id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) id: Id,
    /// The number of entries that were ever added up to this one, those that were removed unread included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) added: Option<u64>,
    /// The first entry of the stream, by which it is recognised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) first: Option<Mark>,
    /// The entries after this position, as they were read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<Ahead>,
}

/// Entries that were read after a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ahead {
    /// Their number.
    pub(crate) count: usize,
    /// The last of them.
    pub(crate) last: Id,
}

impl Ahead {
    /// The entries of a page. `None` if it is empty.
    pub(crate) fn of(page: &Page) -> Option<Self> {
        page.entries.last().map(|last| Self { count: page.entries.len(), last: last.id })
    }
}

/// The difference between a stream and a position in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Difference {
    /// Everything after the position is there.
    None,
    /// Entries after the position are gone; their number, if it is known.
    Removed(Option<u64>),
    /// There is no stream.
    Gone,
    /// The stream ends before the position, and is the same one: its server has lost the newest entries.
    RolledBack,
    /// The stream is another one.
    Replaced,
    /// The stream has fewer entries than were read, but ends after the position. It was created again, or its server
    /// lost some and others were added: either way, those after the position are to be read.
    Unsure,
}

impl Place {
    /// The position after a page.
    pub(crate) fn after(&self, page: &Page) -> Self {
        let Some(last) = page.entries.last() else { return self.clone() };
        let read = page.entries.len() as u64;
        Self { id: last.id, added: self.added.map(|added| added + read), first: self.first, next: None }
    }

    /// Compares the stream with this position.
    pub(crate) fn compare(&self, summary: Option<&Summary>) -> Difference {
        let Some(summary) = summary else {
            return if self.id == Id::default() { Difference::None } else { Difference::Gone };
        };
        if summary.newest < self.id {
            let is_same = summary.first.is_some() && summary.first == self.first;
            return if is_same { Difference::RolledBack } else { Difference::Replaced };
        }
        match (self.added, summary.added) {
            (Some(known), Some(added)) if added < known => Difference::Unsure,
            (Some(known), Some(_)) => match summary.removed().unwrap_or(0).saturating_sub(known) {
                0 => Difference::None,
                lost => Difference::Removed(Some(lost)),
            },
            _ => {
                let begins_after = summary.first.is_none_or(|first| first.0 > self.id);
                let may_lack = self.id > Id::default() && summary.newest > self.id && begins_after;
                if may_lack { Difference::Removed(None) } else { Difference::None }
            }
        }
    }

    /// True if an entry after this position may have been deleted. If not, entries that were read after it and are not
    /// there any more were the newest ones, which their server has lost.
    pub(crate) fn may_lack_some(&self, summary: Option<&Summary>) -> bool {
        let deleted = summary.map(|summary| summary.deleted);
        deleted.is_none_or(|deleted| deleted.is_none_or(|deleted| deleted > self.id))
    }

    /// Moves to where reading continues after such a difference.
    pub(crate) fn reconcile(&mut self, difference: Difference, summary: Option<&Summary>) {
        let removed = summary.map_or(Some(0), Summary::removed);
        match difference {
            Difference::None => {}
            Difference::Removed(known) => {
                if known.is_some() {
                    self.added = removed;
                }
            }
            Difference::Unsure => self.added = None,
            Difference::Gone | Difference::Replaced => (self.id, self.added) = (Id::default(), removed),
            Difference::RolledBack => {
                if let Some(summary) = summary {
                    (self.id, self.added) = (summary.newest, summary.added);
                }
            }
        }
        self.first = summary.and_then(|summary| summary.first);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(id: u64, added: Option<u64>) -> Place {
        Place { id: Id(id, 0), added, first: Some(Mark(Id(1, 0), 7)), next: None }
    }

    /// A stream whose entries have the ids `first..=newest`, out of `added`.
    fn stream(first: u64, newest: u64, added: Option<u64>) -> Summary {
        let length = newest + 1 - first;
        let first = (length > 0).then_some(Mark(Id(first, 0), 7));
        let deleted = added.map(|_| Id::default());
        Summary { length, newest: Id(newest, 0), first, added, deleted }
    }

    fn compare(place: &Place, stream: &Summary) -> Difference {
        place.compare(Some(stream))
    }

    #[test]
    fn entries_that_were_read_may_be_trimmed() {
        assert_eq!(compare(&place(5, Some(5)), &stream(1, 9, Some(9))), Difference::None);
        assert_eq!(compare(&place(5, Some(5)), &stream(6, 9, Some(9))), Difference::None);
        assert_eq!(compare(&place(9, Some(9)), &stream(10, 9, Some(9))), Difference::None);
        // Without the counts of Redis 7 it can only be seen that the position is not in the stream.
        assert_eq!(compare(&place(5, None), &stream(5, 9, None)), Difference::None);
        assert_eq!(compare(&place(9, None), &stream(10, 9, None)), Difference::None);
        assert_eq!(compare(&place(5, None), &stream(6, 9, None)), Difference::Removed(None));
    }

    #[test]
    fn entries_that_were_trimmed_unread_are_counted_once() {
        let (mut place, stream) = (place(5, Some(5)), stream(8, 9, Some(9)));
        assert_eq!(compare(&place, &stream), Difference::Removed(Some(2)));
        place.reconcile(Difference::Removed(Some(2)), Some(&stream));
        assert_eq!((place.id, compare(&place, &stream)), (Id(5, 0), Difference::None));
        assert_eq!(
            compare(&super::Place::default(), &stream),
            Difference::None,
            "a first run without a count"
        );
    }

    #[test]
    fn stream_that_ends_before_the_position_is_another_one_or_was_rolled_back() {
        let mut back = place(5, Some(5));
        let same = stream(1, 3, Some(3));
        assert_eq!(compare(&back, &same), Difference::RolledBack);
        back.reconcile(Difference::RolledBack, Some(&same));
        assert_eq!((back.id, back.added), (Id(3, 0), Some(3)));

        let mut other = place(5, Some(5));
        let mut created = stream(1, 3, Some(3));
        created.first = Some(Mark(Id(1, 0), 8));
        assert_eq!(compare(&other, &created), Difference::Replaced);
        other.reconcile(Difference::Replaced, Some(&created));
        assert_eq!((other.id, other.added), (Id(0, 0), Some(0)));
    }

    #[test]
    fn stream_that_is_gone_is_read_from_its_first_entry() {
        let mut gone = place(5, Some(5));
        assert_eq!(gone.compare(None), Difference::Gone);
        gone.reconcile(Difference::Gone, None);
        assert_eq!((gone.id, gone.compare(None)), (Id(0, 0), Difference::None));
        assert_eq!(compare(&place(5, Some(5)), &stream(7, 8, Some(2))), Difference::Unsure);
    }

    #[test]
    fn positions_of_an_older_form_are_read() {
        let read: Place = serde_json::from_str(r#"{"id":"5-1"}"#).unwrap();
        assert_eq!(read, Place { id: Id(5, 1), ..Place::default() });
        let whole = Place { next: Some(Ahead { count: 2, last: Id(7, 0) }), ..place(5, Some(3)) };
        let text = serde_json::to_string(&whole).unwrap();
        assert_eq!(text, r#"{"id":"5-0","added":3,"first":["1-0",7],"next":{"count":2,"last":"7-0"}}"#);
        assert_eq!(serde_json::from_str::<Place>(&text).unwrap(), whole);
    }
}
