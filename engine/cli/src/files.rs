//! Pipeline files: finds, reads and checks them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Read;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tidegate_config::{Claimed, Diagnostic, Environment, Override, Pipeline, Severity, Text};
use tidegate_sdk::{Resource, Size};

use crate::options::Sources;
use crate::registry::Plugins;
use crate::terminal::Paint;
use crate::terminal::quantity::plural;

/// Size limit of a pipeline file. A longer one was given by mistake (the data instead of the pipeline).
const FILE_LIMIT: Size = Size(4 << 20);
/// Size limit of a secret file.
const SECRET_LIMIT: Size = Size(64 << 10);

/// A readable pipeline file with its diagnostics.
pub(crate) struct CheckedFile {
    /// Path and text.
    pub(crate) text: Text,
    /// Problems in the file.
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// Pipeline, if the file has no error.
    pub(crate) pipeline: Option<Pipeline>,
    /// Libraries of the file that do not exist.
    missing_libraries: Vec<PathBuf>,
}

/// All pipeline files of a command.
pub(crate) struct Files {
    /// Readable files.
    pub(crate) checked: Vec<CheckedFile>,
    /// Problems outside of a file: a missing path, two files with one id.
    pub(crate) problems: Vec<String>,
    /// Warnings outside of a file: stored positions that no file has a source for.
    pub(crate) warnings: Vec<String>,
    /// Files that are not checked, each with the reason.
    pub(crate) skipped: Vec<(String, String)>,
}

impl Files {
    /// Reads and checks every file. Compares them with each other and with the address of the admin server.
    pub(crate) fn load(sources: &Sources, plugins: &Plugins, admin: Option<SocketAddr>) -> Self {
        let (paths, mut problems) = expand(&sources.paths);
        let known = match plugins.with(&sources.libraries) {
            Ok(known) => known,
            Err(failure) => {
                problems.push(failure.message);
                plugins.clone()
            }
        };
        let mut texts = Vec::new();
        for path in paths {
            match read(&path, FILE_LIMIT) {
                Ok(text) => texts.push(Text { path: path.display().to_string(), text }),
                Err(problem) => problems.push(problem),
            }
        }
        let (mut checked, mut claims) = (Vec::new(), Vec::new());
        for (text, overrides) in with_overrides(texts, &sources.overrides) {
            let folder = Path::new(&text.path).parent().unwrap_or(Path::new("")).to_owned();
            let missing = RefCell::new(Vec::new());
            let library = |name: &str, sha256: Option<&str>| {
                let path = folder.join(name.trim_start_matches("./"));
                if name.contains('/') && !path.exists() {
                    missing.borrow_mut().push(path);
                }
                known.open(&folder, name, sha256)
            };
            let environment =
                Environment { variable: &variable, secret_file: &secret_file, library: &library };
            let loaded = tidegate_config::load(&text, &known.registry, &environment, &overrides);
            claims.push(loaded.claims);
            checked.push(CheckedFile {
                text,
                diagnostics: loaded.diagnostics,
                pipeline: loaded.pipeline,
                missing_libraries: missing.into_inner(),
            });
        }
        refuse_collisions(&mut checked, &claims, admin);
        problems.extend(shared_ids(&checked));
        Self { checked, problems, warnings: Vec::new(), skipped: Vec::new() }
    }

    /// Skips the files of folders whose only errors are libraries that do not exist, because they are not built yet. A
    /// file that `sources` names itself is never skipped.
    pub(crate) fn skip_unbuilt(&mut self, sources: &Sources) {
        let is_named = |path: &str| sources.paths.iter().any(|one| one == Path::new(path));
        for file in std::mem::take(&mut self.checked) {
            let errors = file.diagnostics.iter().filter(|one| one.severity == Severity::Error);
            let is_unbuilt = !file.missing_libraries.is_empty()
                && errors.clone().all(|one| one.code == "library")
                && errors.count() == file.missing_libraries.len();
            if is_unbuilt && !is_named(&file.text.path) {
                let missing: Vec<String> =
                    file.missing_libraries.iter().map(|path| format!("`{}`", path.display())).collect();
                let reason = format!("{} is not built{}", missing.join(", "), build_command(&file.text.text));
                self.skipped.push((file.text.path, reason));
            } else {
                self.checked.push(file);
            }
        }
    }

    /// Counts the errors and the warnings.
    pub(crate) fn tally(&self) -> (u64, u64) {
        let all = self.checked.iter().flat_map(|file| &file.diagnostics);
        let warnings = all.clone().filter(|one| one.severity == Severity::Warning).count();
        let errors = all.count() - warnings + self.problems.len();
        (errors as u64, (warnings + self.warnings.len()) as u64)
    }

