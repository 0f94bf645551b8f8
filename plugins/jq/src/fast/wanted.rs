//! Which values of an event a program needs: the paths of its query as one tree, so that a single pass over the
//! event finds them all.

use super::words::Pattern;

/// A value that is wanted: its index in the tree.
pub(super) type Place = usize;

/// The event itself.
pub(super) const ROOT: Place = 0;

/// All wanted values. Each place has a number; below it are the members and elements of it that are wanted too.
#[derive(Debug)]
pub(super) struct Wanted {
    nodes: Vec<Node>,
}

/// A wanted value.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// Wanted members: the name as it stands in the text, in quotes.
    pub(super) members: Vec<(Pattern, Place)>,
    /// A bit for the first byte of each of these names, so that most other names need not be compared.
    initials: u64,
    /// Wanted elements, by their index.
    pub(super) elements: Vec<(usize, Place)>,
    /// True if the value may become part of a result, so that it must be known whether its text is the text that
    /// jq would print.
    pub(super) printed: bool,
}

impl Node {
    /// True if nothing below it is wanted.
    #[inline]
    pub(super) fn is_leaf(&self) -> bool {
        self.members.is_empty() && self.elements.is_empty()
    }

    /// True if a name that has `initial` after its quote may be that of a wanted member.
    #[inline]
    pub(super) fn may_want(&self, initial: u8) -> bool {
        self.initials & bit(initial) != 0
    }
}

/// Two bytes of 64 that follow one another never share a bit.
fn bit(initial: u8) -> u64 {
    1 << (initial & 63)
}

impl Wanted {
    pub(super) fn new() -> Self {
        Self { nodes: vec![Node::default()] }
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn node(&self, place: Place) -> Option<&Node> {
        self.nodes.get(place)
    }

    /// The member `name` of the value at `parent`, or `None` if the name does not stand for itself in JSON.
    pub(super) fn member(&mut self, parent: Place, name: &str) -> Option<Place> {
        let quoted = Pattern::new(&quoted(name)?);
        if let Some((_, place)) = self.nodes[parent].members.iter().find(|(known, _)| *known == quoted) {
            return Some(*place);
        }
        let place = self.add();
        self.nodes[parent].initials |= bit(quoted.bytes()[1]);
        self.nodes[parent].members.push((quoted, place));
        Some(place)
    }

    /// The element `index` of the value at `parent`.
    pub(super) fn element(&mut self, parent: Place, index: usize) -> Place {
        if let Some((_, place)) = self.nodes[parent].elements.iter().find(|(known, _)| *known == index) {
            return *place;
        }
        let place = self.add();
        self.nodes[parent].elements.push((index, place));
        place
    }

    pub(super) fn mark_printed(&mut self, place: Place) {
        self.nodes[place].printed = true;
    }

    fn add(&mut self) -> Place {
        self.nodes.push(Node::default());
        self.nodes.len() - 1
    }
}

/// `text` as it stands in JSON if no escapes are used; `None` if it cannot.
pub(super) fn quoted(text: &str) -> Option<Vec<u8>> {
    let plain = |byte: u8| byte >= 0x20 && !matches!(byte, b'"' | b'\\' | 0x7F);
    text.bytes().all(plain).then(|| format!("\"{text}\"").into_bytes())
}
