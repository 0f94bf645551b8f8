//! `tidegate plugins`: what there is, and the manual of each plugin, made of its own schema.

pub(crate) mod arguments;
pub(crate) mod bench;
pub(crate) mod check;
mod child;
pub(crate) mod host;

use tidegate_config::OptionDoc;
use tidegate_sdk::{Kind, Plugin, Registry};

use crate::exit::{Exit, Failure};
use crate::registry::Plugins;
use crate::terminal::table::Align::Left;
use crate::terminal::table::{Cell, Table, Tone};
use crate::terminal::wrap::wrap;
use crate::terminal::{self, Paint};
use arguments::{PluginsAction, PluginsArguments};

/// Lists the plugins, or shows one.
pub(crate) fn plugins(arguments: &PluginsArguments, plugins: &Plugins) -> Result<Exit, Failure> {
    let (paint, width) = (Paint::for_stdout(), terminal::prose_width());
    let text = match &arguments.action {
        None => list(&plugins.with(&arguments.libraries)?.registry, paint),
        Some(PluginsAction::Check(arguments)) => return check::check(arguments, plugins),
        Some(PluginsAction::Bench(arguments)) => return bench::bench(arguments, plugins),
        Some(PluginsAction::Show { name, kind, libraries }) => {
            let known = plugins.with(libraries)?;
            let found = find(&known.registry, name, kind.map(Kind::from))?;
            let manuals: Vec<String> = found.into_iter().map(|plugin| manual(plugin, width, paint)).collect();
            manuals.join("\n\n")
        }
    };
    terminal::out(&text)?;
    Ok(Exit::Done)
}

fn list(registry: &Registry, paint: Paint) -> String {
    let mut table = Table::new(&[("kind", Left), ("plugin", Left), ("what it does", Left)]);
    for plugin in registry.iter() {
        table.row(vec![
            plugin.kind().name().into(),
            Cell::new(plugin.name(), Tone::Strong),
            plugin.summary().into(),
        ]);
    }
    let hint = "`tidegate plugins show NAME` is the manual of a plugin";
    format!("{}\n{}\n", table.render("", paint), paint.dim(hint))
}

/// The plugins of this name.
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
        [] => "`tidegate plugins` lists those there are".to_owned(),
        names => format!("did you mean `{}`?", names.join("` or `")),
    };
    Err(Failure::wrong(format!("there is no plugin `{name}`; {hint}")))
}

/// Names like this one, nearest first: at most three.
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

/// The whole manual of a plugin.
fn manual(plugin: &Plugin, width: usize, paint: Paint) -> String {
    let heading = |text: &str| format!("\n{}\n", paint.green(&paint.bold(text)));
    let mut text = format!("{} {}\n", plugin.kind(), paint.bold(plugin.name()));
    text.push_str(&wrap(&format!("{}.", capitalised(plugin.summary())), width, "  "));
    if !plugin.sample().trim().is_empty() {
        text.push_str(&heading("Sample"));
        for line in plugin.sample().trim().lines() {
            text.push_str(format!("  {line}").trim_end());
            text.push('\n');
        }
    }
    let own = tidegate_config::options(plugin);
    text.push_str(&heading("Options"));
    match own.is_empty() {
        true => text.push_str("  none of its own\n"),
        false => text.push_str(&options(&own, width, paint)),
    }
    text.push_str(&heading(&format!("Options of every {}", plugin.kind())));
    text.push_str(&options(&tidegate_config::engine_options(plugin.kind()), width, paint));
    text
}

fn options(options: &[OptionDoc], width: usize, paint: Paint) -> String {
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
        text.push_str(&format!("  {}  {}{presence}\n", paint.cyan(&option.name), option.type_name));
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
    fn a_name_that_is_not_known_gets_near_names() {
        let message = |name, kind| find(&registry(), name, kind).unwrap_err().message;
        assert_eq!(message("htpt", None), "there is no plugin `htpt`; did you mean `http`?");
        assert_eq!(message("dedup", None), "there is no plugin `dedup`; did you mean `dedupe`?");
        assert_eq!(
            message("kafka", None),
            "there is no plugin `kafka`; `tidegate plugins` lists those there are"
        );
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
        assert_eq!(options(&all, 80, Paint::PLAIN), expected);
    }

    #[test]
    fn a_manual_begins_with_the_summary_and_a_sample() {
        let registry = registry();
        let text = manual(find(&registry, "jq", None).unwrap()[0], 80, Paint::PLAIN);
        let beginning = "filter jq\n  Does nothing.\n\nSample\n  [filter.x]\n  plugin = \"x\"\n\nOptions\n";
        assert!(text.starts_with(beginning), "{text}");
    }
}
