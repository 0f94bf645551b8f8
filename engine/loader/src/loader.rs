//! The front door: from the path of a library to its plugins.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::Value;
use tidegate_abi::{cap, flag};
use tidegate_sdk::{Component, ConfigError, Isolation, Placement, Plugin};

use crate::host_table::HostTable;
use crate::instance::CallMode;
use crate::instance::in_process::InProcess;
use crate::library::describe::{Described, Description, described};
use crate::library::file::{Library, Refusal};
use crate::library::handshake::Module;
use crate::link::{InstanceContext, InstanceFactory, Link};
use crate::process::{ChildProcess, Spawner};
use crate::restart::{
    InstanceSpec, RestartingFilter, RestartingPlainFilter, RestartingSink, RestartingSource,
};

/// A library that somebody asks for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Its file.
    pub path: &'a Path,
    /// What the file must hash to, in hexadecimal digits.
    pub sha256: Option<&'a str>,
}

/// Loads libraries, each once, and keeps them.
pub struct Loader {
    shared: Arc<Shared>,
    /// By the hash of the file.
    known: Mutex<HashMap<String, Arc<Loaded>>>,
    cache: Option<PathBuf>,
}

struct Shared {
    hub: &'static HostTable,
    program: PathBuf,
    resident: AtomicUsize,
    strict: bool,
    /// Where processes are started, once one is.
    nursery: OnceLock<Result<Arc<Spawner>, String>>,
}

impl Shared {
    fn nursery(&self) -> Result<Arc<Spawner>, String> {
        let start = || match Spawner::new(self.program.clone()) {
            Ok(nursery) => Ok(Arc::new(nursery)),
            Err(error) => Err(format!("no process can be started: {error}")),
        };
        self.nursery.get_or_init(start).clone()
    }
}

impl Loader {
    /// A loader. `program` is this program, which it starts for what it does not do in this process; in `cache` it keeps
    /// what it found out about libraries.
    pub fn new(program: PathBuf, cache: Option<PathBuf>) -> Self {
        Self::made(program, cache, false)
    }

    /// A loader whose components are not made whole again when they break: the call fails for good, and says how. For
    /// checking a library.
    pub fn strict(program: PathBuf) -> Self {
        Self::made(program, None, true)
    }

    fn made(program: PathBuf, cache: Option<PathBuf>, strict: bool) -> Self {
        let (hub, resident, nursery) = (HostTable::leaked(), AtomicUsize::new(0), OnceLock::new());
        let shared = Shared { hub, program, resident, strict, nursery };
        Self { shared: Arc::new(shared), known: Mutex::default(), cache }
    }

    /// The plugins of a library. None of its code runs in this process before a component is built inline or in a thread.
    ///
    /// # Errors
    /// Why it is refused.
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

    /// How many libraries' code is in this process. It only grows: code that was loaded stays.
    pub fn resident(&self) -> usize {
        self.shared.resident.load(Ordering::Relaxed)
    }
}

/// A library that is known, and loaded once it is needed here.
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

    /// Where it runs unless the pipeline file says otherwise.
    fn isolation(&self, plugin: &Described) -> Isolation {
        let apart = self.description.flags & (flag::PANIC_ABORT | flag::FOREIGN_RUNTIME) != 0;
        match apart || plugin.caps & cap::PROCESS != 0 {
            true => Isolation::Process,
            false => Isolation::Inline,
        }
    }

    /// Its code, in this process.
    fn module(&self) -> Result<&Module, Refusal> {
        let load = || {
            let module = Module::load(self.library.clone(), self.shared.hub)?;
            self.shared.resident.fetch_add(1, Ordering::Relaxed);
            Ok(module)
        };
        self.module.get_or_init(load).as_ref().map_err(Clone::clone)
    }

    fn apart(&self, plugin: &Plugin, call_time: Duration) -> Result<Arc<dyn InstanceFactory>, ConfigError> {
        let nursery = self.shared.nursery().map_err(|error| ConfigError::at("", error))?;
        Ok(Arc::new(ChildProcess {
            library: self.library.clone(),
            kind: plugin.kind(),
            plugin: plugin.name().to_owned(),
            nursery,
            call_time,
        }))
    }

    fn home(&self, plugin: &Plugin, placement: &Placement) -> Result<Arc<dyn InstanceFactory>, ConfigError> {
        if placement.isolation == Isolation::Process {
            return self.apart(plugin, placement.call_time.0);
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
        let manner = CallMode { thread, call_time: placement.call_time.0 };
        Ok(InProcess { tables: *tables, hub: self.shared.hub, manner }.shared())
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
        let home = self.home(plugin, placement)?;
        let who = InstanceContext {
            component: plugin.name().to_owned(),
            event_size: tidegate_sdk::Cx::EVENT_SIZE.as_usize(),
        };
        let (link, facts) = home.create(options, &who)?;
        let recipe = InstanceSpec {
            home,
            options: options.clone(),
            facts,
            plugin: plugin.name().to_owned(),
            strict: self.shared.strict,
        };
        Ok(match link {
            Link::Source(_) => Component::Source(Box::new(RestartingSource::new(recipe))),
            Link::Filter(mut link) => match link.plain().is_some() {
                true => Component::Filter(Box::new(RestartingPlainFilter::new(recipe, link))),
                false => Component::AsyncFilter(Box::new(RestartingFilter::new(recipe))),
            },
            Link::Sink(_) => Component::Sink(Box::new(RestartingSink::new(recipe))),
        })
    }
}
