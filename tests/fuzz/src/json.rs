//! Paths and templates, compared with a reader that builds a tree.

use serde_json::Value;
use tidegate_sdk::json::{self, Path};
use tidegate_sdk::{Duration, Size, Template};

use crate::first_line;

/// Paths with equivalent JSON pointers.
const PATHS: [(&str, &str); 5] =
    [(".", ""), (".a", "/a"), (".a.b", "/a/b"), (".a[1].b", "/a/1/b"), ("[0]", "/0")];

/// The bytes are a value. A path finds the same part of it as the tree.
pub(crate) fn json(bytes: &[u8]) {
    let checked = json::check(bytes);
    let tree = serde_json::from_slice::<Value>(bytes);
    if tree.is_ok() {
        assert_eq!(checked, Ok(()));
    }
    for (text, pointer) in PATHS {
        let text = if text.starts_with('[') { format!(".{text}") } else { text.to_owned() };
        let path: Path = text.parse().expect("it is a path");
        let found = path.find(bytes);
        assert!(found.is_err() || checked.is_ok(), "what is found in is well-formed");
        if let Ok(tree) = &tree {
            let found = found.expect("what has a tree is well-formed");
            let found: Option<Value> = found.map(|raw| serde_json::from_slice(raw).expect("it is JSON"));
            assert_eq!(found.as_ref(), tree.pointer(pointer).filter(|_| fits(tree, pointer)), "{text}");
        }
    }
}

/// A pointer accepts `"1"` as the name of a member too; a path does not.
fn fits(tree: &Value, pointer: &str) -> bool {
    let number = |part: &str| part.parse::<usize>().is_ok();
    let mut at = tree;
    for part in pointer.split('/').skip(1) {
        if at.is_object() && number(part) {
            return false;
        }
        let Some(next) = at.pointer(&format!("/{part}")) else { return true };
        at = next;
    }
    true
}

/// The first line is a template, a path, a duration and a size; the rest is an event.
pub(crate) fn template(bytes: &[u8]) {
    let (text, event) = first_line(bytes);
    let Ok(text) = std::str::from_utf8(text) else { return };
    if let Ok(template) = text.parse::<Template>() {
        if let Ok(rendered) = template.render(event) {
            assert!(rendered.starts_with(template.prefix()), "data stays under the prefix");
        }
        assert_eq!(template.as_str().parse().as_ref(), Ok(&template));
    }
    if let Ok(path) = text.parse::<Path>() {
        assert_eq!(path.as_str().parse().as_ref(), Ok(&path));
        let _ = path.find_text(event);
    }
    if let Ok(duration) = text.parse::<Duration>() {
        assert!(duration.to_string().parse::<Duration>().is_ok(), "{duration} is read back");
    }
    if let Ok(size) = text.parse::<Size>() {
        assert!(size.to_string().parse::<Size>().is_ok(), "{size} is read back");
    }
}
