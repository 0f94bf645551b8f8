//! Default folder of the state.

use std::path::{Path, PathBuf};

use super::DataDir;
use crate::exit::Failure;

impl DataDir {
    /// Returns the given folder, or the default of the platform.
    pub(crate) fn resolve(&self) -> Result<PathBuf, Failure> {
        let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
        let folder = self.data_dir.clone().or_else(|| default(&variable, cfg!(target_os = "macos")));
        folder.ok_or_else(|| {
            Failure::wrong("no folder for checkpoints and dead letters: neither HOME nor XDG_STATE_HOME is set; give --data-dir DIR")
        })
    }

    /// Returns the option that selects the same folder in another command.
    pub(crate) fn as_option(&self) -> String {
        self.data_dir.as_deref().map(|dir| format!(" --data-dir {}", quoted(dir))).unwrap_or_default()
    }
}

fn default(variable: &dyn Fn(&str) -> Option<PathBuf>, macos: bool) -> Option<PathBuf> {
    // The XDG base directory specification says that a relative path is ignored.
    let absolute = |name| variable(name).filter(|path: &PathBuf| path.is_absolute());
    // systemd separates several folders by colons; the first one is the unit's own.
    let service = variable("STATE_DIRECTORY").and_then(|list| {
        let first = PathBuf::from(list.to_str()?.split(':').next()?);
        first.is_absolute().then_some(first)
    });
    service.or_else(|| absolute("XDG_STATE_HOME").map(|dir| dir.join("tidegate"))).or_else(|| {
        let below = if macos { "Library/Application Support/tidegate" } else { ".local/state/tidegate" };
        absolute("HOME").map(|home| home.join(below))
    })
}

/// Quotes a path as one word of a shell command.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |one: char| one.is_ascii_alphanumeric() || "/._-+:@%".contains(one);
    if !text.is_empty() && text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn default_with(set: &[(&str, &str)], macos: bool) -> Option<String> {
        let variable =
            |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| PathBuf::from(value));
        default(&variable, macos).map(|path| path.display().to_string())
    }

    #[test]
    fn the_default_follows_the_platform() {
        let home = ("HOME", "/home/me");
        assert_eq!(default_with(&[home], false).unwrap(), "/home/me/.local/state/tidegate");
        assert_eq!(default_with(&[home], true).unwrap(), "/home/me/Library/Application Support/tidegate");
        assert_eq!(default_with(&[home, ("XDG_STATE_HOME", "/s")], false).unwrap(), "/s/tidegate");
        assert_eq!(
            default_with(&[home, ("XDG_STATE_HOME", "s")], false).unwrap(),
            "/home/me/.local/state/tidegate"
        );
        let service = ("STATE_DIRECTORY", "/var/lib/tidegate:/var/lib/other");
        assert_eq!(default_with(&[home, service], false).unwrap(), "/var/lib/tidegate");
        assert_eq!(default_with(&[], false), None);
    }

    #[test]
    fn the_option_can_be_pasted() {
        let option = |dir: &str| DataDir { data_dir: Some(dir.into()) }.as_option();
        assert_eq!(option("./state"), " --data-dir ./state");
        assert_eq!(option("my state"), " --data-dir 'my state'");
        assert_eq!(option("it's"), r" --data-dir 'it'\''s'");
        assert_eq!(DataDir { data_dir: None }.as_option(), "");
    }
}
