//! Loads a library and checks its table. A refusal is one sentence: the library, the reason, and what to do.

use std::ffi::c_void;
use std::path::Path;

use serde_json::Value;
use tidegate_abi::{self as abi, size_through};
use tidegate_sdk::{Kind, Manual};

use crate::host_table::HostTable;
use crate::library::file::{Library, Refusal};
use crate::library::tables::{Ops, Tables};

/// The limit for plugins of a library.
const COMPONENTS: u32 = 256;
/// The limit for a text of a table, in bytes.
const TEXT: u64 = 4 << 20;

/// A loaded and checked library. It is never unloaded, because threads may run its code, and the C library may call its
/// functions when a thread ends.
pub(crate) struct Module {
    pub(crate) id: String,
    pub(crate) version: String,
    pub(crate) flags: u32,
    pub(crate) plugins: Vec<(Manual, Tables)>,
}

impl Module {
    /// Loads the library and checks its table.
    pub(crate) fn load(library: Library, hub: &'static HostTable) -> Result<Self, Refusal> {
        use libloading::os::unix;
        const NODELETE: i32 = 0x1000;
        let path = library.path.clone();
        let refuse = |why: String| Refusal(format!("`{}` {why}", path.display()));
        // SAFETY: this runs the initialisers of the library. A child process has run them before, so they return. Loading a
        // library trusts it not to corrupt memory.
        let loaded = unsafe {
            unix::Library::open(Some(library.loadable()), unix::RTLD_NOW | unix::RTLD_LOCAL | NODELETE)
        };
        let loaded =
            loaded.map_err(|error| refuse(format!("cannot be loaded: {}", readable(&error, &library))))?;
        // The dynamic linker identifies libraries by their path, which names this descriptor, so it is never closed.
        std::mem::forget(library);
        // SAFETY: the header defines the type of the symbol with this name.
        let entry = unsafe { loaded.get::<abi::Entry>(abi::ENTRY.as_bytes()) };
        let entry = entry.map(|entry| *entry);
        std::mem::forget(loaded);
        let entry = entry.map_err(|_| {
            refuse(format!(
                "has no symbol `{}`, so it is not a plugin library: `export_plugin!` makes one in Rust, and the header \
                 tidegate_plugin.h says what it is in C",
                abi::ENTRY
            ))
        })?;
        // SAFETY: the entry is a pure function of two numbers.
        let table = unsafe { entry(abi::MINOR, 0) };
        // SAFETY: it is the table of a library that stays loaded.
        unsafe { Self::check(table, &path, hub) }
    }

    /// Checks the table that an entry has returned.
    ///
    /// # Safety
    /// `table` is NULL, or points to a table as the header describes it, which lives for ever.
    pub(crate) unsafe fn check(
        table: *const abi::Module,
        path: &Path,
        hub: &'static HostTable,
    ) -> Result<Self, Refusal> {
        let plain = |why: String| Refusal(format!("`{}` {why}", path.display()));
        if table.is_null() {
            return Err(plain("says that it does not work with this version of Tidegate".into()));
        }
        // SAFETY: the caller guarantees it.
        let module = unsafe { abi::read_checked(table, size_through!(abi::Module, components), "its table") }
            .map_err(|why| plain(format!("breaks the ABI: {why}")))?;
        // SAFETY: the texts of the table are constant.
        let (id, version) = unsafe { (text(module.id, "its id"), text(module.version, "its version")) };
        let broken = |why: String| plain(format!("breaks the ABI: {why}"));
        let (id, version) = (id.map_err(broken)?, version.map_err(broken)?);
        let refuse = |why: String| Refusal(format!("`{}` ({id} {version}) {why}", path.display()));
        if module.min_host_minor > abi::MINOR {
            return Err(refuse(format!(
                "needs the plugin ABI 1.{}, and this version of Tidegate has 1.{}: use a newer Tidegate, or an older library",
                module.min_host_minor,
                abi::MINOR
            )));
        }
        if module.need_features != 0 {
            return Err(refuse(format!(
                "needs features that this version of Tidegate does not have (bits {:#x}): use a newer Tidegate, or an older library",
                module.need_features
            )));
        }
        if module.n_components == 0 || module.n_components > COMPONENTS || module.components.is_null() {
            return Err(refuse(format!("breaks the ABI: it names {} plugins", module.n_components)));
        }
        // SAFETY: the table holds this number of pointers.
        let components =
            unsafe { std::slice::from_raw_parts(module.components, module.n_components as usize) };
        let mut plugins = Vec::new();
        for component in components {
            // SAFETY: each is a table of a library that stays loaded.
            let plugin = unsafe { plugin(*component) };
            plugins.push(plugin.map_err(|why| refuse(format!("breaks the ABI: {why}")))?);
        }
        if let Some(init) = module.init {
            let mut error = abi::Error::empty();
            // SAFETY: the host table lives for ever.
            let status = unsafe { init(hub.table(), &raw mut error) };
            if status != abi::Status::OK {
                return Err(refuse(format!("does not start: {}", error.message())));
            }
        }
        Ok(Self { id, version, flags: module.flags, plugins })
    }
}

