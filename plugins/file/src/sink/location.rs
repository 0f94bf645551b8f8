//! Paths that a sink writes to, resolved again for each use.
//!
//! A rendered path stays below the literal folder of its template, also if a folder on the way is replaced by a symbolic
//! link after a check. So such a path is never passed to the system as a whole: the literal folder is opened, and the rest
//! is resolved beneath it.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use tidegate_sdk::Template;

/// Flags that open a folder, which need no right to list it.
#[cfg(any(target_os = "linux", target_os = "android"))]
const FOLDER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::CLOEXEC);

/// Location of one file of a sink.
#[derive(Clone, Debug)]
pub(crate) struct Location {
    path: PathBuf,
    /// For a rendered path: the folder that it stays below, and the path within it.
    beneath: Option<(PathBuf, PathBuf)>,
}

/// Properties of the file that a name leads to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub(crate) device: u64,
    pub(crate) inode: u64,
    pub(crate) length: u64,
    pub(crate) kind: FileType,
}

/// Open folder, with the name of a file in it.
pub(crate) struct Folder {
    fd: OwnedFd,
    name: OsString,
    /// Tells whether the name may be a link.
    follow: bool,
}

impl Location {
    /// Returns the location of `path`, which `template` has rendered.
    pub(crate) fn new(template: &Template, path: &str) -> Self {
        let beneath = template.as_literal().is_none().then(|| {
            let start = template.prefix().rfind('/').map_or(0, |end| end + 1);
            let root = match start {
                0 => ".",
                1 => "/",
                end => &path[..end - 1],
            };
            (root.into(), path[start..].into())
        });
        Self { path: path.into(), beneath }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the folder that a rendered path stays below.
    pub(crate) fn root(&self) -> Option<&Path> {
        self.beneath.as_ref().map(|(root, _)| root.as_path())
    }

    /// Opens the folder of the file.
    pub(crate) fn folder(&self) -> io::Result<Folder> {
        let name = self.path.file_name().ok_or(Errno::INVAL)?.to_owned();
        let fd = match &self.beneath {
            None => fs::openat(CWD, parent(&self.path), FOLDER, Mode::empty())?,
            Some((root, rest)) => open_beneath(&open_root(root)?, parent(rest))?,
        };
        Ok(Folder { fd, name, follow: self.beneath.is_none() })
    }

    /// Opens the folder of the file, and creates it if it does not exist.
    pub(crate) fn make_folder(&self) -> io::Result<Folder> {
        match self.folder() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            opened => return opened,
        }
        match &self.beneath {
            None => std::fs::create_dir_all(parent(&self.path))?,
            Some((root, rest)) => {
                std::fs::create_dir_all(root)?;
                let root = open_root(root)?;
                make_beneath(&root, parent(rest))?;
            }
        }
        self.folder()
    }

    /// Returns the properties of the file that the path leads to now.
    pub(crate) fn known(&self) -> io::Result<Known> {
        self.folder()?.known()
    }
}

impl Folder {
    pub(crate) fn name(&self) -> &OsStr {
        &self.name
    }

    /// Opens the file with these flags and those that every file needs.
    pub(crate) fn open(&self, flags: OFlags) -> io::Result<File> {
        let link = if self.follow { OFlags::empty() } else { OFlags::NOFOLLOW };
        // Opening a pipe without a reader would block. For regular files the flag has no effect.
        let flags = flags | link | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        Ok(fs::openat(&self.fd, &self.name, flags, Mode::from_raw_mode(0o666))?.into())
    }

    /// Returns the properties of the file that the name leads to.
    pub(crate) fn known(&self) -> io::Result<Known> {
        self.stat(&self.name)
    }

