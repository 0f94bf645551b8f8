//! The description of a library, made by a child process, so that a library that crashes when it is loaded crashes there.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidegate_sdk::{Kind, Manual};

use crate::exit_status::death;
use crate::host_table::HostTable;
use crate::library::file::{Library, Refusal};
use crate::library::handshake::Module;

/// Time limit for loading and describing a library.
const PATIENCE: Duration = Duration::from_secs(20);
/// Interval between checks whether the child has ended.
const LOOK: Duration = Duration::from_millis(2);
/// The limit for a description, in bytes.
const DESCRIPTION: u64 = 64 << 20;

/// The description of a library.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Description {
    /// SHA-256 of its file.
    pub sha256: String,
    /// Its id.
    pub id: String,
    /// Its version.
    pub version: String,
    /// Its flags.
    pub flags: u32,
    /// Its plugins.
    pub plugins: Vec<Described>,
}

/// A plugin of a library.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Described {
    /// `source`, `filter` or `sink`.
    pub kind: String,
    /// Its name in a pipeline file.
    pub name: String,
    /// Its purpose.
    pub summary: String,
    /// A piece of a pipeline file that uses it.
    pub sample: String,
    /// The schema of its options.
    pub schema: Value,
    /// Its capabilities, as bits.
    pub caps: u32,
}

impl Described {
    /// The manual for the engine; `None` if the kind is unknown.
    pub(crate) fn manual(&self) -> Option<Manual> {
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == self.kind)?;
        let Self { name, summary, sample, schema, .. } = self.clone();
        Some(Manual { kind, name, summary, sample, schema })
    }
}

/// Loads the library into this process, which exists for nothing else, and describes it.
///
/// # Errors
/// The reason why the library is refused.
pub fn describe(path: &Path, sha256: Option<&str>) -> Result<Description, Refusal> {
    let library = Library::open(path, sha256)?;
    let sha256 = library.sha256.clone();
    let module = Module::load(library, HostTable::leaked())?;
    let plugins = module.plugins.into_iter().map(|(manual, tables)| Described {
        kind: manual.kind.name().to_owned(),
        name: manual.name,
        summary: manual.summary,
        sample: manual.sample,
        schema: manual.schema,
        caps: tables.caps,
    });
    Ok(Description {
        sha256,
        id: module.id,
        version: module.version,
        flags: module.flags,
        plugins: plugins.collect(),
    })
}

/// Describes the library in a child process of `program`, which is this program, or returns the cached description.
pub(crate) fn described(
    library: &Library,
    program: &Path,
    cache: Option<&Path>,
) -> Result<Description, Refusal> {
    let kept = cache.map(|cache| kept_at(cache, &library.sha256));
    let known = kept.as_deref().and_then(|kept| std::fs::read(kept).ok());
    let known = known.and_then(|text| serde_json::from_slice::<Description>(&text).ok());
    if let Some(known) = known.filter(|known| known.sha256 == library.sha256) {
        return Ok(known);
    }
    let text = ask(library, program)?;
    let description: Description = serde_json::from_str(&text).map_err(|error| {
        Refusal(format!("`{}` has an unreadable description: {error}", library.path.display()))
    })?;
    if let Some(kept) = kept {
        keep(&kept, &text);
    }
    Ok(description)
}

fn kept_at(cache: &Path, sha256: &str) -> PathBuf {
    cache.join(format!("{sha256}-{}.json", env!("CARGO_PKG_VERSION")))
}

/// Caches the description. If that fails, the library is described again next time.
fn keep(path: &Path, text: &str) {
    let new = path.with_extension(format!("{}.new", std::process::id()));
    let folder = path.parent().unwrap_or(Path::new("."));
    let (mut folders, mut options) = (DirBuilder::new(), OpenOptions::new());
    folders.recursive(true).mode(0o700);
    options.write(true).create(true).truncate(true).mode(0o600);
    let kept = folders
        .create(folder)
        .and_then(|()| options.open(&new)?.write_all(text.as_bytes()))
        .and_then(|()| std::fs::rename(&new, path));
    if let Err(error) = kept {
        tracing::debug!("`{}` cannot be cached: {error}", path.display());
    }
}

/// Runs the child process and returns the last line of its output.
fn ask(library: &Library, program: &Path) -> Result<String, Refusal> {
    let refuse = |why: String| Refusal(format!("`{}` {why}", library.path.display()));
    let mut child = Command::new(program)
        .args(["plugin-host", "--describe"])
        .arg(&library.path)
        .args(["--sha256", &library.sha256])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| {
            refuse(format!("cannot be described: `{}` does not start: {error}", program.display()))
        })?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let reading = std::thread::spawn(move || text_of(stdout));
    let complaining = std::thread::spawn(move || text_of(stderr));
    let since = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Some(status),
            Ok(None) if since.elapsed() < PATIENCE => std::thread::sleep(LOOK),
            _ => {
                // The child may have ended already.
                let _ = child.kill();
                let _ = child.wait();
                break None;
            }
        }
    };
    let (said, complained) = (reading.join().unwrap_or_default(), complaining.join().unwrap_or_default());
    match status {
        Some(status) if status.success() => Ok(said.lines().last().unwrap_or_default().to_owned()),
        // The reason of a refusal is the last line on standard error.
        Some(status) if status.code() == Some(2) => {
            Err(Refusal(complained.lines().last().unwrap_or("it is refused without a reason").to_owned()))
        }
        Some(status) => Err(refuse(format!("{} when it is loaded, so it is not", death(status)))),
        None => Err(refuse(format!("takes more than {PATIENCE:?} to be loaded, so it is not"))),
    }
}

fn text_of(stream: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        // After an error, the bytes so far are used.
        let _ = stream.take(DESCRIPTION).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
