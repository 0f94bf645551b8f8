//! Resources that several components of a run claim although they cannot have them together.

use std::collections::BTreeSet;
use std::ops::Range;

use tidegate_sdk::{Access, Capabilities, Overlap, Resource};

use crate::diagnostic::{Diagnostic, line_column};
use crate::document::interpolate::redact;
use crate::document::{Item, Origin, place};
use crate::text::Text;

/// Claim of one component on a resource, and its place in the file.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// The component.
    pub component: String,
    /// The resource.
    pub resource: Resource,
    access: Access,
    /// For a resource that is read, the components that get what was read.
    downstream: Vec<String>,
    /// The resource as messages show it, without text from outside of the file.
    shown: String,
    origin: Origin,
    /// Restricts the claim to components of the same name.
    of_same_name: bool,
    help: Option<String>,
}

impl Claimed {
    fn range(&self) -> Option<Range<usize>> {
        self.origin.range()
    }

    /// Names the components that get what this one reads.
    pub(crate) fn set_downstream(&mut self, names: Vec<String>) {
        self.downstream = names;
    }

    /// Tells whether two claims exclude each other if their resources are one.
    fn excludes(&self, other: &Self) -> bool {
        let is_concerned = !self.of_same_name || !other.of_same_name || self.component == other.component;
        let is_alone = self.access == Access::Alone || other.access == Access::Alone;
        let is_read = self.access == Access::Read || other.access == Access::Read;
        is_concerned && is_alone && !is_read
    }
}

/// Returns the resources that a component claims with these options.
pub(crate) fn claims(name: &str, capabilities: &Capabilities, options: &Item) -> Vec<Claimed> {
    let hidden = options.hidden();
    let claimed = capabilities.exclusive.iter().cloned().map(|claim| Claimed {
        component: name.to_owned(),
        shown: redact(&claim.resource.to_string(), &hidden),
        resource: claim.resource,
        access: claim.access,
        downstream: Vec::new(),
        origin: options.nearest(&claim.pointer).origin.clone(),
        of_same_name: claim.of_same_name,
        help: claim.help,
    });
    claimed.collect()
}

/// Claim with the index of its file, and its resource without links.
struct Resolved<'a> {
    file: usize,
    text: &'a Text,
    claim: &'a Claimed,
    resource: Resource,
}

