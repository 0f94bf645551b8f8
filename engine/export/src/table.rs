//! The table of a library.

use std::ffi::c_void;
use std::sync::OnceLock;

use serde_json::Value;
use tidegate_abi::{self as abi, Base, Module, Status, Str, flag, kind};

use super::call::{self, Answer, Instance};
use super::component::{filter, sink, source};
use super::lifecycle::Table;
use super::link::{Link, text};
use super::log;
use tidegate_sdk::{Component, ConfigError, Kind, Plugin};

/// The table of a library, created by the first call. For [`export_plugin!`](crate::export_plugin).
pub struct Library(OnceLock<Option<&'static Module>>);

impl Library {
    /// Creates a library without a table.
    pub const fn new() -> Self {
        Self(OnceLock::new())
    }

    /// The table; null if its creation panics. It lives as long as the library, which is never unloaded.
    pub fn table(&self, id: &str, version: &str, plugins: impl FnOnce() -> Vec<Plugin>) -> *const Module {
        let made = self.0.get_or_init(|| call::caught(|| module(id, version, plugins())).ok());
        made.map_or(std::ptr::null(), std::ptr::from_ref)
    }
}

impl Default for Library {
    fn default() -> Self {
        Self::new()
    }
}

fn module(id: &str, version: &str, plugins: Vec<Plugin>) -> &'static Module {
    let components: Vec<*const abi::Component> = plugins.into_iter().map(Entry::leaked).collect();
    let components = components.leak();
    Box::leak(Box::new(Module {
        struct_size: size_of::<Module>() as u32,
        abi_minor: abi::MINOR,
        min_host_minor: 0,
        flags: if cfg!(panic = "abort") { flag::PANIC_ABORT } else { 0 },
        need_features: 0,
        id: leaked(id),
        version: leaked(version),
        n_components: components.len() as u32,
        reserved: 0,
        components: components.as_ptr(),
        init: Some(log::init),
        get_extension: None,
    }))
}

/// A plugin with its table. The engine passes a pointer to the first field to `create`.
#[repr(C)]
struct Entry {
    component: abi::Component,
    plugin: Plugin,
}

impl Entry {
    fn leaked(plugin: Plugin) -> *const abi::Component {
        let (kind, base, ops): (u32, &'static Base, *const c_void) = match plugin.kind() {
            Kind::Source => (kind::SOURCE, &Table::<source::State>::BASE, (&raw const source::OPS).cast()),
            Kind::Filter => (kind::FILTER, &Table::<filter::State>::BASE, (&raw const filter::OPS).cast()),
            Kind::Sink => (kind::SINK, &Table::<sink::State>::BASE, (&raw const sink::OPS).cast()),
        };
        let component = abi::Component {
            struct_size: size_of::<abi::Component>() as u32,
            kind,
            caps: 0,
            reserved: 0,
            name: leaked(plugin.name()),
            summary: leaked(plugin.summary()),
            sample: leaked(plugin.sample()),
            schema: leaked(&plugin.schema().to_string()),
            create: Some(create),
            base,
            ops,
        };
        Box::into_raw(Box::new(Self { component, plugin })).cast_const().cast()
    }
}

fn leaked(text: &str) -> Str {
    Str::new(String::leak(text.to_owned()))
}

unsafe extern "C" fn create(
    component: *const abi::Component,
    create: *const abi::Create,
    this: *mut *mut c_void,
    error: *mut abi::Error,
) -> Status {
    // SAFETY: the engine passes the pointer from the table, which is that of an entry, and valid arguments.
    unsafe {
        let (entry, create) = (&*component.cast::<Entry>(), &*create);
        call::create(create.inst, error, || instance(&entry.plugin, create, this))
    }
}

/// # Safety
/// `create` and `this` are valid for the call.
unsafe fn instance(plugin: &Plugin, create: &abi::Create, this: *mut *mut c_void) -> Answer {
    // SAFETY: the caller guarantees it; the host is valid for the life of the process.
    let (options, name, host) = unsafe { (create.options.bytes(), text(create.name), &*create.host) };
    let options: Value = serde_json::from_slice(options)
        .map_err(|error| ConfigError::at("", format!("the options are not JSON: {error}")))?;
    let built = plugin.build(&options)?;
    let link = Link::new(host, create.inst);
    let cx = link.cx(&name, create.event_size);
    let instance = match (plugin.kind(), built) {
        (Kind::Source, Component::Source(source)) => Instance::into_raw(link, source::State::new(source, cx)),
        (Kind::Filter, Component::Filter(filter)) => Instance::into_raw(link, filter::State::plain(filter)),
        (Kind::Filter, Component::AsyncFilter(filter)) => {
            Instance::into_raw(link, filter::State::waiting(filter, cx))
        }
        (Kind::Sink, Component::Sink(sink)) => Instance::into_raw(link, sink::State::new(sink, cx)),
        (kind, _) => {
            return Err(ConfigError::at("", format!("the {kind} plugin built something else")).into());
        }
    };
    // SAFETY: the caller guarantees it.
    unsafe { *this = instance };
    Ok(Status::OK)
}
