//! `tidegate new`: writes a pipeline file or a plugin project.

pub(crate) mod arguments;
mod plugin;

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::exit::{Exit, Failure};
use crate::terminal;
use arguments::New;

/// Template of a pipeline file. `NAME` stands for its path.
const PIPELINE: &str = include_str!("new/pipeline.toml");

/// Writes the file or the project.
pub(crate) fn new(what: &New) -> Result<Exit, Failure> {
    match what {
        New::Pipeline { name, dir } => {
            let path = write_pipeline(name, dir)?;
            terminal::err(&format!("wrote {path}; run it with\n  tidegate run {path}\n"));
        }
        New::Plugin(new) => terminal::err(&plugin::write(new)?),
    }
    Ok(Exit::Done)
}

fn write_pipeline(name: &str, dir: &Path) -> Result<String, Failure> {
    let allowed = |one: char| one.is_ascii_alphanumeric() || "._-".contains(one);
    if name.is_empty() || name.len() > 64 || !name.chars().all(allowed) || name.starts_with(['.', '-']) {
        return Err(Failure::wrong(format!(
            "`{name}` cannot be the name of a pipeline; use 1 to 64 ASCII characters of a-z, A-Z, 0-9, `.`, `-` and `_`, not beginning with `.` or `-`"
        )));
    }
    let file = format!("{name}.toml");
    let path = if dir == Path::new(".") { PathBuf::from(file) } else { dir.join(file) };
    let shown = path.display().to_string();
    let text = PIPELINE.replace("NAME", &shown);
    // `create_new` never overwrites a file of another process.
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&path)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    match written {
        Ok(()) => Ok(shown),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            Err(Failure::wrong(format!("`{shown}` exists already; choose another name or folder")))
        }
        Err(error) => Err(Failure::failed(format!("`{shown}` cannot be written: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_written_once_and_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = write_pipeline("hello", folder.path()).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(&format!("tidegate run {path}\n")), "{text}");
        assert!(!text.contains("NAME"), "{text}");
        std::fs::write(&path, "mine").unwrap();
        assert!(
            write_pipeline("hello", folder.path())
                .unwrap_err()
                .message
                .ends_with("choose another name or folder")
        );
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    }

    #[test]
    fn the_template_passes_check() {
        let text = tidegate_config::Text { path: "hello.toml".into(), text: PIPELINE.into() };
        let environment = tidegate_config::Environment {
            variable: &|_| None,
            secret_file: &|path| Err(path.to_owned()),
            library: &|path, _| Err(path.to_owned()),
        };
        let loaded = tidegate_config::load(&text, &crate::registry::builtin::registry(), &environment, &[]);
        let report = tidegate_config::render(&loaded.diagnostics, &text, false);
        assert!(loaded.diagnostics.is_empty(), "{report}");
        assert_eq!(loaded.pipeline.unwrap().graphs.len(), 1);
    }

    #[test]
    fn a_name_stays_in_its_folder() {
        for name in ["", "../x", "a/b", ".hidden", "-x", &"x".repeat(65)] {
            assert_eq!(write_pipeline(name, Path::new(".")).unwrap_err().exit, Exit::Wrong, "{name}");
        }
    }
}