/// Reads one plugin of the table.
///
/// # Safety
/// As [`Module::check`].
unsafe fn plugin(component: *const abi::Component) -> Result<(Manual, Tables), String> {
    // SAFETY: the caller guarantees it.
    let table =
        unsafe { abi::read_checked(component, size_through!(abi::Component, ops), "the table of a plugin")? };
    // SAFETY: its texts are constant.
    let name = unsafe { text(table.name, "the name of a plugin")? };
    let valid = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if name.is_empty() || name.len() > 64 || !name.bytes().all(valid) {
        return Err(format!("`{name}` is not a name: lower case letters, digits and _ are"));
    }
    let within = |why: String| format!("the plugin `{name}`: {why}");
    // SAFETY: as above.
    let texts = unsafe {
        (text(table.summary, "summary"), text(table.sample, "sample"), text(table.schema, "schema"))
    };
    let (summary, sample) = (texts.0.map_err(within)?, texts.1.map_err(within)?);
    let schema: Value = serde_json::from_str(&texts.2.map_err(within)?)
        .map_err(|error| within(format!("its schema is not JSON: {error}")))?;
    if !schema.is_object() {
        return Err(within("its schema is not a JSON object".into()));
    }
    if table.create.is_none() {
        return Err(within("`create` is NULL".into()));
    }
    // SAFETY: its tables are constant.
    let base = unsafe {
        abi::read_checked(table.base, size_through!(abi::Base, destroy), "`base`").map_err(within)?
    };
    if base.destroy.is_none() {
        return Err(within("`destroy` is NULL".into()));
    }
    // SAFETY: as above, and `kind` says which table it is.
    let (kind, ops) = unsafe { ops(table.kind, table.ops).map_err(within)? };
    let manual = Manual { kind, name, summary, sample, schema };
    // SAFETY: the table was just read, and stays.
    let component = unsafe { &*component };
    Ok((manual, Tables { component, caps: table.caps, base, ops }))
}

/// Reads the functions of a plugin of this kind.
///
/// # Safety
/// `table` is NULL or the table of a plugin of this kind.
unsafe fn ops(kind: u32, table: *const c_void) -> Result<(Kind, Ops), String> {
    let has = |there: bool, what: &str| if there { Ok(()) } else { Err(format!("`{what}` is NULL")) };
    // SAFETY: the caller guarantees it, in each case.
    unsafe {
        match kind {
            abi::kind::SOURCE => {
                let source = abi::read_checked(
                    table.cast::<abi::Source>(),
                    size_through!(abi::Source, next),
                    "`ops`",
                )?;
                has(source.next.is_some(), "next")?;
                Ok((Kind::Source, Ops::Source(source)))
            }
            abi::kind::FILTER => {
                let filter = abi::read_checked(
                    table.cast::<abi::Filter>(),
                    size_through!(abi::Filter, route),
                    "`ops`",
                )?;
                has(filter.route.is_some() || filter.process.is_some(), "process")?;
                Ok((Kind::Filter, Ops::Filter(filter)))
            }
            abi::kind::SINK => {
                let sink =
                    abi::read_checked(table.cast::<abi::Sink>(), size_through!(abi::Sink, write), "`ops`")?;
                has(sink.write.is_some(), "write")?;
                Ok((Kind::Sink, Ops::Sink(sink)))
            }
            other => Err(format!("{other} is no kind of plugin")),
        }
    }
}

/// Reads a text of a table.
///
/// # Safety
/// The text is constant.
unsafe fn text(text: abi::Str, what: &str) -> Result<String, String> {
    if text.n > TEXT || (text.p.is_null() && text.n > 0) {
        return Err(format!("{what} is not a text"));
    }
    // SAFETY: the caller guarantees it, and it is not null.
    let bytes = unsafe { text.bytes() };
    String::from_utf8(bytes.to_vec()).map_err(|_| format!("{what} is not UTF-8"))
}

/// The message of the dynamic linker, with the path of the library instead of that of the copy.
fn readable(error: &libloading::Error, library: &Library) -> String {
    let mut text = error.to_string();
    if let Some(source) = std::error::Error::source(error) {
        text = source.to_string();
    }
    text.replace(&library.loadable().display().to_string(), &library.path.display().to_string())
}
