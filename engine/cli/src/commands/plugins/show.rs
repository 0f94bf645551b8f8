//! `tidegate plugins show`: the manual of a plugin, or of the pipeline file.

use tidegate_config::OptionDoc;
use tidegate_sdk::{Kind, Plugin, Registry};

use crate::exit::{Exit, Failure};
use crate::registry::{Plugins, builtin};
use crate::terminal::markdown::render;
use crate::terminal::wrap::wrap;
use crate::terminal::{self, Paint};

/// Manual of the pipeline file, delivery and operations.
const PIPELINES: &str = include_str!("../../../../../pipelines/README.md");

/// Name of the manual of `[pipeline]` and the keys of the engine.
const PIPELINE: &str = "pipeline";

/// Layout of the output.
#[derive(Clone, Copy)]
struct Page {
    width: usize,
    paint: Paint,
}

impl Page {
    fn heading(self, text: &str) -> String {
        format!("\n{}\n", self.paint.green(&self.paint.bold(text)))
    }
}

/// Prints the manual of every plugin of this name.
pub(super) fn show(name: &str, kind: Option<Kind>, known: &Plugins) -> Result<Exit, Failure> {
    let page = Page { width: terminal::prose_width(), paint: Paint::for_stdout() };
    if name == PIPELINE && kind.is_none() {
        terminal::out(&pipeline(page))?;
        return Ok(Exit::Done);
    }
    let found = find(&known.registry, name, kind)?;
    let manuals: Vec<String> = found
        .into_iter()
        .map(|plugin| {
            let of_crate = match plugin.library() {
                Some(_) => None,
                None => builtin::crate_of(plugin.kind(), plugin.name()),
            };
            manual(plugin, of_crate.map(|one| one.manual), page)
        })
        .collect();
    terminal::out(&manuals.join("\n\n"))?;
    Ok(Exit::Done)
}

/// Finds the plugins of this name.
fn find<'a>(registry: &'a Registry, name: &str, kind: Option<Kind>) -> Result<Vec<&'a Plugin>, Failure> {
    let wanted = |plugin: &&Plugin| kind.is_none_or(|kind| plugin.kind() == kind);
    let found: Vec<&Plugin> = registry.iter().filter(|plugin| plugin.name() == name).filter(wanted).collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let mut elsewhere = registry.iter().filter(|plugin| plugin.name() == name);
    if let (Some(kind), Some(other)) = (kind, elsewhere.next()) {
        return Err(Failure::wrong(format!(
            "there is no {kind} plugin `{name}`; `{name}` is a {}",
            other.kind()
        )));
    }
    let near = near(registry, name);
    let hint = match near.as_slice() {
        [] => "`tidegate plugins` lists them all".to_owned(),
        names => format!("did you mean `{}`?", names.join("` or `")),
    };
    Err(Failure::wrong(format!("there is no plugin `{name}`; {hint}")))
}

/// Returns at most three similar names, the most similar first.
fn near<'a>(registry: &'a Registry, name: &str) -> Vec<&'a str> {
    let mut near: Vec<(usize, &str)> = (registry.iter().map(Plugin::name))
        .map(|known| (strsim::damerau_levenshtein(known, name), known))
        .filter(|(distance, known)| {
            *distance <= known.len().max(name.len()) / 3
                || (name.len() > 2 && (known.starts_with(name) || name.starts_with(known)))
        })
        .collect();
    near.sort_unstable();
    near.dedup();
    near.truncate(3);
    near.into_iter().map(|(_, known)| known).collect()
}

/// Renders the manual of a plugin. `readme` is the manual of its crate.
fn manual(plugin: &Plugin, readme: Option<&str>, page: Page) -> String {
    let Page { width, paint } = page;
    let mut text = format!("{} {}\n", plugin.kind(), paint.bold(plugin.name()));
    let own = readme.and_then(|readme| section(readme, &format!("{} {}", plugin.kind(), plugin.name())));
    match (readme, own) {
        (Some(readme), Some(own)) => {
            text.push_str(&render(&without_options(own), width, "  ", paint));
            let (title, shared) = introduction(readme);
            if !shared.trim().is_empty() {
                text.push_str(&page.heading(title));
                text.push_str(&render(shared, width, "  ", paint));
            }
        }
        _ => {
            text.push_str(&wrap(&format!("{}.", capitalised(plugin.summary())), width, "  "));
            if !plugin.sample().trim().is_empty() {
                text.push_str(&page.heading("Sample"));
                for line in plugin.sample().trim().lines() {
                    text.push_str(format!("  {line}").trim_end());
                    text.push('\n');
                }
            }
        }
    }
    let own = tidegate_config::options(plugin);
    text.push_str(&page.heading("Options"));
    text.push_str(&if own.is_empty() { "  none of its own\n".to_owned() } else { options(&own, page) });
    text.push_str(&page.heading(&format!("Options of every {}", plugin.kind())));
    text.push_str(&options(&tidegate_config::engine_options(plugin.kind()), page));
    text
}

