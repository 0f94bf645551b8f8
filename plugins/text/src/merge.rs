//! Merge of the parsed fields into the event that has the text.

use std::collections::HashSet;

use tidegate_sdk::json;

/// Writes the members of the object `event`, and then those of the object `found`, to `merged`. A member of `found` replaces
/// one of the same name.
pub(crate) fn merge(event: &[u8], found: &[u8], merged: &mut Vec<u8>) -> Result<(), String> {
    let found = json::members(found).map_err(|reason| of("the text", &reason))?;
    let event = json::members(event).map_err(|reason| of("the event", &reason))?;
    let names: HashSet<&str> = found.iter().map(|(name, _)| name.as_ref()).collect();
    let kept = event.iter().filter(|(name, _)| !names.contains(name.as_ref()));
    merged.clear();
    for (name, value) in kept.chain(&found) {
        merged.push(if merged.is_empty() { b'{' } else { b',' });
        json::write_text(merged, name);
        merged.push(b':');
        merged.extend_from_slice(value);
    }
    if merged.is_empty() {
        merged.push(b'{');
    }
    merged.push(b'}');
    Ok(())
}

fn of(what: &str, reason: &str) -> String {
    match reason.strip_prefix("it is not a JSON object") {
        Some(_) => format!("{what} is not an object"),
        None => format!("{what}: {reason}"),
    }
}
