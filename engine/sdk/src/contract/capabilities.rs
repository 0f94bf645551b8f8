//! The capabilities of a component, asked once.

use crate::{Component, ConfigError, Error, Exclusive, Replay};

/// The capabilities of a component with its options. The engine asks for them once, when it loads the pipeline.
#[derive(Clone, Debug)]
pub struct Capabilities {
    /// True if several instances may share the work.
    pub forks: bool,
    /// True for a filter whose calls are awaited.
    pub waits: bool,
    /// The number of events that a filter works on at once: see [`crate::AsyncFilter::at_once`].
    pub at_once: usize,
    /// The way in which a source can read its input again.
    pub replay: Replay,
    /// Success if a sink can store a position in one transaction with the events, else the reason.
    pub transactional: Result<(), String>,
    /// The transaction domain of a source or a sink, or the reason why there is none: see
    /// [`crate::Source::transaction_domain`].
    pub transaction_domain: Result<String, String>,
    /// The plugin of the sinks that answer a source: see [`crate::Source::answered_by`].
    pub answered_by: Option<&'static str>,
    /// True for a sink that only answers the requests of a source.
    pub answers: bool,
    /// Names of the outputs 1 and up of a filter.
    pub outputs: Vec<String>,
    /// The explanation of a filter for `tidegate check --explain`.
    pub explain: Option<String>,
    /// Resources that no other component can use at the same time.
    pub exclusive: Vec<Exclusive>,
    /// Warnings about options.
    pub warnings: Vec<ConfigError>,
}

impl Default for Capabilities {
    /// The capabilities of a component that does the least.
    fn default() -> Self {
        Self {
            forks: false,
            waits: false,
            at_once: 1,
            replay: Replay::Never,
            transactional: Err("it is no sink".into()),
            transaction_domain: Err("it is no source and no sink".into()),
            answered_by: None,
            answers: false,
            outputs: Vec::new(),
            explain: None,
            exclusive: Vec::new(),
            warnings: Vec::new(),
        }
    }
}

impl Component {
    /// The capabilities of this component.
    pub fn capabilities(&mut self) -> Capabilities {
        let reason = |error: Error| error.message().to_owned();
        let least = Capabilities::default();
        match self {
            Self::Source(source) => Capabilities {
                replay: source.replay(),
                transaction_domain: source.transaction_domain().map_err(reason),
                answered_by: source.answered_by(),
                exclusive: source.exclusive(),
                warnings: source.warnings(),
                ..least
            },
            Self::Filter(filter) => Capabilities {
                forks: filter.fork().is_some(),
                outputs: filter.outputs(),
                explain: filter.explain(),
                exclusive: filter.exclusive(),
                warnings: filter.warnings(),
                ..least
            },
            Self::AsyncFilter(filter) => {
                let forks = filter.fork().is_some();
                Capabilities {
                    forks,
                    waits: true,
                    at_once: if forks { filter.at_once() } else { 1 },
                    outputs: filter.outputs(),
                    explain: filter.explain(),
                    exclusive: filter.exclusive(),
                    warnings: filter.warnings(),
                    ..least
                }
            }
            Self::Sink(sink) => Capabilities {
                forks: sink.fork().is_some(),
                transactional: sink.transactional().map(drop).map_err(reason),
                transaction_domain: sink
                    .acknowledging()
                    .map(|sink| sink.transaction_domain())
                    .map_err(reason),
                answers: sink.answers(),
                exclusive: sink.exclusive(),
                warnings: sink.warnings(),
                ..least
            },
        }
    }
}