    /// Renders every problem as text.
    pub(crate) fn render(&self, paint: Paint) -> String {
        let mut text = String::new();
        for file in self.checked.iter().filter(|file| !file.diagnostics.is_empty()) {
            text.push_str(tidegate_config::render(&file.diagnostics, &file.text, paint.is_on()).trim_end());
            text.push_str("\n\n");
        }
        for problem in &self.problems {
            text.push_str(&format!("{}: {problem}\n\n", paint.red(&paint.bold("error"))));
        }
        for warning in &self.warnings {
            text.push_str(&format!("{}: {warning}\n\n", paint.yellow(&paint.bold("warning"))));
        }
        for (path, reason) in &self.skipped {
            text.push_str(&format!("{}: {path} is skipped: {reason}\n\n", paint.bold("note")));
        }
        text
    }

    /// Renders the counts: `2 errors, 1 warning`, or `ok: 2 files, 3 graphs`.
    pub(crate) fn verdict(&self) -> String {
        let (errors, warnings) = self.tally();
        let mut warned =
            if warnings > 0 { format!(", {}", plural(warnings, "warning")) } else { String::new() };
        if !self.skipped.is_empty() {
            warned.push_str(&format!(", {} skipped", self.skipped.len()));
        }
        if errors > 0 {
            return format!("{}{warned}", plural(errors, "error"));
        }
        let graphs: usize = self.pipelines().map(|pipeline| pipeline.graphs.len()).sum();
        let files = plural(self.checked.len() as u64, "file");
        format!("ok: {files}, {}{warned}", plural(graphs as u64, "graph"))
    }

    /// Adds warnings of positions in `data_dir` that belong to no source of the files.
    pub(crate) fn compare_with_state(&mut self, data_dir: &Path) {
        self.warnings = tidegate_runtime::orphaned_positions(self.pipelines(), data_dir);
    }

    /// Returns the pipelines without an error.
    pub(crate) fn pipelines(&self) -> impl Iterator<Item = &Pipeline> {
        self.checked.iter().filter_map(|file| file.pipeline.as_ref())
    }
}

/// The commands that the comment at the top of a pipeline file shows: its indented lines that build with a compiler.
fn build_command(text: &str) -> String {
    let comment = text.lines().map_while(|line| line.strip_prefix('#'));
    let is_command = |line: &&str| line.starts_with("  ") && !line.trim().starts_with("tidegate ");
    let commands: Vec<&str> =
        comment.filter(is_command).map(str::trim).filter(|line| !line.is_empty()).collect();
    if commands.is_empty() { String::new() } else { format!("; to build it: {}", commands.join(" && ")) }
}

/// Logs a warning for each source that starts from the beginning under a new name.
pub(crate) fn warn_of_orphaned_positions(pipelines: &[Pipeline], data_dir: &Path) {
    for warning in tidegate_runtime::orphaned_positions(pipelines, data_dir) {
        tracing::warn!("{warning}");
    }
}

/// Lists the files of `paths`, each once, in the given order; those of a folder by name. Also returns problems.
pub(crate) fn expand(paths: &[PathBuf]) -> (Vec<PathBuf>, Vec<String>) {
    let (mut files, mut problems) = (Vec::new(), Vec::new());
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        match pipelines_in(path) {
            Ok(found) if found.is_empty() => {
                problems.push(format!("`{}` has no *.toml file", path.display()));
            }
            Ok(found) => files.extend(found),
            Err(error) => problems.push(format!("`{}` cannot be read: {error}", path.display())),
        }
    }
    let mut seen = BTreeSet::new();
    files.retain(|path| seen.insert(path.canonicalize().unwrap_or_else(|_| path.clone())));
    (files, problems)
}

fn pipelines_in(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in folder.read_dir()? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "toml") && !path.is_dir() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Reads the content of a pipeline file.
pub(crate) fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    read_bytes(path, FILE_LIMIT)
}

fn read_bytes(path: &Path, limit: Size) -> Result<Vec<u8>, String> {
    let shown = path.display();
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| format!("`{shown}` cannot be opened: {error}"))?;
    // One byte more than allowed distinguishes a file at the limit from one over it.
    let taken = file.take(limit.bytes() + 1).read_to_end(&mut bytes);
    taken.map_err(|error| format!("`{shown}` cannot be read: {error}"))?;
    if bytes.len() as u64 > limit.bytes() {
        return Err(format!("`{shown}` is longer than {limit}, so it is no such file"));
    }
    Ok(bytes)
}

