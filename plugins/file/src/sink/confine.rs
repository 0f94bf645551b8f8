//! Paths that come from the data stay under the folder that the template writes out.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tidegate_sdk::Template;

/// The folder that everything rendered from `template` stays under.
pub(crate) fn folder(template: &Template) -> &Path {
    let prefix = template.prefix();
    match prefix.rfind('/') {
        Some(0) => Path::new("/"),
        Some(end) => Path::new(&prefix[..end]),
        None => Path::new("."),
    }
}

/// Whether `rendered` names a file under the literal folder of `template`, as far as its text tells.
pub(crate) fn check(template: &Template, rendered: &str) -> Result<(), String> {
    let literal = template.prefix().rfind('/').map_or(0, |end| end + 1);
    let from_data = &rendered[literal..];
    if from_data.contains('\0') {
        return Err(format!("`{}` has a NUL in it, which no path may", from_data.escape_debug()));
    }
    if let Some(part) = from_data.split('/').find(|part| matches!(*part, "" | "." | "..")) {
        let folder = folder(template).display();
        let what = if part.is_empty() { "an empty name" } else { part };
        return Err(format!(
            "`{}` has `{what}` in it and may leave the folder {folder}",
            from_data.escape_debug()
        ));
    }
    if from_data.split('/').any(|part| part.len() > 255) || rendered.len() > 4000 {
        return Err(format!("a file name of {} bytes is too long", from_data.len()));
    }
    Ok(())
}

/// Makes the folders of `path`, never through a symbolic link that leads out of `root`.
///
/// # Errors
/// `Ok(Err(..))` if the path does lead out of it.
pub(crate) fn make_folders(root: &Path, path: &Path) -> io::Result<Result<(), String>> {
    fs::create_dir_all(root)?;
    let root = root.canonicalize()?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let there = parent.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("."));
    let there = if there.as_os_str().is_empty() { Path::new(".") } else { there };
    if let Some(outside) = leaves(&root, there)? {
        return Ok(Err(outside));
    }
    fs::create_dir_all(parent)?;
    let is_link = fs::symlink_metadata(path).is_ok_and(|known| known.is_symlink());
    Ok(match is_link {
        true => leaves(&root, path)?.map_or(Ok(()), Err),
        false => Ok(()),
    })
}

/// Whether the file at `path` has no other name, by a symbolic or a hard link: what is appended under one
/// would be cut off under the other.
pub(crate) fn one_name(template: &Template, path: &Path) -> Result<(), String> {
    let root = folder(template);
    let rest = path.strip_prefix(root).unwrap_or(path);
    let mut here = root.to_owned();
    for part in rest {
        here.push(part);
        let Ok(known) = fs::symlink_metadata(&here) else { break };
        if known.is_symlink() || (known.is_file() && known.nlink() > 1) {
            return Err(format!("{} is a link, so the file has more than one name", here.display()));
        }
    }
    Ok(())
}

fn leaves(root: &Path, path: &Path) -> io::Result<Option<String>> {
    let real: PathBuf = match path.canonicalize() {
        Ok(real) => real,
        // A link that leads nowhere would be made wherever it points.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Some(format!("{} is a symbolic link that leads nowhere", path.display())));
        }
        Err(error) => return Err(error),
    };
    let outside = !real.starts_with(root);
    Ok(outside.then(|| format!("{} is a symbolic link that leads out of {}", path.display(), root.display())))
}
