//! Rules of a source and a sink of one server, which acknowledge and write in one step.

use std::sync::Arc;

use serde_json::Value;
use tidegate_sdk::{AckHandles, Component, Cx, Plugin, Replay, Sink};

use super::{Rules, numbered};

/// The longest name of a domain, in bytes.
const NAME: usize = 4 << 10;

/// Checks the transaction domain of a source or sink with these options. Connects to no server.
///
/// # Panics
/// If a rule is broken, with the name of the rule.
pub fn domain(plugin: &Plugin, options: &Value) {
    let rules = Rules::of(plugin);
    let (first, second) =
        (domain_of_component(rules, plugin, options), domain_of_component(rules, plugin, options));
    let details = format!("{first:?} and {second:?}");
    rules.keeps("what it says of its domain is the same each time", first == second, details);
    match first {
        None => {}
        Some(Err(reason)) => {
            let stated = !reason.trim().is_empty() && !reason.contains('\n');
            rules.keeps("why there is no domain is said in one line", stated, reason);
        }
        Some(Ok(name)) => {
            let is_name = !name.trim().is_empty() && name.len() <= NAME && !name.contains(char::is_control);
            rules.keeps("a domain is a name in one line", is_name, name);
        }
    }
}

/// The domain of a component, or the reason why it has none; `None` for other kinds of components.
fn domain_of_component(rules: Rules<'_>, plugin: &Plugin, options: &Value) -> Option<Result<String, String>> {
    match plugin.build(options).ok()? {
        Component::Source(source) => {
            let domain = source.transaction_domain().map_err(|error| error.message().to_owned());
            let replay = source.replay();
            let again = domain.is_err() || replay == Replay::Redelivery;
            rules.keeps("a source with a domain gets again what was not acknowledged", again, "it does not");
            Some(domain)
        }
        Component::Sink(mut sink) => {
            let domain = domain_of(&mut *sink);
            if let Some(mut fork) = sink.fork() {
                let same = domain_of(&mut *fork) == domain;
                rules.keeps("a forked instance has the same domain", same, format_args!("{domain:?}"));
            }
            Some(domain)
        }
        Component::Filter(_) | Component::AsyncFilter(_) => None,
    }
}

/// The domain of a sink.
fn domain_of(sink: &mut dyn Sink) -> Result<String, String> {
    let domain = sink.acknowledging().map(|sink| sink.transaction_domain());
    domain.map_err(|error| error.message().to_owned())
}

/// Passes an entry that does not exist to a sink with a domain, which is open.
pub(super) async fn acknowledges_no_unknown_entry(rules: Rules<'_>, sink: &mut dyn Sink, cx: &Cx) {
    let Ok(sink) = sink.acknowledging() else { return };
    let batch = numbered(&[b"of no entry"], 200);
    let mut handles = AckHandles::new(&Arc::from(["no such place".to_owned()]));
    handles.push(b"no such entry");
    let written = rules.ends("ack_and_write", sink.ack_and_write(&batch, &handles, cx)).await;
    let delivered = written
        .as_ref()
        .is_ok_and(|delivery| delivery.rejected().is_empty() && delivery.events_already_done().is_empty());
    rules.keeps("an entry that is not there is not acknowledged", !delivered, format_args!("{written:?}"));
}

#[cfg(test)]
mod tests {
    use schemars::JsonSchema;
    use serde::Deserialize;
    use serde_json::json;
    use tidegate_sdk::{AcknowledgingSink, Batch, Delivery, Error, Sink, async_trait, schemars, serde};

    use super::*;
    use crate::{build_sink, context};

    #[derive(Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Options {
        /// The name of its domain.
        name: String,
    }

    struct Named(String);

    #[async_trait]
    impl Sink for Named {
        async fn write(&mut self, _: &Batch, _: &Cx) -> Result<Delivery, Error> {
            Ok(Delivery::complete())
        }
        fn acknowledging(&mut self) -> Result<&mut dyn AcknowledgingSink, Error> {
            Ok(self)
        }
    }

    #[async_trait]
    impl AcknowledgingSink for Named {
        fn transaction_domain(&self) -> String {
            self.0.clone()
        }
        async fn ack_and_write(&mut self, _: &Batch, _: &AckHandles, _: &Cx) -> Result<Delivery, Error> {
            match self.0.as_str() {
                "good" => Err(Error::fatal("there is no such place")),
                _ => Ok(Delivery::complete()),
            }
        }
    }

    fn named() -> Plugin {
        Plugin::sink("named", "Has a name", "", |options: Options| Ok(Named(options.name)))
    }

    async fn ack_and_write(name: &str) {
        let mut sink = build_sink(&named(), &json!({ "name": name }));
        acknowledges_no_unknown_entry(Rules::of(&named()), &mut *sink, &context().0).await;
    }

    #[tokio::test]
    async fn a_good_sink_keeps_the_rules() {
        domain(&named(), &json!({ "name": "good" }));
        ack_and_write("good").await;
    }

    #[test]
    #[should_panic(expected = "a domain is a name in one line")]
    fn an_empty_name_is_caught() {
        domain(&named(), &json!({ "name": "" }));
    }

    #[tokio::test]
    #[should_panic(expected = "an entry that is not there is not acknowledged")]
    async fn sink_that_acknowledges_any_entry_is_caught() {
        ack_and_write("careless").await;
    }
}
