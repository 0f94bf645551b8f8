//! Loads a pipeline file: from its text to a pipeline, or to all of its problems.

mod components;
mod tables;

use tidegate_sdk::Registry;
use toml::de::DeTable;

use crate::component::Reader;
use crate::component::draft::Draft;
use crate::component::exclusive::Claimed;
use crate::diagnostic::{BYTE_ORDER_MARK, Diagnostic, has_errors};
use crate::document::overrides::{self, Override};
use crate::document::syntax::{self, Unparsed};
use crate::document::{self, Table};
use crate::environment::Environment;
use crate::graph::{self, answers, delivery, wiring};
use crate::keys::{PipelineKeys, Settings};
use crate::names::pipeline_problem;
use crate::text::Text;
use crate::topology::{Graph, Pipeline};

use components::Components;

/// The result of loading a file.
#[derive(Debug)]
pub struct Loaded {
    /// The pipeline, unless there is an error.
    pub pipeline: Option<Pipeline>,
    /// The problems, in the order of the file.
    pub diagnostics: Vec<Diagnostic>,
    /// Resources that components of other files cannot use either: see [`crate::collisions`].
    pub claims: Vec<Claimed>,
}

/// The largest number of diagnostics that are returned.
const MOST_DIAGNOSTICS: usize = 100;

/// Loads a pipeline file: parses it, inserts the overrides and the environment, checks every key, builds every component
/// once and connects them.
pub fn load(
    text: &Text,
    registry: &Registry,
    environment: &Environment<'_>,
    overrides: &[Override],
) -> Loaded {
    let (diagnostics, claims) = (Vec::new(), Vec::new());
    let mut load = Load { text, registry, environment, diagnostics, claims, unparsed: Unparsed::None };
    let pipeline = load.run(overrides);
    let mut diagnostics = load.diagnostics;
    syntax::withdraw_consequences(&mut diagnostics, &text.text, load.unparsed);
    let failed = has_errors(&diagnostics);
    let position = |one: &Diagnostic| one.label.as_ref().map_or(usize::MAX, |label| label.range.start);
    diagnostics.sort_by_key(position);
    if diagnostics.len() > MOST_DIAGNOSTICS {
        let more = diagnostics.len() - MOST_DIAGNOSTICS;
        diagnostics.truncate(MOST_DIAGNOSTICS);
        diagnostics.push(Diagnostic::error("more", format!("there are {more} more problems")));
    }
    Loaded { pipeline: pipeline.filter(|_| !failed), diagnostics, claims: load.claims }
}

struct Load<'a> {
    text: &'a Text,
    registry: &'a Registry,
    environment: &'a Environment<'a>,
    diagnostics: Vec<Diagnostic>,
    claims: Vec<Claimed>,
    unparsed: Unparsed,
}

impl Load<'_> {
    fn run(&mut self, overrides: &[Override]) -> Option<Pipeline> {
        let source = self.text.text.as_str();
        if source.trim_start_matches(BYTE_ORDER_MARK).trim().is_empty() {
            let note =
                "a pipeline has at least a `[source.NAME]` and a `[sink.NAME]`, each with its `plugin`";
            self.diagnostics.push(Diagnostic::error("empty", "the file is empty").note(note));
            return None;
        }
        let (parsed, errors) = DeTable::parse_recoverable(source);
        if !errors.is_empty() {
            self.unparsed = Unparsed::Anything;
            self.diagnostics.extend(syntax::diagnostics(&errors, source));
        }
        let mut root = document::table(parsed.get_ref(), source, &mut self.diagnostics);
        tables::unknown(&mut root, &mut self.diagnostics);
        overrides::apply(&mut root, overrides, &mut self.diagnostics);
        let (keys, settings) = tables::pipeline(&mut root, source, self.environment, &mut self.diagnostics);
        let before = self.diagnostics.len();
        let registry =
            tables::plugins(&mut root, self.registry, source, self.environment, &mut self.diagnostics);
        let whole = !has_errors(&self.diagnostics[before..]);
        let reader = Reader::new(&registry, whole, source, keys.workers.unwrap_or(1));
        let drafts = self.drafts(&mut root, &reader);
        let graphs = self.graphs(&drafts)?;
        self.diagnostics.extend(answers::unpaired(&graphs, &drafts));
        let entry = root.get("pipeline").and_then(|entry| entry.item.table()?.get("delivery"));
        if let Some(entry) = entry {
            self.diagnostics.extend(delivery::refused(
                &graphs,
                &drafts,
                settings.delivery,
                &entry.item.origin,
            ));
        }
        Some(self.pipeline(keys, settings, graphs))
    }

    fn drafts<'r>(&mut self, root: &mut Table, reader: &'r Reader<'r>) -> Vec<Draft> {
        let (environment, diagnostics) = (self.environment, Vec::new());
        let mut components = Components { reader, environment, unparsed: self.unparsed, diagnostics };
        let drafts = components.read(root);
        self.unparsed = components.unparsed;
        self.diagnostics.append(&mut components.diagnostics);
        drafts
    }

    /// The graphs of the file, if all components are connected. A graph with an unknown plugin is left out.
    fn graphs(&mut self, drafts: &[Draft]) -> Option<Vec<Graph>> {
        let before = self.diagnostics.len();
        let wiring = wiring::connect(drafts, &mut self.diagnostics);
        self.claims = claims(drafts, &wiring.feeds);
        wiring.unread(drafts, &mut self.diagnostics);
        graph::cycles(drafts, &wiring.feeds, &mut self.diagnostics);
        let is_connected = !has_errors(&self.diagnostics[before..]);
        (is_connected && self.unparsed == Unparsed::None).then(|| graph::graphs(drafts, &wiring.feeds))
    }

    fn pipeline(&mut self, keys: PipelineKeys, settings: Settings, graphs: Vec<Graph>) -> Pipeline {
        let name = keys.name.unwrap_or_else(|| stem(&self.text.path));
        if let Some(rule) = pipeline_problem(&name) {
            let message = format!("`{name}`, the name of the file, cannot be the name of the pipeline");
            let note = "give it one: `[pipeline]` with `name = \"...\"`, or rename the file";
            self.diagnostics.push(Diagnostic::error("bad-name", message).note(rule).note(note));
        }
        Pipeline {
            file: self.text.path.clone(),
            id: keys.id.unwrap_or_else(|| name.clone()),
            name,
            settings,
            graphs,
        }
    }
}

/// The claims of all components, those on input with the components that get it.
fn claims(drafts: &[Draft], feeds: &[Vec<wiring::Feed>]) -> Vec<Claimed> {
    let mut claims = Vec::new();
    for (index, draft) in drafts.iter().enumerate().filter(|(_, draft)| !draft.claims.is_empty()) {
        let downstream = graph::downstream(feeds, index);
        for claim in &draft.claims {
            let mut claim = claim.clone();
            claim.set_downstream(downstream.iter().map(|node| drafts[*node].name.clone()).collect());
            claims.push(claim);
        }
    }
    claims
}

/// The name of the file without its folder and extension.
fn stem(path: &str) -> String {
    let name = path.rsplit(['/', '\\']).next().unwrap_or(path);
    name.strip_suffix(".toml").unwrap_or(name).to_owned()
}

#[cfg(test)]
mod tests;