fn read(path: &Path, limit: Size) -> Result<String, String> {
    let shown = path.display();
    let bytes = read_bytes(path, limit)?;
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..good].iter().filter(|byte| **byte == b'\n').count() + 1;
        format!("`{shown}` is not UTF-8 text: the first bad byte is on line {line}; save it as UTF-8")
    })
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Reads a secret file without the line end that editors append.
fn secret_file(path: &str) -> Result<String, String> {
    let mut text = read(Path::new(path), SECRET_LIMIT)?;
    text.truncate(text.trim_end_matches(['\n', '\r']).len());
    Ok(text)
}

/// Assigns the overrides to the files that have their component. One that no file has goes to the first file, whose
/// check then reports it.
fn with_overrides(texts: Vec<Text>, overrides: &[Override]) -> Vec<(Text, Vec<Override>)> {
    let mut assigned: Vec<Vec<Override>> = vec![Vec::new(); texts.len()];
    for one in overrides {
        let mut mentioning: Vec<usize> =
            (0..texts.len()).filter(|index| mentions(&texts[*index].text, &one.component)).collect();
        if mentioning.is_empty() && !texts.is_empty() {
            mentioning.push(0);
        }
        for index in mentioning {
            assigned[index].push(one.clone());
        }
    }
    texts.into_iter().zip(assigned).collect()
}

/// Returns true if the text has a table header of this component. `pipeline` is in every file.
fn mentions(text: &str, component: &str) -> bool {
    let headers = text.lines().filter_map(|line| line.trim_start().strip_prefix('[')?.split(']').next());
    let mut names = headers.filter_map(|header| header.split('.').nth(1));
    component == "pipeline" || names.any(|name| name.trim().trim_matches(['"', '\'']) == component)
}

/// Adds a problem to each file with a component that claims the resource of another component.
fn refuse_collisions(files: &mut [CheckedFile], claims: &[Vec<Claimed>], admin: Option<SocketAddr>) {
    let pairs: Vec<(&Text, &[Claimed])> =
        files.iter().zip(claims).map(|(file, claims)| (&file.text, claims.as_slice())).collect();
    let admin = admin.and_then(|address| Resource::listen(&address.to_string()));
    let first_names = RefCell::default();
    let resolve = |resource: &Resource| without_links(resource, &mut first_names.borrow_mut());
    for (index, diagnostic) in tidegate_config::collisions(&pairs, admin.as_ref(), &resolve) {
        if diagnostic.severity == Severity::Error {
            files[index].pipeline = None;
        }
        files[index].diagnostics.push(diagnostic);
    }
}

/// Files with several names, by device and inode, with the first name of each.
type FirstNames = HashMap<(u64, u64), PathBuf>;

/// Returns the resource with the symbolic links of its path followed as far as the path exists. Hard links of one file get
/// one name.
fn without_links(resource: &Resource, first_names: &mut FirstNames) -> Resource {
    match resource {
        Resource::File(path) => {
            let path = real_path(path);
            let known = path.metadata().ok().filter(|known| known.is_file() && known.nlink() > 1);
            Resource::File(match known {
                Some(known) => first_names.entry((known.dev(), known.ino())).or_insert(path).clone(),
                None => path,
            })
        }
        Resource::Files(pattern) => {
            let folder = real_path(pattern.folder());
            Resource::Files(pattern.clone().in_folder(folder))
        }
        Resource::Named(_) | Resource::Listen { .. } => resource.clone(),
    }
}

fn real_path(path: &Path) -> PathBuf {
    // An empty path is the current folder.
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let resolved = whole.ancestors().find_map(|part| {
        let rest = whole.strip_prefix(part).ok()?;
        let real = part.canonicalize().ok()?;
        Some(if rest.as_os_str().is_empty() { real } else { real.join(rest) })
    });
    resolved.unwrap_or(whole)
}

/// Finds pipelines with one id, which would write into each other's state.
fn shared_ids(files: &[CheckedFile]) -> Vec<String> {
    let mut by_id: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for file in files {
        if let Some(pipeline) = &file.pipeline {
            by_id.entry(&pipeline.id).or_default().push(&file.text.path);
        }
    }
    let shared = by_id.into_iter().filter(|(_, paths)| paths.len() > 1);
    let problem = |(id, paths): (&str, Vec<&str>)| {
        format!(
            "the pipeline id `{id}` is shared by {} files: {}; set `[pipeline] id` in all but one",
            paths.len(),
            paths.join(", ")
        )
    };
    shared.map(problem).collect()
}

#[cfg(test)]
mod tests;
