//! The check of `delivery = "effectively_once"`.

use crate::component::draft::Draft;
use crate::diagnostic::Diagnostic;
use crate::document::{Origin, place};
use crate::graph::guarantee::{GuaranteeLevel, guarantees};
use crate::keys::Delivery;
use crate::topology::Graph;

/// The largest number of lanes that a message lists.
const MOST_LANES: usize = 8;

/// The error of an `effectively_once` at `origin` that does not hold, with the reason for each lane. Graphs with a
/// component whose capabilities are unknown are left out.
pub(crate) fn refused(
    graphs: &[Graph],
    drafts: &[Draft],
    delivery: Delivery,
    origin: &Origin,
) -> Option<Diagnostic> {
    if delivery != Delivery::EffectivelyOnce {
        return None;
    }
    let is_known = |name: &str| drafts.iter().any(|draft| draft.name == name && draft.is_known);
    let known = graphs.iter().filter(|graph| graph.nodes.iter().all(|node| is_known(&node.name)));
    let all = known.flat_map(|graph| guarantees(graph, Delivery::EffectivelyOnce));
    let less: Vec<_> = all.filter(|lane| lane.level != GuaranteeLevel::EffectivelyOnce).collect();
    if less.is_empty() {
        return None;
    }
    let message = "`effectively_once` does not hold for every lane of this file";
    let help = "write `at_least_once`, or move the other lanes into a file of their own";
    let mut diagnostic = place(Diagnostic::error("delivery", message), origin, help);
    for lane in less.iter().take(MOST_LANES) {
        let reason = lane.reason.as_deref().unwrap_or_default();
        let text = format!("from `{}` to `{}`: {}: {reason}", lane.source, lane.sink, lane.level.as_str());
        diagnostic = diagnostic.note(text);
    }
    if less.len() > MOST_LANES {
        diagnostic = diagnostic.note(format!("and {} more lanes", less.len() - MOST_LANES));
    }
    Some(diagnostic)
}
