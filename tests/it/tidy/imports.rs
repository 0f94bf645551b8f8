//! Imports between the files of a crate: no circles, except of a module with its own children.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::areas::{Fault, each_area_is_clean_or_listed};
use crate::harness::root;

/// The path of a module below the root of its crate. The root itself is empty.
type Module = Vec<String>;

/// A file of a crate.
#[derive(Default)]
struct Source {
    path: PathBuf,
    /// Every path that begins with `crate`, `self` or `super`, and every import.
    paths: Vec<Vec<String>>,
    /// Imported names and the paths that they stand for.
    names: BTreeMap<String, Vec<String>>,
}

/// The modules of the crate whose sources are in `folder`. Tests are left out.
fn modules(folder: &Path) -> BTreeMap<Module, Source> {
    let mut found = BTreeMap::new();
    for path in super::files(folder, "rs") {
        let inner = path.strip_prefix(folder).unwrap().with_extension("");
        let mut module: Module = inner.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        if module.iter().any(|part| part == "tests") {
            continue;
        }
        if module.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
            module.pop();
        }
        let source = read(&fs::read_to_string(&path).unwrap(), path);
        found.insert(module, source);
    }
    found
}

/// The words and marks of a source, without comments and texts.
fn tokens(text: &str) -> Vec<&str> {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let mut tokens = Vec::new();
    for line in code.lines() {
        let line = line.split("//").next().unwrap_or_default();
        let mut rest = line;
        while let Some(first) = rest.chars().next() {
            let word = |c: char| c.is_alphanumeric() || c == '_';
            let end = if first == '"' {
                rest[1..].find('"').map_or(rest.len(), |end| end + 2)
            } else if word(first) {
                rest.find(|c| !word(c)).unwrap_or(rest.len())
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            if !first.is_whitespace() && first != '"' {
                tokens.push(&rest[..end]);
            }
            rest = &rest[end..];
        }
    }
    tokens
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

fn read(text: &str, path: PathBuf) -> Source {
    let tokens = tokens(text);
    let mut source = Source { path, ..Source::default() };
    let mut at = 0;
    while at < tokens.len() {
        match tokens[at] {
            "use" => {
                at += 1;
                import(&tokens, &mut at, &[], &mut source);
            }
            "crate" | "self" | "super" if at == 0 || tokens[at - 1] != "$" => {
                let mut path = vec![tokens[at].to_owned()];
                while tokens.get(at + 1) == Some(&"::")
                    && tokens.get(at + 2).is_some_and(|next| is_name(next))
                {
                    at += 2;
                    path.push(tokens[at].to_owned());
                }
                if path.len() > 1 {
                    source.paths.push(path);
                }
                at += 1;
            }
            _ => at += 1,
        }
    }
    source
}

/// Reads one tree of a `use`, up to its `,`, `}` or `;`.
fn import(tokens: &[&str], at: &mut usize, before: &[String], source: &mut Source) {
    let mut path = before.to_vec();
    let mut alias = None;
    while let Some(token) = tokens.get(*at) {
        match *token {
            "{" => {
                *at += 1;
                while tokens.get(*at).is_some_and(|token| !["}", ";"].contains(token)) {
                    import(tokens, at, &path, source);
                    if tokens.get(*at) == Some(&",") {
                        *at += 1;
                    }
                }
                *at += 1;
                return;
            }
            "," | "}" | ";" => break,
            "as" => alias = tokens.get(*at + 1).map(|name| (*name).to_owned()),
            token if is_name(token) && alias.is_none() => path.push(token.to_owned()),
            _ => {}
        }
        *at += 1;
    }
    if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
        path.pop();
    }
    if let Some(name) = alias.or_else(|| path.last().cloned()) {
        source.names.insert(name, path.clone());
    }
    source.paths.push(path);
}

/// The modules that `path`, written in `from`, goes through, up to the one that defines its last name.
fn resolve(
    crate_: &BTreeMap<Module, Source>,
    from: &Module,
    path: &[String],
    depth: usize,
    found: &mut BTreeSet<Module>,
) {
    let mut module = from.clone();
    let mut rest = path;
    while let Some((first, tail)) = rest.split_first() {
        match first.as_str() {
            "crate" => module.clear(),
            "super" => drop(module.pop()),
            "self" => {}
            _ => break,
        }
        rest = tail;
    }
    let relative = rest.len() == path.len();
    while let Some((first, tail)) = rest.split_first() {
        let mut child = module.clone();
        child.push(first.clone());
        if !crate_.contains_key(&child) {
            break;
        }
        (module, rest) = (child, tail);
    }
    if relative && module == *from {
        return;
    }
    if !crate_.contains_key(&module) {
        return;
    }
    found.insert(module.clone());
    let target = rest.first().and_then(|name| crate_[&module].names.get(name));
    if let Some(target) = target.filter(|_| depth < 8) {
        resolve(crate_, &module, target, depth + 1, found);
    }
}

/// Every module with the modules that it imports, except its ancestors and descendants.
fn arrows(crate_: &BTreeMap<Module, Source>) -> BTreeMap<&Module, BTreeSet<Module>> {
    let mut arrows = BTreeMap::new();
    for (from, source) in crate_ {
        let mut found = BTreeSet::new();
        for path in &source.paths {
            resolve(crate_, from, path, 0, &mut found);
        }
        found.retain(|to| !to.starts_with(from) && !from.starts_with(to));
        arrows.insert(from, found);
    }
    arrows
}

/// Everything that is imported by `start`, directly or not.
fn reached<'a>(arrows: &'a BTreeMap<&Module, BTreeSet<Module>>, start: &'a Module) -> BTreeSet<&'a Module> {
    let mut seen = BTreeSet::new();
    let mut next: Vec<&Module> = vec![start];
    while let Some(module) = next.pop() {
        for to in &arrows[module] {
            if seen.insert(to) {
                next.push(to);
            }
        }
    }
    seen
}

/// Circles of a crate, each as the paths of its modules.
fn circles(crate_: &BTreeMap<Module, Source>) -> BTreeSet<BTreeSet<&Module>> {
    let arrows = arrows(crate_);
    let reached: BTreeMap<&Module, BTreeSet<&Module>> =
        crate_.keys().map(|module| (module, self::reached(&arrows, module))).collect();
    let in_circle = |module: &&Module| reached[*module].contains(*module);
    let circle_of = |module: &Module| {
        crate_
            .keys()
            .filter(|other| reached[module].contains(other) && reached[*other].contains(module))
            .collect()
    };
    crate_.keys().filter(in_circle).map(circle_of).collect()
}

#[test]
fn files_of_a_crate_import_without_circles() {
    let mut faults = Vec::new();
    let manifests = ["engine", "plugins", "tests"].map(|folder| super::files(&root().join(folder), "toml"));
    for manifest in manifests.iter().flatten().filter(|path| path.ends_with("Cargo.toml")) {
        let crate_ = modules(&manifest.with_file_name("src"));
        for circle in circles(&crate_) {
            let names: Vec<String> = circle.iter().map(|module| module.join("::")).collect();
            let first = circle.first().map(|module| crate_[*module].path.clone()).unwrap_or_default();
            faults.push(Fault::new(
                &first,
                1,
                format!("{} files import in a circle: {}", names.len(), names.join(", ")),
            ));
        }
    }
    each_area_is_clean_or_listed("circles", faults);
}

#[test]
fn circles_are_found_through_groups_and_names_that_are_exported_again() {
    let crate_of = |files: &[(&str, &str)]| -> BTreeMap<Module, Source> {
        let module =
            |name: &str| name.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect();
        files.iter().map(|(name, text)| (module(name), read(text, PathBuf::new()))).collect()
    };
    let direct = crate_of(&[
        ("", "mod a; mod b;"),
        ("a", "use crate::{b::{B, C}, x};"),
        ("b", "fn f(_: super::a::A) {}"),
    ]);
    assert_eq!(circles(&direct).len(), 1);
    let exported =
        crate_of(&[("", "pub use a::A; use b::B;"), ("a", "use super::B;"), ("b", "use crate::A as Other;")]);
    assert_eq!(circles(&exported).len(), 1);
    let parent = crate_of(&[("", ""), ("a", "mod child; use child::C;"), ("a::child", "use super::D;")]);
    assert!(circles(&parent).is_empty(), "a parent and its child may know each other");
    let comment = crate_of(&[
        ("", ""),
        ("a", "use crate::b::B;"),
        ("b", "// use crate::a::A;\nconst T: &str = \"crate::a::A\";"),
    ]);
    assert!(circles(&comment).is_empty(), "comments and texts import nothing");
}