    /// Tells whether the name exists.
    pub(crate) fn has(&self, name: &OsStr) -> bool {
        fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    /// Renames the file.
    pub(crate) fn rename(&self, to: &OsStr) -> io::Result<()> {
        Ok(fs::renameat(&self.fd, &self.name, &self.fd, to)?)
    }

    pub(crate) fn remove(&self, name: &OsStr) -> io::Result<()> {
        Ok(fs::unlinkat(&self.fd, name, AtFlags::empty())?)
    }

    /// Lists the names in the folder.
    pub(crate) fn names(&self) -> io::Result<Vec<OsString>> {
        use std::os::unix::ffi::OsStrExt;
        let entries = fs::Dir::read_from(self.listable()?)?;
        let name = |entry: rustix::io::Result<fs::DirEntry>| {
            Ok(OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned())
        };
        entries.map(name).collect()
    }

    /// Makes changes of names durable.
    pub(crate) fn sync(&self) -> io::Result<()> {
        Ok(fs::fsync(self.listable()?)?)
    }

    fn listable(&self) -> io::Result<OwnedFd> {
        Ok(fs::openat(&self.fd, ".", OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
    }

    fn stat(&self, name: &OsStr) -> io::Result<Known> {
        let flags = if self.follow { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW };
        let known = fs::statat(&self.fd, name, flags)?;
        Ok(Known {
            device: known.st_dev,
            inode: known.st_ino,
            length: known.st_size as u64,
            kind: FileType::from_raw_mode(known.st_mode),
        })
    }
}

/// Tells whether a path was refused because of a link on the way.
pub(crate) fn is_link_refused(error: &io::Error) -> bool {
    Errno::from_io_error(error).is_some_and(|errno| errno == Errno::XDEV || errno == Errno::LOOP)
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn open_root(root: &Path) -> io::Result<OwnedFd> {
    Ok(fs::openat(CWD, root, FOLDER, Mode::empty())?)
}

/// Opens a folder below `root`. Links are followed as long as they stay below it.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn open_beneath(root: &OwnedFd, folder: &Path) -> io::Result<OwnedFd> {
    use rustix::fs::ResolveFlags;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    for _ in 0..TRIES {
        match fs::openat2(root, folder, FOLDER, Mode::empty(), resolve) {
            Ok(fd) => return Ok(fd),
            // A rename at the same time keeps the system from being sure.
            Err(Errno::AGAIN) => {}
            // Kernels before 5.6, and sandboxes that do not know the call.
            Err(Errno::NOSYS | Errno::PERM) => return open_step_by_step(root, folder),
            Err(error) => return Err(error.into()),
        }
    }
    Err(Errno::AGAIN.into())
}

#[cfg(any(target_os = "linux", target_os = "android"))]
const TRIES: usize = 100;

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn open_beneath(root: &OwnedFd, folder: &Path) -> io::Result<OwnedFd> {
    open_step_by_step(root, folder)
}

/// Opens a folder below `root`, one name after the other. None of them may be a link.
fn open_step_by_step(root: &OwnedFd, folder: &Path) -> io::Result<OwnedFd> {
    let mut fd = root.try_clone()?;
    for name in folder {
        let next = fs::openat(&fd, name, FOLDER | OFlags::NOFOLLOW, Mode::empty());
        fd = match next {
            Ok(next) => next,
            Err(error) => {
                let known = fs::statat(&fd, name, AtFlags::SYMLINK_NOFOLLOW);
                let is_link =
                    known.is_ok_and(|known| FileType::from_raw_mode(known.st_mode) == FileType::Symlink);
                return Err(if is_link { Errno::LOOP } else { error }.into());
            }
        };
    }
    Ok(fd)
}

fn make_beneath(root: &OwnedFd, folder: &Path) -> io::Result<()> {
    let mut above = root.try_clone()?;
    let mut here = PathBuf::new();
    for name in folder {
        here.push(name);
        let opened = open_beneath(root, &here);
        above = match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                match fs::mkdirat(&above, name, Mode::from_raw_mode(0o777)) {
                    // A link that leads nowhere fails when it is opened.
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(error) => return Err(error.into()),
                }
                open_beneath(root, &here).map_err(|error| match error.kind() {
                    io::ErrorKind::NotFound => Errno::LOOP.into(),
                    _ => error,
                })?
            }
            opened => opened?,
        };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    type Open = fn(&OwnedFd, &Path) -> io::Result<OwnedFd>;

    #[test]
    fn no_link_leads_out_with_or_without_openat2() {
        let folder = tempfile::TempDir::new().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("root/a/b")).unwrap();
        std::fs::create_dir(at("outside")).unwrap();
        symlink(at("outside"), at("root/absolute")).unwrap();
        symlink("../outside", at("root/relative")).unwrap();
        symlink("../../outside", at("root/a/up")).unwrap();
        std::fs::write(at("root/file"), "").unwrap();
        let root = open_root(&at("root")).unwrap();
        for open in [open_beneath as Open, open_step_by_step] {
            assert!(open(&root, Path::new("a/b")).is_ok());
            for link in ["absolute", "relative", "a/up", "relative/deeper"] {
                let error = open(&root, Path::new(link)).unwrap_err();
                assert!(is_link_refused(&error), "{link}: {error}");
            }
            let error = open(&root, Path::new("file")).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotADirectory);
        }
    }

    #[test]
    fn folders_are_created_only_below_the_root() {
        let folder = tempfile::TempDir::new().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("root")).unwrap();
        symlink("../made", at("root/nowhere")).unwrap();
        let root = open_root(&at("root")).unwrap();
        make_beneath(&root, Path::new("a/b/c")).unwrap();
        assert!(at("root/a/b/c").is_dir());
        assert!(is_link_refused(&make_beneath(&root, Path::new("nowhere/x")).unwrap_err()));
        assert!(!at("made").exists());
    }
}
