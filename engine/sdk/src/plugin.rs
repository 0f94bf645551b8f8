//! The description of a plugin for the engine.

mod library;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, LazyLock};

use schemars::{JsonSchema, generate::SchemaSettings};
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use library::{Isolation, Library, Manual, Placement};

use crate::{AsyncFilter, ConfigError, Filter, Sink, Source};

/// The kind of a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Reads events from outside.
    Source,
    /// Changes events or drops them.
    Filter,
    /// Writes events to the outside.
    Sink,
}

impl Kind {
    /// All kinds, in the order in which events meet them.
    pub const ALL: [Kind; 3] = [Kind::Source, Kind::Filter, Kind::Sink];

    /// The word for it in a pipeline file: `source`, `filter` or `sink`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Filter => "filter",
            Self::Sink => "sink",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A component that is built and not yet open.
pub enum Component {
    /// A source.
    Source(Box<dyn Source>),
    /// A filter that is a plain function.
    Filter(Box<dyn Filter>),
    /// A filter that waits.
    AsyncFilter(Box<dyn AsyncFilter>),
    /// A sink.
    Sink(Box<dyn Sink>),
}

type Build = dyn Fn(&Value) -> Result<Component, ConfigError> + Send + Sync;

/// The builder of a plugin's components.
#[derive(Clone)]
enum Builder {
    /// This program.
    Own(Arc<Build>),
    /// A library, in the place that is wanted.
    Foreign(Arc<dyn Library>, Placement),
}

/// A plugin: its name, its manual, and how to build a component from its options.
///
/// The options are a struct with `serde::Deserialize`, `schemars::JsonSchema` and
/// `#[serde(deny_unknown_fields)]`; its doc comments are the manual. Building must not do input or output:
/// `tidegate check` builds every component.
#[derive(Clone)]
pub struct Plugin {
    about: Arc<About>,
    builder: Builder,
}

/// The part of a plugin that its clones share.
struct About {
    kind: Kind,
    name: String,
    summary: String,
    sample: String,
    /// Made when it is first asked for: of all the plugins that are known, a pipeline uses a few.
    schema: LazyLock<Value, Box<dyn FnOnce() -> Value + Send>>,
}

impl Plugin {
    /// A source. `sample` is a piece of a pipeline file that uses it.
    pub fn source<O, S>(
        name: &str,
        summary: &str,
        sample: &str,
        build: impl Fn(O) -> Result<S, ConfigError> + Send + Sync + 'static,
    ) -> Self
    where
        O: DeserializeOwned + JsonSchema,
        S: Source,
    {
        Self::new::<O>(Kind::Source, name, summary, sample, move |options| {
            Ok(Component::Source(Box::new(build(options)?)))
        })
    }

    /// A filter that is a plain function.
    pub fn filter<O, F>(
        name: &str,
        summary: &str,
        sample: &str,
        build: impl Fn(O) -> Result<F, ConfigError> + Send + Sync + 'static,
    ) -> Self
    where
        O: DeserializeOwned + JsonSchema,
        F: Filter,
    {
        Self::new::<O>(Kind::Filter, name, summary, sample, move |options| {
            Ok(Component::Filter(Box::new(build(options)?)))
        })
    }

    /// A filter that waits.
    pub fn async_filter<O, F>(
        name: &str,
        summary: &str,
        sample: &str,
        build: impl Fn(O) -> Result<F, ConfigError> + Send + Sync + 'static,
    ) -> Self
    where
        O: DeserializeOwned + JsonSchema,
        F: AsyncFilter,
    {
        Self::new::<O>(Kind::Filter, name, summary, sample, move |options| {
            Ok(Component::AsyncFilter(Box::new(build(options)?)))
        })
    }

    /// A sink.
    pub fn sink<O, S>(
        name: &str,
        summary: &str,
        sample: &str,
        build: impl Fn(O) -> Result<S, ConfigError> + Send + Sync + 'static,
    ) -> Self
    where
        O: DeserializeOwned + JsonSchema,
        S: Sink,
    {
        Self::new::<O>(Kind::Sink, name, summary, sample, move |options| {
            Ok(Component::Sink(Box::new(build(options)?)))
        })
    }

    /// A filter whose options decide whether it waits (a throttle that drops, or waits).
    pub fn any_filter<O>(
        name: &str,
        summary: &str,
        sample: &str,
        build: impl Fn(O) -> Result<Component, ConfigError> + Send + Sync + 'static,
    ) -> Self
    where
        O: DeserializeOwned + JsonSchema,
    {
        Self::new::<O>(Kind::Filter, name, summary, sample, build)
    }

