//! What a source and a sink of one server keep to, who acknowledge and write in one step.

use std::sync::Arc;

use serde_json::Value;
use tidegate_sdk::{Component, Cx, Plugin, Receipts, Replay, Sink};

use super::{Rules, numbered};

/// The longest name of a domain, in bytes.
const NAME: usize = 4 << 10;

/// Looks at what a source or sink with these options says of where it acknowledges. Asks no server.
///
/// # Panics
/// If a rule is broken, with the name of the rule.
pub fn domain(plugin: &Plugin, options: &Value) {
    let rules = Rules::of(plugin);
    let (first, second) = (said(rules, plugin, options), said(rules, plugin, options));
    let details = format!("{first:?} and {second:?}");
    rules.keeps("what it says of its domain is the same each time", first == second, details);
    match first {
        None => {}
        Some(Err(reason)) => {
            let told = !reason.trim().is_empty() && !reason.contains('\n');
            rules.keeps("why there is no domain is said in one line", told, reason);
        }
        Some(Ok(name)) => {
            let is_name = !name.trim().is_empty() && name.len() <= NAME && !name.contains(char::is_control);
            rules.keeps("a domain is a name in one line", is_name, name);
        }
    }
}

/// What a component says; `None` if it is of a kind that says nothing.
fn said(rules: Rules<'_>, plugin: &Plugin, options: &Value) -> Option<Result<String, String>> {
    match plugin.build(options).ok()? {
        Component::Source(source) => {
            let (domain, replay) = (source.domain(), source.replay());
            let again = domain.is_err() || replay == Replay::Redelivery;
            rules.keeps("a source with a domain gets again what was not acknowledged", again, "it does not");
            Some(domain)
        }
        Component::Sink(sink) => {
            let domain = sink.domain();
            if let Some(fork) = sink.fork() {
                let same = fork.domain() == domain;
                rules.keeps("a forked instance has the same domain", same, format_args!("{domain:?}"));
            }
            Some(domain)
        }
        Component::Filter(_) | Component::AsyncFilter(_) => None,
    }
}

/// A sink with a domain, which is open, is given an entry that nobody has handed out.
pub(super) async fn settles_nothing_of_nobody(rules: Rules<'_>, sink: &mut dyn Sink, cx: &Cx) {
    if sink.domain().is_err() {
        return;
    }
    let batch = numbered(&[b"of nobody"], 200);
    let mut receipts = Receipts::new(&Arc::from(["no such place".to_owned()]));
    receipts.push(b"no such entry");
    let settled = rules.ends("settle", sink.settle(&batch, &receipts, cx)).await;
    let delivered = settled
        .as_ref()
        .is_ok_and(|delivery| delivery.rejected().is_empty() && delivery.elsewhere().is_empty());
    rules.keeps("an entry that is not there is not settled", !delivered, format_args!("{settled:?}"));
}

#[cfg(test)]
mod tests {
    use schemars::JsonSchema;
    use serde::Deserialize;
    use serde_json::json;
    use tidegate_sdk::{Batch, Delivery, Error, Sink, async_trait, schemars, serde};

    use super::*;
    use crate::{build_sink, context};

    #[derive(Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Options {
        /// What it calls its domain.
        name: String,
    }

    struct Named(String);

    #[async_trait]
    impl Sink for Named {
        async fn write(&mut self, _: &Batch, _: &Cx) -> Result<Delivery, Error> {
            Ok(Delivery::complete())
        }
        fn domain(&self) -> Result<String, String> {
            Ok(self.0.clone())
        }
        async fn settle(&mut self, _: &Batch, _: &Receipts, _: &Cx) -> Result<Delivery, Error> {
            match self.0.as_str() {
                "good" => Err(Error::fatal("there is no such place")),
                _ => Ok(Delivery::complete()),
            }
        }
    }

    fn named() -> Plugin {
        Plugin::sink("named", "Has a name", "", |options: Options| Ok(Named(options.name)))
    }

    async fn settles(name: &str) {
        let mut sink = build_sink(&named(), &json!({ "name": name }));
        settles_nothing_of_nobody(Rules::of(&named()), &mut *sink, &context().0).await;
    }

    #[tokio::test]
    async fn a_good_sink_keeps_the_rules() {
        domain(&named(), &json!({ "name": "good" }));
        settles("good").await;
    }

    #[test]
    #[should_panic(expected = "a domain is a name in one line")]
    fn an_empty_name_is_caught() {
        domain(&named(), &json!({ "name": "" }));
    }

    #[tokio::test]
    #[should_panic(expected = "an entry that is not there is not settled")]
    async fn one_that_settles_whatever_comes_is_caught() {
        settles("careless").await;
    }
}
