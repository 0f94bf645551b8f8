//! A component as its table describes it, not yet connected.

use std::sync::Arc;

use serde_json::Value;
use tidegate_sdk::{Capabilities, Kind, Plugin};

use crate::component::exclusive::Claimed;
use crate::document::{Data, Entry, Item, Origin};
use crate::keys::EngineOptions;

/// A component as its table describes it, not yet connected.
pub(crate) struct Draft {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    /// The place of the name.
    pub(crate) origin: Origin,
    /// The place of the table's header.
    pub(crate) header: Origin,
    pub(crate) enabled: bool,
    pub(crate) plugin: Option<Plugin>,
    pub(crate) options: Value,
    pub(crate) engine: EngineOptions,
    pub(crate) from: From,
    /// The named outputs. `None` if they are unknown, because the component cannot be built.
    pub(crate) outputs: Option<Vec<String>>,
    /// The capabilities. If they are unknown, those of a component that does the least.
    pub(crate) capabilities: Arc<Capabilities>,
    /// True if the capabilities are known: the component was built, or a repaired copy that is able to do the same.
    pub(crate) is_known: bool,
    /// Resources that no other component can use.
    pub(crate) claims: Vec<Claimed>,
}

/// The value of `from`.
pub(crate) enum From {
    /// There is none: the component above is upstream.
    Above,
    /// These names.
    Names(Vec<Name>),
    /// A value with an error that is reported already.
    Broken,
}

/// A name in `from`.
pub(crate) struct Name {
    pub(crate) text: String,
    pub(crate) origin: Origin,
    /// True if messages may show it: no part of it comes from outside the file.
    pub(crate) shown: bool,
}

impl From {
    /// Reads the entry `from`.
    pub(crate) fn of(entry: Option<&Entry>) -> From {
        let Some(entry) = entry else { return From::Above };
        let name = |item: &Item| match &item.data {
            Data::Text(text) => Some(Name {
                text: text.value.clone(),
                origin: item.origin.clone(),
                shown: item.shown().is_some(),
            }),
            _ => None,
        };
        let names = match &entry.item.data {
            // The schema reports an empty list.
            Data::List(items) if items.is_empty() => None,
            Data::List(items) => items.iter().map(name).collect(),
            _ => name(&entry.item).map(|name| vec![name]),
        };
        names.map_or(From::Broken, From::Names)
    }
}
