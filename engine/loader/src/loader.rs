//! The entry point of this crate: opens libraries and returns their plugins.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::Value;
use tidegate_abi::{cap, flag};
use tidegate_sdk::{Component, ConfigError, Isolation, Placement, Plugin};

use crate::factory::{InstanceContext, InstanceFactory};
use crate::host_table::HostTable;
use crate::instance::CallMode;
use crate::instance::in_process::InProcess;
use crate::library::describe::{Described, Description, described};
use crate::library::file::{Library, Refusal};
use crate::library::handshake::Module;
use crate::process::{ChildProcess, Spawner};
use crate::restart::{
    InstanceSpec, RestartingFilter, RestartingPlainFilter, RestartingSink, RestartingSource,
};

/// A library to open.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Its file.
    pub path: &'a Path,
    /// The required SHA-256 of the file, in hexadecimal digits.
    pub sha256: Option<&'a str>,
}

/// Loads each library once and keeps it.
pub struct Loader {
    shared: Arc<Shared>,
    /// The libraries by the hash of their file.
    known: Mutex<HashMap<String, Arc<Loaded>>>,
    cache: Option<PathBuf>,
}

struct Shared {
    host: &'static HostTable,
    program: PathBuf,
    resident: AtomicUsize,
    strict: bool,
    /// Spawns child processes; started when the first child is.
    spawner: OnceLock<Result<Arc<Spawner>, String>>,
}

impl Shared {
    fn spawner(&self) -> Result<Arc<Spawner>, String> {
        let start = || match Spawner::new(self.program.clone()) {
            Ok(spawner) => Ok(Arc::new(spawner)),
            Err(error) => Err(format!("no process can be started: {error}")),
        };
        self.spawner.get_or_init(start).clone()
    }
}

impl Loader {
    /// Creates a loader. It starts `program`, which is this program, as a child process, and caches descriptions of
    /// libraries in the folder `cache`.
    pub fn new(program: PathBuf, cache: Option<PathBuf>) -> Self {
        Self::made(program, cache, false)
    }

    /// Creates a loader whose components are not restarted after a fault: the call fails with the fault. For checking a
    /// library.
    pub fn strict(program: PathBuf) -> Self {
        Self::made(program, None, true)
    }

    fn made(program: PathBuf, cache: Option<PathBuf>, strict: bool) -> Self {
        let (host, resident, spawner) = (HostTable::leaked(), AtomicUsize::new(0), OnceLock::new());
        let shared = Shared { host, program, resident, strict, spawner };
        Self { shared: Arc::new(shared), known: Mutex::default(), cache }
    }

    /// The plugins of a library. Its code runs in this process only when a component is built inline or on a thread.
    ///
    /// # Errors
    /// The reason why the library is refused.
    pub fn open(&self, wanted: Wanted<'_>) -> Result<Vec<Plugin>, Refusal> {
        let library = Library::open(wanted.path, wanted.sha256)?;
        let known = self.known.lock().get(&library.sha256).cloned();
        let loaded = match known {
            Some(loaded) => loaded,
            None => {
                let description = described(&library, &self.shared.program, self.cache.as_deref())?;
                let loaded = Arc::new(Loaded::new(library, description, Arc::clone(&self.shared)));
                let mut known = self.known.lock();
                Arc::clone(known.entry(loaded.description.sha256.clone()).or_insert(loaded))
            }
        };
        Ok(loaded.plugins())
    }

    /// The number of libraries loaded into this process. It never decreases, because libraries are not unloaded.
    pub fn resident(&self) -> usize {
        self.shared.resident.load(Ordering::Relaxed)
    }
}

/// A described library, loaded into this process when a component needs it here.
struct Loaded {
    title: String,
    description: Description,
    library: Library,
    module: OnceLock<Result<Module, Refusal>>,
    shared: Arc<Shared>,
}

impl Loaded {
    fn new(library: Library, description: Description, shared: Arc<Shared>) -> Self {
        Self {
            title: format!("{} {} ({})", description.id, description.version, library.path.display()),
            description,
            library,
            module: OnceLock::new(),
            shared,
        }
    }

