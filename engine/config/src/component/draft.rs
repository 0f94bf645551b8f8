//! One component as its table describes it, not yet connected.

use std::sync::Arc;

use serde_json::Value;
use tidegate_sdk::{Capabilities, Kind, Plugin};

use crate::component::exclusive::Claimed;
use crate::document::{Data, Item, Origin, Table};
use crate::topology::EngineOptions;

/// A component as its table describes it, not yet connected.
pub(crate) struct Draft {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    /// Where its name stands.
    pub(crate) origin: Origin,
    /// Where its table begins.
    pub(crate) header: Origin,
    pub(crate) enabled: bool,
    pub(crate) plugin: Option<Plugin>,
    pub(crate) options: Value,
    pub(crate) engine: EngineOptions,
    pub(crate) from: From,
    /// The named outputs; `None` if they are not known, because the component cannot be built.
    pub(crate) outputs: Option<Vec<String>>,
    /// The capabilities; those of a component that does the least if it cannot be built.
    pub(crate) capabilities: Arc<Capabilities>,
    /// Resources that no other component can use.
    pub(crate) claims: Vec<Claimed>,
}

/// What `from` says.
pub(crate) enum From {
    /// Nothing: the component above feeds it.
    Above,
    /// These names.
    Names(Vec<Name>),
    /// Something that was told to be wrong already.
    Broken,
}

/// A name in `from`.
pub(crate) struct Name {
    pub(crate) text: String,
    pub(crate) origin: Origin,
    /// Whether it may be shown: nothing in it came from outside.
    pub(crate) shown: bool,
}

impl From {
    /// What the component's table says.
    pub(crate) fn of(table: &Table) -> From {
        let Some(entry) = table.get("from") else { return From::Above };
        let name = |item: &Item| match &item.data {
            Data::Text(prose) => Some(Name {
                text: prose.value.clone(),
                origin: item.origin.clone(),
                shown: item.shown().is_some(),
            }),
            _ => None,
        };
        let names = match &entry.item.data {
            // That a list names nothing is told by the schema.
            Data::List(items) if items.is_empty() => None,
            Data::List(items) => items.iter().map(name).collect(),
            _ => name(&entry.item).map(|name| vec![name]),
        };
        names.map_or(From::Broken, From::Names)
    }
}
