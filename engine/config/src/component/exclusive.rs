//! Resources that several components of a run claim although only one can have them.

use std::ops::Range;

use tidegate_sdk::{Component, Resource};

use crate::diagnostic::{Diagnostic, line_column};
use crate::document::interpolate::redact;
use crate::document::{Item, Origin, place};
use crate::text::Text;

/// A resource that one component claims, and the place in its file that says so.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// The component.
    pub component: String,
    /// The resource.
    pub resource: Resource,
    /// The resource as messages show it: without text from outside of the file.
    shown: String,
    origin: Origin,
    /// Whether only a component of the same name is in the way.
    of_same_name: bool,
    help: Option<String>,
}

impl Claimed {
    fn range(&self) -> Option<Range<usize>> {
        self.origin.range()
    }

    fn concerns(&self, other: &Self) -> bool {
        !self.of_same_name || !other.of_same_name || self.component == other.component
    }
}

/// The resources that a component claims with these options.
pub(crate) fn claims(name: &str, component: &Component, options: &Item) -> Vec<Claimed> {
    let hidden = options.hidden();
    let claimed = component.exclusive().into_iter().map(|claim| Claimed {
        component: name.to_owned(),
        shown: redact(&claim.resource.to_string(), &hidden),
        resource: claim.resource,
        origin: options.nearest(&claim.pointer).origin.clone(),
        of_same_name: claim.of_same_name,
        help: claim.help,
    });
    claimed.collect()
}

/// Errors for each resource that more than one component of these files claims, each with the index of the file that it
/// belongs to. The admin server claims its address before any component does.
///
/// `resolve` follows links: the paths of one file become one path.
pub fn collisions(
    files: &[(&Text, &[Claimed])],
    admin: Option<&Resource>,
    resolve: &dyn Fn(&Resource) -> Resource,
) -> Vec<(usize, Diagnostic)> {
    let mut earlier: Vec<(usize, &Claimed, Resource)> = Vec::new();
    let mut found = Vec::new();
    for (index, (text, claims)) in files.iter().enumerate() {
        let mut claims: Vec<&Claimed> = claims.iter().collect();
        claims.sort_by_key(|claim| claim.origin.position());
        for claim in claims {
            let resource = resolve(&claim.resource);
            if let Some(admin) = admin.filter(|admin| admin.overlaps(&resource)) {
                let owner = format!("the admin server listens on {admin}");
                found.push((index, collision(claim, &owner).note("`--admin` says so")));
            } else if let Some((first, other, _)) =
                earlier.iter().find(|(_, other, taken)| taken.overlaps(&resource) && claim.concerns(other))
            {
                let owner = match claim.shown == other.shown {
                    true => format!("`{}` has it", other.component),
                    false => format!("`{}` has {}", other.component, other.shown),
                };
                let diagnostic = collision(claim, &owner);
                let same_text = std::ptr::eq(*text, files[*first].0);
                found.push((index, beside(diagnostic, other, files[*first].0, same_text)));
            } else {
                earlier.push((index, claim, resource));
            }
        }
    }
    found
}

fn collision(claim: &Claimed, owner: &str) -> Diagnostic {
    let message = format!("`{}` cannot have {}: {owner}", claim.component, claim.shown);
    let help = claim.help.as_deref().unwrap_or("only one component of a run can have it");
    place(Diagnostic::error("taken", message), &claim.origin, help)
}

/// The diagnostic with the place of the component that has the resource.
fn beside(diagnostic: Diagnostic, other: &Claimed, text: &Text, same_text: bool) -> Diagnostic {
    match (other.range(), same_text) {
        (Some(range), true) => diagnostic.also(range, format!("`{}` has it", other.component)),
        (Some(range), false) => {
            let (line, column) = line_column(&text.text, range.start);
            diagnostic.note(format!("`{}` is at {}:{line}:{column}", other.component, text.path))
        }
        (None, _) => diagnostic.note(format!("`{}` is in {}", other.component, text.path)),
    }
}
