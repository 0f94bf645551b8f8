use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};

use tempfile::TempDir;

use super::*;

/// The names below the folder of what the paths lead to.
fn list(folder: &TempDir, paths: &[&str]) -> (Vec<String>, Vec<String>) {
    let paths: Vec<String> = paths.iter().map(|path| format!("{}/{path}", folder.path().display())).collect();
    let listed = Listing::new(&paths).unwrap().files().unwrap();
    let name = |path: &Path| shown(path.strip_prefix(folder.path()).unwrap());
    let problems = listed.problems.iter().map(|(path, error)| format!("{}: {}", name(path), reason(error)));
    (listed.files.iter().map(|seen| name(&seen.path)).collect(), problems.collect())
}

fn folder(files: &[&str]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for file in files {
        let path = folder.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, file).unwrap();
    }
    folder
}

fn none() -> Vec<String> {
    Vec::new()
}

#[test]
fn globs_match_as_a_shell_does() {
    let folder = folder(&["a.log", "b.txt", ".c.log", "d/a.log", "d/e/b.log", "d/.f/c.log", "[x].log"]);
    for (path, expected) in [
        ("*.log", vec!["[x].log", "a.log"]),
        (".*.log", vec![".c.log"]),
        ("*/*.log", vec!["d/a.log"]),
        ("**/*.log", vec!["[x].log", "a.log", "d/a.log", "d/e/b.log"]),
        ("d/**", vec!["d/a.log", "d/e/b.log"]),
        ("**/e/*", vec!["d/e/b.log"]),
        ("d/.f/*", vec!["d/.f/c.log"]),
        ("*/a.log", vec!["d/a.log"]),
        ("[x].log", vec!["[x].log"]),
        ("d/**/**/b.log", vec!["d/e/b.log"]),
    ] {
        assert_eq!(list(&folder, &[path]).0, expected, "{path}");
    }
}

#[test]
fn names_are_bytes() {
    let folder = folder(&["a.log"]);
    let bad = OsStr::from_bytes(b"b\xff.log");
    fs::write(folder.path().join(bad), "x").unwrap();
    fs::create_dir(folder.path().join(OsStr::from_bytes(b"d\xfe"))).unwrap();
    fs::write(folder.path().join(OsStr::from_bytes(b"d\xfe/c.log")), "x").unwrap();
    assert_eq!(list(&folder, &["*.log"]).0, ["a.log", "b\\xff.log"]);
    assert_eq!(list(&folder, &["**/*.log"]).0, ["a.log", "b\\xff.log", "d\\xfe/c.log"]);
    assert_eq!(list(&folder, &["?.log"]).0, ["a.log"], "a byte that is no text counts as one character");
    assert_eq!(list(&folder, &["??.log"]).0, ["b\\xff.log"]);
}

#[test]
fn links_that_lead_back_and_second_names_give_each_file_once() {
    let folder = folder(&["a/b/one.log", "two.log"]);
    symlink(folder.path(), folder.path().join("a/b/back")).unwrap();
    symlink("../..", folder.path().join("a/b/up")).unwrap();
    symlink("a/b", folder.path().join("0-first")).unwrap();
    symlink("two.log", folder.path().join("1-link.log")).unwrap();
    fs::hard_link(folder.path().join("two.log"), folder.path().join("zwei.log")).unwrap();
    let expected = ["a/b/one.log", "two.log"];
    assert_eq!(list(&folder, &["**/*.log"]), (expected.map(str::to_owned).to_vec(), none()));
    assert_eq!(list(&folder, &["*/*/*/*/*/*/*.log", "**/*.log"]).0, expected);
    assert_eq!(list(&folder, &["1-link.log"]).0, ["1-link.log"], "a link that is asked for is followed");
}

#[test]
fn links_to_folders_are_entered() {
    let (outside, folder) = (folder(&["x.log"]), folder(&["a/y.log"]));
    symlink(outside.path(), folder.path().join("a/link")).unwrap();
    assert_eq!(list(&folder, &["**/*.log"]).0, ["a/link/x.log", "a/y.log"]);
}

/// Runs in a thread that has no more rights than anybody.
fn without_rights<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let unprivileged = || {
        if rustix::process::geteuid().is_root() {
            let uid = rustix::fs::Uid::from_raw(65534);
            rustix::thread::set_thread_res_uid(uid, uid, uid).unwrap();
        }
        work()
    };
    std::thread::scope(|scope| scope.spawn(unprivileged).join().unwrap())
}

#[test]
fn a_folder_without_rights_is_reported_and_the_others_are_read() {
    let folder = folder(&["a/one.log", "b/secret.log", "c/two.log"]);
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(folder.path().join("b"), fs::Permissions::from_mode(0o000)).unwrap();
    let (one, two, explicit, alone) = without_rights(|| {
        let path = format!("{}/b/secret.log", folder.path().display());
        let glob = format!("{}/b/*.log", folder.path().display());
        (
            list(&folder, &["**/*.log"]),
            list(&folder, &["*/*.log"]),
            Listing::new(&[path]).unwrap().files_that_exist().unwrap_err().to_string(),
            Listing::new(&[glob]).unwrap().files_that_exist().unwrap_err().to_string(),
        )
    });
    fs::set_permissions(folder.path().join("b"), fs::Permissions::from_mode(0o755)).unwrap();
    let expected = ["a/one.log", "c/two.log"].map(str::to_owned).to_vec();
    assert_eq!(one, (expected.clone(), vec!["b: permission denied".to_owned()]));
    assert_eq!(two, (expected, vec!["b: permission denied".to_owned()]));
    assert!(explicit.contains("/b/secret.log cannot be read: permission denied"), "{explicit}");
    assert!(alone.contains("/b cannot be read: permission denied"), "{alone}");
}

#[test]
fn special_files_are_refused_by_path_and_left_out_of_globs() {
    let folder = folder(&["a.log"]);
    let fifo = folder.path().join("pipe.log");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o644.into(), 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket.log")).unwrap();
    assert_eq!(list(&folder, &["*.log"]).0, ["a.log"]);
    for (path, expected) in [("pipe.log", "a named pipe"), ("socket.log", "a socket"), ("", "a folder")] {
        let path = format!("{}/{path}", folder.path().display());
        let error = Listing::new(&[path]).unwrap().files().unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let error = Listing::new(&["/dev/null".to_owned()]).unwrap().files().unwrap_err().to_string();
    assert!(error.contains("a device"), "{error}");
}