/// Renders the manual of `[pipeline]` and the keys of the engine.
fn pipeline(page: Page) -> String {
    let mut text = String::new();
    if let Some(file) = section(PIPELINES, "The pipeline file") {
        text.push_str(&render(&without_options(file), page.width, "", page.paint));
    }
    text.push_str(&page.heading("Keys of [pipeline]"));
    text.push_str(&options(&tidegate_config::pipeline_options(), page));
    for kind in [Kind::Source, Kind::Filter, Kind::Sink] {
        text.push_str(&page.heading(&format!("Keys of every {kind}")));
        text.push_str(&options(&tidegate_config::engine_options(kind), page));
    }
    text
}

/// Returns the section with this heading, up to the next heading of the same level.
fn section<'a>(readme: &'a str, heading: &str) -> Option<&'a str> {
    let start = format!("\n## {heading}\n");
    let at = readme.find(&start)? + start.len();
    let end = readme[at..].find("\n## ").map_or(readme.len(), |end| at + end);
    Some(&readme[at..end])
}

/// Returns the title of a manual, and the text before its first section.
fn introduction(readme: &str) -> (&str, &str) {
    let end = readme.find("\n## ").unwrap_or(readme.len());
    let (title, text) = readme[..end].split_once('\n').unwrap_or((&readme[..end], ""));
    (title.trim_start_matches('#').trim(), text)
}

/// Removes the generated tables of options, which are printed as lists, with headings that stand directly above them.
fn without_options(section: &str) -> String {
    let mut text = section.to_owned();
    while let (Some(table), Some(end)) = (text.find("<!-- options"), text.find("<!-- /options")) {
        let end = text[end..].find("-->").map_or(text.len(), |at| end + at + 3);
        let above = text[..table].trim_end();
        let line = above.rfind('\n').map_or(0, |at| at + 1);
        let start = if above[line..].starts_with("### ") { line } else { table };
        text.replace_range(start..end, "");
    }
    text
}

fn options(options: &[OptionDoc], Page { width, paint }: Page) -> String {
    let mut text = String::new();
    for (index, option) in options.iter().enumerate() {
        if index > 0 {
            text.push('\n');
        }
        let presence = match (&option.default, option.required) {
            (_, true) => format!(", {}", paint.yellow("required")),
            (Some(default), false) => format!(", default {default}"),
            (None, false) => String::new(),
        };
        let name = paint.cyan(&option.name);
        if option.name.len() + option.type_name.len() + 30 <= width {
            text.push_str(&format!("  {name}  {}{presence}\n", option.type_name));
        } else {
            text.push_str(&format!("  {name}{presence}\n{}", wrap(&option.type_name, width, "      ")));
        }
        text.push_str(&wrap(&option.description, width, "      "));
    }
    text
}

fn capitalised(text: &str) -> String {
    let mut rest = text.chars();
    let first = rest.next().map(|first| first.to_uppercase().to_string());
    format!("{}{}", first.unwrap_or_default(), rest.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_sdk::{Batch, ConfigError, Error, Filter, Output};

    struct Nothing;

    impl Filter for Nothing {
        fn process(&mut self, _: &Batch, _: &mut Output) -> Result<(), Error> {
            Ok(())
        }
    }

    fn registry() -> Registry {
        let named = ["dedupe", "http", "http_poll", "jq", "sample"];
        Registry::new(named.map(|name| {
            Plugin::filter(name, "does nothing", "[filter.x]\nplugin = \"x\"", |(): ()| {
                Ok::<_, ConfigError>(Nothing)
            })
        }))
    }

    #[test]
    fn an_unknown_name_has_suggestions() {
        let message = |name, kind| find(&registry(), name, kind).unwrap_err().message;
        assert_eq!(message("htpt", None), "there is no plugin `htpt`; did you mean `http`?");
        assert_eq!(message("dedup", None), "there is no plugin `dedup`; did you mean `dedupe`?");
        assert_eq!(message("kafka", None), "there is no plugin `kafka`; `tidegate plugins` lists them all");
        let wrong_kind = "there is no sink plugin `jq`; `jq` is a filter";
        assert_eq!(message("jq", Some(Kind::Sink)), wrong_kind);
        assert_eq!(find(&registry(), "jq", None).unwrap().len(), 1);
    }

    #[test]
    fn an_option_has_its_type_default_and_description() {
        let option = |name: &str, default: Option<&str>, required| OptionDoc {
            name: name.to_owned(),
            type_name: "duration".to_owned(),
            default: default.map(str::to_owned),
            required,
            description: "How long to wait.".to_owned(),
        };
        let all = [
            option("interval", Some("\"60s\""), false),
            option("limit", None, true),
            option("x", None, false),
        ];
        let expected = "  interval  duration, default \"60s\"\n      How long to wait.\n\n  \
                        limit  duration, required\n      How long to wait.\n\n  \
                        x  duration\n      How long to wait.\n";
        assert_eq!(options(&all, Page { width: 80, paint: Paint::PLAIN }), expected);
    }

    #[test]
    fn a_manual_without_a_readme_begins_with_the_summary_and_a_sample() {
        let registry = registry();
        let text =
            manual(find(&registry, "jq", None).unwrap()[0], None, Page { width: 80, paint: Paint::PLAIN });
        let beginning = "filter jq\n  Does nothing.\n\nSample\n  [filter.x]\n  plugin = \"x\"\n\nOptions\n";
        assert!(text.starts_with(beginning), "{text}");
    }
}
