//! Connections between components: from names to indexes.

use crate::component::draft::{Draft, From, Name};
use crate::diagnostic::Diagnostic;
use crate::document::{Origin, place};
use crate::names::{listed, nearest};
use crate::topology::OutputName;
use tidegate_sdk::{Kind, Port};

/// A connection from an upstream component, by index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Feed {
    pub(crate) node: usize,
    pub(crate) output: OutputName,
    pub(crate) origin: Origin,
}

/// The connections of all components.
pub(crate) struct Wiring {
    /// The connections into each component.
    pub(crate) feeds: Vec<Vec<Feed>>,
    /// Components that a wrong `from` probably means. They do not count as unread.
    meant: Vec<usize>,
    /// The number of ports that stand for unknown outputs.
    unknown_outputs: Port,
}

/// Connects the components, which stand in the order of the file.
pub(crate) fn connect(drafts: &[Draft], diagnostics: &mut Vec<Diagnostic>) -> Wiring {
    let mut wiring = Wiring { feeds: vec![Vec::new(); drafts.len()], meant: Vec::new(), unknown_outputs: 0 };
    for (index, draft) in drafts.iter().enumerate() {
        if !draft.enabled || draft.kind == Kind::Source {
            continue;
        }
        match &draft.from {
            From::Broken => wiring.meant.extend(0..drafts.len()),
            From::Above => match above(drafts, index) {
                Ok(node) => {
                    let origin = draft.header.clone();
                    wiring.feeds[index].push(Feed { node, output: OutputName::Port(0), origin });
                }
                Err(diagnostic) => diagnostics.push(*diagnostic),
            },
            From::Names(names) => wiring.named(drafts, index, names, diagnostics),
        }
    }
    wiring
}

/// The component upstream of one without a `from`: the one above it, past disabled ones.
fn above(drafts: &[Draft], index: usize) -> Result<usize, Box<Diagnostic>> {
    let draft = &drafts[index];
    let name = &draft.name;
    let problem = |message: String| {
        let label = "add `from = \"...\"`";
        Err(Box::new(place(Diagnostic::error("nothing-above", message), &draft.header, label)))
    };
    for (at, candidate) in drafts[..index].iter().enumerate().rev() {
        let above = &candidate.name;
        match (candidate.kind, candidate.enabled, &candidate.from) {
            (Kind::Source | Kind::Filter, true, _) => return Ok(at),
            (Kind::Sink, false, _) | (Kind::Filter, false, From::Above) => {}
            (Kind::Sink, true, _) => {
                return problem(format!("`{name}` has no `from`, and `{above}` above it is a sink"));
            }
            (_, false, _) => {
                return problem(format!("`{name}` has no `from`, and `{above}` above it is disabled"));
            }
        }
    }
    problem(format!("`{name}` has no `from`, and there is no component above it"))
}

impl Wiring {
    fn named(&mut self, drafts: &[Draft], index: usize, names: &[Name], diagnostics: &mut Vec<Diagnostic>) {
        for name in names {
            let (origin, shown) = (&name.origin, name.shown);
            let name = name.text.as_str();
            match self.resolve(drafts, name, origin) {
                Ok(feed) => {
                    let twice = self.feeds[index]
                        .iter()
                        .any(|one| (one.node, one.output) == (feed.node, feed.output));
                    if twice {
                        let message = format!("`{}` reads `{name}` twice", drafts[index].name);
                        let diagnostic = Diagnostic::error("duplicate-from", message);
                        diagnostics.push(place(diagnostic, origin, "name it once"));
                    }
                    self.feeds[index].push(feed);
                }
                Err(diagnostic) if shown => diagnostics.push(*diagnostic),
                Err(_) => {
                    let message = "there is no component with the name that this text stands for";
                    diagnostics.push(place(Diagnostic::error("unknown-from", message), origin, ""));
                }
            }
        }
    }

