//! Graphs from connections: cycles, separate graphs, the order in each.

pub(crate) mod answers;
pub(crate) mod delivery;
pub(crate) mod drawing;
pub(crate) mod guarantee;
pub(crate) mod wiring;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::component::draft::Draft;
use crate::diagnostic::Diagnostic;
use crate::document::place;
use crate::graph::wiring::Feed;
use crate::topology::{Graph, Input, Node};

/// Reports every cycle of components.
pub(crate) fn cycles(drafts: &[Draft], feeds: &[Vec<Feed>], diagnostics: &mut Vec<Diagnostic>) {
    let mut search =
        Search { feeds, state: vec![State::New; drafts.len()], path: Vec::new(), rings: Vec::new() };
    for index in 0..drafts.len() {
        search.visit(index);
    }
    for ring in search.rings {
        // The search walks upstream; the message names the components downstream.
        let mut names: Vec<&str> = ring.iter().rev().map(|node| drafts[*node].name.as_str()).collect();
        let first = names
            .iter()
            .enumerate()
            .min_by_key(|(_, name)| drafts.iter().position(|draft| draft.name == **name));
        let first = first.map_or(0, |(at, _)| at);
        names.rotate_left(first);
        let name = names[0];
        names.push(name);
        let message = format!("`{name}` is its own upstream: {}", names.join(" -> "));
        let last = names[names.len() - 2];
        let node = ring.iter().find(|node| drafts[**node].name == name);
        let feed = node.and_then(|node| feeds[*node].iter().find(|feed| drafts[feed.node].name == last));
        let mut diagnostic = Diagnostic::error("cycle", message);
        if let Some(feed) = feed {
            diagnostic = place(diagnostic, &feed.origin, "the cycle closes here");
        }
        diagnostics.push(diagnostic.note("remove one `from` of the cycle"));
    }
}

/// Returns the components that get events of component `node`, directly or not.
pub(crate) fn downstream(feeds: &[Vec<Feed>], node: usize) -> BTreeSet<usize> {
    let mut reached = BTreeSet::new();
    let mut open = vec![node];
    while let Some(node) = open.pop() {
        let next = feeds.iter().enumerate().filter(|(_, feeds)| feeds.iter().any(|feed| feed.node == node));
        open.extend(next.map(|(index, _)| index).filter(|index| reached.insert(*index)));
    }
    reached
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    Open,
    Done,
}

/// A depth-first search, from a component upstream.
struct Search<'a> {
    feeds: &'a [Vec<Feed>],
    state: Vec<State>,
    path: Vec<usize>,
    rings: Vec<Vec<usize>>,
}

impl Search<'_> {
    /// Walks without recursion, so that a long chain cannot overflow the stack.
    fn visit(&mut self, start: usize) {
        let mut open = vec![(start, 0)];
        while let Some((node, next)) = open.pop() {
            if next == 0 {
                if self.state[node] != State::New {
                    continue;
                }
                self.state[node] = State::Open;
                self.path.push(node);
            }
            match self.feeds[node].get(next).map(|feed| feed.node) {
                Some(before) => {
                    open.push((node, next + 1));
                    match self.state[before] {
                        State::New => open.push((before, 0)),
                        State::Open => {
                            let at = self.path.iter().position(|one| *one == before).unwrap_or(0);
                            self.rings.push(self.path[at..].to_vec());
                        }
                        State::Done => {}
                    }
                }
                None => {
                    self.state[node] = State::Done;
                    self.path.pop();
                }
            }
        }
    }
}

/// The graphs that do not touch, each with every component after those upstream of it. A graph with a component whose
/// plugin is unknown is left out.
pub(crate) fn graphs(drafts: &[Draft], feeds: &[Vec<Feed>]) -> Vec<Graph> {
    let mut groups: Vec<usize> = (0..drafts.len()).collect();
    for (index, feeds) in feeds.iter().enumerate() {
        for feed in feeds {
            let (left, right) = (groups[index], groups[feed.node]);
            let (first, second) = (left.min(right), left.max(right));
            groups.iter_mut().filter(|group| **group == second).for_each(|group| *group = first);
        }
    }
    (0..drafts.len())
        .filter(|group| groups[*group] == *group && drafts[*group].enabled)
        .map(|group| (0..drafts.len()).filter(|node| groups[*node] == group).collect::<Vec<usize>>())
        .filter(|members| members.iter().all(|node| drafts[*node].plugin.is_some()))
        .map(|members| graph(drafts, feeds, &members))
        .collect()
}

fn graph(drafts: &[Draft], feeds: &[Vec<Feed>], members: &[usize]) -> Graph {
    let order = order(feeds, members);
    let places: BTreeMap<usize, usize> =
        order.iter().enumerate().map(|(place, node)| (*node, place)).collect();
    let nodes = order.iter().filter_map(|index| {
        let draft = &drafts[*index];
        let inputs = feeds[*index].iter();
        Some(Node {
            name: draft.name.clone(),
            plugin: draft.plugin.clone()?,
            options: draft.options.clone(),
            inputs: inputs
                .filter_map(|feed| Some(Input { node: *places.get(&feed.node)?, output: feed.output }))
                .collect(),
            outputs: draft.outputs.clone().unwrap_or_default(),
            engine: draft.engine.clone(),
            capabilities: Arc::clone(&draft.capabilities),
        })
    });
    Graph { nodes: nodes.collect() }
}

/// The members in the order of the file, but each after those upstream of it.
fn order(feeds: &[Vec<Feed>], members: &[usize]) -> Vec<usize> {
    let mut waits: BTreeMap<usize, usize> = members.iter().map(|node| (*node, feeds[*node].len())).collect();
    let mut readers: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for node in members {
        for feed in &feeds[*node] {
            readers.entry(feed.node).or_default().push(*node);
        }
    }
    let mut ready: BTreeSet<usize> = members.iter().copied().filter(|node| feeds[*node].is_empty()).collect();
    let mut order = Vec::with_capacity(members.len());
    while let Some(node) = ready.pop_first() {
        order.push(node);
        for reader in readers.remove(&node).unwrap_or_default() {
            if let Some(left) = waits.get_mut(&reader) {
                *left -= 1;
                if *left == 0 {
                    ready.insert(reader);
                }
            }
        }
    }
    order
}