/// Returns a problem for each resource that components of these files cannot have together, with the index of the file
/// that it belongs to: an error if the resource is surely one, a warning if it may be. The admin server claims its
/// address before any component does.
///
/// `resolve` follows links: the paths of one file become one path.
pub fn collisions(
    files: &[(&Text, &[Claimed])],
    admin: Option<&Resource>,
    resolve: &dyn Fn(&Resource) -> Resource,
) -> Vec<(usize, Diagnostic)> {
    let mut all: Vec<Resolved<'_>> = Vec::new();
    for (file, (text, claims)) in files.iter().enumerate() {
        let mut claims: Vec<&Claimed> = claims.iter().collect();
        claims.sort_by_key(|claim| claim.origin.position());
        all.extend(claims.into_iter().map(|claim| {
            let resource = resolve(&claim.resource);
            Resolved { file, text, claim, resource }
        }));
    }
    let mut found = Vec::new();
    let mut earlier: Vec<&Resolved<'_>> = Vec::new();
    // Components with several claims have one problem with each other.
    let mut pairs = BTreeSet::new();
    let pair = |one: &Resolved<'_>, other: &Resolved<'_>| {
        (one.file, one.claim.component.clone(), other.file, other.claim.component.clone())
    };
    for one in &all {
        if let Some(admin) = admin.filter(|admin| admin.overlap(&one.resource) == Overlap::Certain) {
            let owner = format!("the admin server listens on {admin}");
            found.push((one.file, collision(one.claim, &owner).note("`--admin` says so")));
            continue;
        }
        let is_new =
            |other: &&Resolved<'_>| one.claim.excludes(other.claim) && !pairs.contains(&pair(one, other));
        let overlaps: Vec<(&Resolved<'_>, Overlap)> = earlier
            .iter()
            .copied()
            .filter(is_new)
            .map(|other| (other, other.resource.overlap(&one.resource)))
            .filter(|(_, overlap)| *overlap > Overlap::None)
            .collect();
        let certain = overlaps.iter().find(|(_, overlap)| *overlap == Overlap::Certain);
        let Some((other, overlap)) = certain.or(overlaps.first()).copied() else {
            earlier.push(one);
            continue;
        };
        pairs.insert(pair(one, other));
        if overlap == Overlap::Certain {
            let name = if other.file == one.file {
                format!("`{}`", other.claim.component)
            } else {
                format!("`{}` in {}", other.claim.component, other.text.path)
            };
            let owner = if other.claim.shown == one.claim.shown {
                format!("{name} has it")
            } else {
                format!("{name} has {}", other.claim.shown)
            };
            found.push((one.file, beside(collision(one.claim, &owner), one, other, "has it")));
            continue;
        }
        let warning = possible_collision(one.claim, other.claim);
        found.push((one.file, beside(warning, one, other, "writes here")));
        earlier.push(one);
    }
    found.extend(loops(&all));
    found
}

/// Returns a problem for each component that reads what is made of its own events.
fn loops(all: &[Resolved<'_>]) -> Vec<(usize, Diagnostic)> {
    let reads = || all.iter().filter(|one| one.claim.access == Access::Read);
    let mut found = Vec::new();
    for read in reads() {
        let writer = |least: Overlap| {
            reached_writers(all, read, least)
                .into_iter()
                .find(|writer| writer.resource.overlap(&read.resource) >= least)
        };
        if let Some(writer) = writer(Overlap::Certain) {
            found.push((
                read.file,
                beside(endless(read.claim, writer.claim, true), read, writer, "writes here"),
            ));
        } else if let Some(writer) = writer(Overlap::Possible) {
            found.push((
                read.file,
                beside(endless(read.claim, writer.claim, false), read, writer, "writes here"),
            ));
        }
    }
    found
}

/// Returns the claims of components that write what comes from `start`, also by way of other components that read what is
/// written.
fn reached_writers<'a>(
    all: &'a [Resolved<'a>],
    start: &'a Resolved<'a>,
    least: Overlap,
) -> Vec<&'a Resolved<'a>> {
    let mut open = vec![start];
    let mut seen = vec![start];
    let mut writers: Vec<&Resolved<'_>> = Vec::new();
    while let Some(read) = open.pop() {
        let is_downstream = |one: &&Resolved<'_>| {
            one.claim.access == Access::Alone
                && one.file == read.file
                && read.claim.downstream.contains(&one.claim.component)
        };
        for writer in all.iter().filter(is_downstream) {
            if writers.iter().any(|known| std::ptr::eq(*known, writer)) {
                continue;
            }
            writers.push(writer);
            let next = all.iter().filter(|one| {
                one.claim.access == Access::Read && one.resource.overlap(&writer.resource) >= least
            });
            for read in next {
                if !seen.iter().any(|known| std::ptr::eq(*known, read)) {
                    seen.push(read);
                    open.push(read);
                }
            }
        }
    }
    writers
}

fn collision(claim: &Claimed, owner: &str) -> Diagnostic {
    let message = format!("`{}` cannot have {}: {owner}", claim.component, claim.shown);
    let help = claim.help.as_deref().unwrap_or("only one component of a run can have it");
    place(Diagnostic::error("taken", message), &claim.origin, help)
}

fn possible_collision(claim: &Claimed, other: &Claimed) -> Diagnostic {
    let message = format!(
        "`{}` and `{}` may write the same file: {} and {} can be one",
        other.component, claim.component, other.shown, claim.shown
    );
    let help = "two writers of one file remove each other's events; give each a folder of its own";
    place(Diagnostic::warning("may-be-taken", message), &claim.origin, help)
}

fn endless(read: &Claimed, write: &Claimed, is_certain: bool) -> Diagnostic {
    let (reader, writer) = (&read.component, &write.component);
    let what = &write.shown;
    let help = "read another path, or write to one";
    if is_certain {
        let message =
            format!("`{reader}` reads what `{writer}` makes of its events: {what} grows without end");
        place(Diagnostic::error("endless", message), &read.origin, help)
    } else {
        let message = format!("`{reader}` may read what `{writer}` makes of its events, without end: {what}");
        place(Diagnostic::warning("may-be-endless", message), &read.origin, help)
    }
}

/// Adds the place of the other component.
fn beside(diagnostic: Diagnostic, one: &Resolved<'_>, other: &Resolved<'_>, action: &str) -> Diagnostic {
    let (name, text) = (&other.claim.component, other.text);
    match (other.claim.range(), std::ptr::eq(one.text, text)) {
        (Some(range), true) => diagnostic.also(range, format!("`{name}` {action}")),
        (Some(range), false) => {
            let (line, column) = line_column(&text.text, range.start);
            diagnostic.note(format!("`{name}` is at {}:{line}:{column}", text.path))
        }
        (None, _) => diagnostic.note(format!("`{name}` is in {}", text.path)),
    }
}