    fn new<O>(
        kind: Kind,
        name: &str,
        summary: &str,
        sample: &str,
        build: impl Fn(O) -> Result<Component, ConfigError> + Send + Sync + 'static,
    ) -> Self
    where
        O: DeserializeOwned + JsonSchema,
    {
        let schema = || {
            let settings = SchemaSettings::draft2020_12().with(|settings| settings.meta_schema = None);
            settings.into_generator().into_root_schema_for::<O>().to_value()
        };
        let build = move |options: &Value| match O::deserialize(options) {
            Ok(options) => build(options),
            Err(error) => Err(ConfigError::at("", error.to_string())),
        };
        let about = About {
            kind,
            name: name.to_owned(),
            summary: summary.to_owned(),
            sample: sample.to_owned(),
            schema: LazyLock::new(Box::new(schema)),
        };
        Self { about: Arc::new(about), builder: Builder::Own(Arc::new(build)) }
    }

    /// The kind of the plugin.
    pub fn kind(&self) -> Kind {
        self.about.kind
    }

    /// Its name in a pipeline file.
    pub fn name(&self) -> &str {
        &self.about.name
    }

    /// The purpose of the plugin, in a sentence without a full stop.
    pub fn summary(&self) -> &str {
        &self.about.summary
    }

    /// A piece of a pipeline file that uses it.
    pub fn sample(&self) -> &str {
        &self.about.sample
    }

    /// The JSON Schema (2020-12) of its options.
    pub fn schema(&self) -> &Value {
        &self.about.schema
    }

    /// Builds a component from options that fit the schema.
    ///
    /// # Errors
    /// Defects that a schema cannot express: a query that does not parse, two options that exclude each other.
    pub fn build(&self, options: &Value) -> Result<Component, ConfigError> {
        match &self.builder {
            Builder::Own(build) => build(options),
            Builder::Foreign(library, placement) => library.build(self, options, placement),
        }
    }

    /// A plugin of a shared library, which builds it. For the engine.
    pub fn foreign(manual: Manual, library: Arc<dyn Library>, placement: Placement) -> Self {
        let Manual { kind, name, summary, sample, schema } = manual;
        let schema: LazyLock<_, Box<dyn FnOnce() -> Value + Send>> = LazyLock::new(Box::new(|| schema));
        let about = About { kind, name, summary, sample, schema };
        Self { about: Arc::new(about), builder: Builder::Foreign(library, placement) }
    }

    /// The shared library that it is from; `None` if it is built in.
    pub fn library(&self) -> Option<&dyn Library> {
        match &self.builder {
            Builder::Own(_) => None,
            Builder::Foreign(library, _) => Some(&**library),
        }
    }

    /// Returns true if the other is the same: of one kind and name, and from the same library in the same place.
    pub fn is_same(&self, other: &Self) -> bool {
        let identity = |one: &Self| one.library().map(|library| library.identity().to_owned());
        self.kind() == other.kind()
            && self.name() == other.name()
            && identity(self) == identity(other)
            && self.placement() == other.placement()
    }

    /// The placement of its components: built-in ones run inline.
    pub fn placement(&self) -> Placement {
        match &self.builder {
            Builder::Own(_) => Placement::default(),
            Builder::Foreign(_, placement) => *placement,
        }
    }

    /// The same plugin, whose components run elsewhere. Changes nothing of one that is built in.
    #[must_use]
    pub fn placed(mut self, wanted: Placement) -> Self {
        if let Builder::Foreign(_, placement) = &mut self.builder {
            *placement = wanted;
        }
        self
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Plugin({} {})", self.kind(), self.name())
    }
}

/// The plugins that are known: a value that `main` fills and hands down.
#[derive(Clone, Debug, Default)]
pub struct Registry(BTreeMap<(Kind, String), Plugin>);

impl Registry {
    /// A registry of these plugins. A later one takes the place of an earlier one of the same kind and name.
    pub fn new(plugins: impl IntoIterator<Item = Plugin>) -> Self {
        let entry = |plugin: Plugin| ((plugin.kind(), plugin.name().to_owned()), plugin);
        Self(plugins.into_iter().map(entry).collect())
    }

    /// The plugin of this kind and name.
    pub fn get(&self, kind: Kind, name: &str) -> Option<&Plugin> {
        self.0.get(&(kind, name.to_owned()))
    }

    /// Every plugin, sources first, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Plugin> {
        self.0.values()
    }
}