    fn plugins(self: &Arc<Self>) -> Vec<Plugin> {
        let all = self.description.plugins.iter();
        let plugin = |one: &Described| {
            let isolation = self.isolation(one);
            let placement = Placement { isolation, ..Placement::default() };
            Some(Plugin::foreign(
                one.manual()?,
                Arc::clone(self) as Arc<dyn tidegate_sdk::Library>,
                placement,
            ))
        };
        all.filter_map(plugin).collect()
    }

    /// The isolation of a plugin unless the pipeline file sets another.
    fn isolation(&self, plugin: &Described) -> Isolation {
        let needs_process = self.description.flags & (flag::PANIC_ABORT | flag::FOREIGN_RUNTIME) != 0;
        if needs_process || plugin.caps & cap::PROCESS != 0 { Isolation::Process } else { Isolation::Inline }
    }

    /// The library, loaded into this process.
    fn module(&self) -> Result<&Module, Refusal> {
        let load = || {
            let module = Module::load(self.library.clone(), self.shared.host)?;
            self.shared.resident.fetch_add(1, Ordering::Relaxed);
            Ok(module)
        };
        self.module.get_or_init(load).as_ref().map_err(Clone::clone)
    }

    fn child_process(
        &self,
        plugin: &Plugin,
        call_time: Duration,
    ) -> Result<Arc<dyn InstanceFactory>, ConfigError> {
        let spawner = self.shared.spawner().map_err(|error| ConfigError::at("", error))?;
        Ok(Arc::new(ChildProcess {
            library: self.library.clone(),
            kind: plugin.kind(),
            plugin: plugin.name().to_owned(),
            spawner,
            call_time,
        }))
    }

    fn factory(
        &self,
        plugin: &Plugin,
        placement: &Placement,
    ) -> Result<Arc<dyn InstanceFactory>, ConfigError> {
        if placement.isolation == Isolation::Process {
            return self.child_process(plugin, placement.call_time.0);
        }
        let module = self.module().map_err(|refusal| ConfigError::at("", refusal.0))?;
        let found = module
            .plugins
            .iter()
            .find(|(manual, _)| manual.kind == plugin.kind() && manual.name == plugin.name());
        let Some((_, tables)) = found else {
            let message = format!("{} has no {} `{}`", self.title, plugin.kind(), plugin.name());
            return Err(ConfigError::at("", message));
        };
        let thread = placement.isolation == Isolation::Thread;
        let mode = CallMode { thread, call_time: placement.call_time.0 };
        Ok(InProcess { tables: *tables, host: self.shared.host, mode }.shared())
    }
}

impl tidegate_sdk::Library for Loaded {
    fn title(&self) -> &str {
        &self.title
    }

    fn identity(&self) -> &str {
        &self.description.sha256
    }

    fn build(
        &self,
        plugin: &Plugin,
        options: &Value,
        placement: &Placement,
    ) -> Result<Component, ConfigError> {
        let factory = self.factory(plugin, placement)?;
        let context = InstanceContext {
            component: plugin.name().to_owned(),
            event_size: tidegate_sdk::Cx::EVENT_SIZE.as_usize(),
        };
        let (component, capabilities) = factory.create(options, &context)?;
        let spec = InstanceSpec {
            factory,
            options: options.clone(),
            capabilities,
            plugin: plugin.name().to_owned(),
            strict: self.shared.strict,
        };
        Ok(match component {
            Component::Source(_) => Component::Source(Box::new(RestartingSource::new(spec))),
            Component::Filter(instance) => {
                Component::Filter(Box::new(RestartingPlainFilter::new(spec, instance)))
            }
            Component::AsyncFilter(_) => Component::AsyncFilter(Box::new(RestartingFilter::new(spec))),
            Component::Sink(_) => Component::Sink(Box::new(RestartingSink::new(spec))),
        })
    }
}