    /// The connection that a name means.
    fn resolve(&mut self, drafts: &[Draft], name: &str, origin: &Origin) -> Result<Feed, Box<Diagnostic>> {
        let (component, output) =
            name.split_once('.').map_or((name, None), |(name, output)| (name, Some(output)));
        let Some(node) = drafts.iter().position(|draft| draft.name == component) else {
            let names = drafts.iter().filter(|draft| draft.enabled).map(|draft| draft.name.as_str());
            let near = nearest(component, names.clone());
            self.meant.extend(drafts.iter().position(|draft| Some(draft.name.as_str()) == near));
            let label = near.map(|near| format!("did you mean `{near}`?")).unwrap_or_default();
            let message = format!("there is no component `{component}` in this file");
            let diagnostic = place(Diagnostic::error("unknown-from", message), origin, label);
            return Err(Box::new(diagnostic.note(format!("there are {}", listed(names, "and")))));
        };
        let draft = &drafts[node];
        self.meant.push(node);
        if !draft.enabled {
            // The components upstream of the disabled one do not count as unread.
            self.meant.extend(0..drafts.len());
            let message = format!("`{component}` is disabled");
            let mut diagnostic = place(Diagnostic::error("unknown-from", message), origin, "");
            if let Some(range) = draft.header.range() {
                diagnostic = diagnostic.also(range, "it has `enabled = false`");
            }
            return Err(Box::new(diagnostic));
        }
        let output = match output {
            Some("rejected") => OutputName::Rejected,
            Some(output) => match port(draft, output) {
                Ok(Some(port)) => OutputName::Port(port),
                Ok(None) => self.unknown_output(),
                Err((label, note)) => {
                    let message = format!("`{component}` has no output `{output}`");
                    let diagnostic = place(Diagnostic::error("unknown-from", message), origin, label);
                    return Err(Box::new(diagnostic.note(note)));
                }
            },
            None if draft.kind == Kind::Sink => {
                let message = format!("`{component}` is a sink, which has no output");
                let diagnostic = place(Diagnostic::error("unknown-from", message), origin, "");
                return Err(Box::new(
                    diagnostic.note(format!("the events that it rejects are `{component}.rejected`")),
                ));
            }
            None => OutputName::Port(0),
        };
        Ok(Feed { node, output, origin: origin.clone() })
    }

    /// A port for an output whose component cannot be built: it counts as one that exists.
    fn unknown_output(&mut self) -> OutputName {
        self.unknown_outputs += 1;
        OutputName::Port(Port::MAX - self.unknown_outputs)
    }

    /// Reports components and outputs that no component reads.
    pub(crate) fn unread(&self, drafts: &[Draft], diagnostics: &mut Vec<Diagnostic>) {
        let reads = |node: usize, output: Option<OutputName>| {
            let mut feeds = self.feeds.iter().flatten().filter(|feed| feed.node == node);
            feeds.any(|feed| output.is_none_or(|output| feed.output == output))
        };
        for (index, draft) in drafts.iter().enumerate() {
            if !draft.enabled
                || draft.kind == Kind::Sink
                || (self.meant.contains(&index) && !reads(index, None))
            {
                continue;
            }
            let (kind, name) = (draft.kind, &draft.name);
            if !reads(index, None) {
                let message = format!("no component reads the {kind} `{name}`");
                let label = format!("write `from = \"{name}\"` in the component that should");
                diagnostics.push(place(Diagnostic::error("unread", message), &draft.header, label));
                continue;
            }
            if draft.outputs.is_some() && !reads(index, Some(OutputName::Port(0))) {
                let message =
                    format!("no component reads the main output of `{name}`, so its events are dropped");
                let label = format!("it is `from = \"{name}\"`");
                diagnostics.push(place(Diagnostic::warning("unused-output", message), &draft.header, label));
            }
            for (output, port) in draft.outputs.iter().flatten().zip(1..) {
                if !reads(index, Some(OutputName::Port(port))) {
                    let message = format!(
                        "no component reads the output `{output}` of `{name}`, so its events are dropped"
                    );
                    let label = format!("it is `from = \"{name}.{output}\"`");
                    diagnostics.push(place(
                        Diagnostic::warning("unused-output", message),
                        &draft.header,
                        label,
                    ));
                }
            }
        }
    }
}

/// The port of a named output. `None` if the outputs are unknown. An error is a label and a note.
fn port(draft: &Draft, output: &str) -> Result<Option<Port>, (String, String)> {
    let Some(outputs) = &draft.outputs else { return Ok(None) };
    if let Some(index) = outputs.iter().position(|one| one == output) {
        return Ok(Port::try_from(index + 1).ok());
    }
    let known = outputs.iter().map(String::as_str).chain(["rejected"]);
    let near = nearest(output, known.clone());
    let label = near.map(|near| format!("did you mean `{}.{near}`?", draft.name)).unwrap_or_default();
    let named: Vec<String> = known.map(|one| format!("{}.{one}", draft.name)).collect();
    let all = std::iter::once(draft.name.as_str()).filter(|_| draft.kind != Kind::Sink);
    Err((label, format!("it can be read as {}", listed(all.chain(named.iter().map(String::as_str)), "and"))))
}
