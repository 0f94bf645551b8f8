//! Faults of a library: each is reported before its code is used, in one sentence that names it and the remedy.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use tidegate_loader::describe;

/// A folder that no other user may write to, with libraries in it.
struct World(TempDir);

impl World {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder can be made"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The library with one fault, as `tests/evil/refused.c` numbers them.
    fn library(&self, fault: u32) -> PathBuf {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let library = self.path(&format!("librefused{fault}.so"));
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra", "-Werror", "-I"])
            .arg(root.join("engine/abi/include"))
            .arg(format!("-DFAULT={fault}"))
            .arg(root.join("tests/evil/refused.c"))
            .arg("-o")
            .arg(&library)
            .output()
            .expect("there is a C compiler");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        library
    }

    /// Why the library is refused, with its path as `PATH`.
    fn refused(&self, path: &Path) -> String {
        let error = describe(path, None).expect_err("it is refused").to_string();
        assert!(!error.contains('\n'), "one sentence: {error}");
        error.replace(&path.display().to_string(), "PATH")
    }
}

#[test]
fn each_fault_of_a_table_is_named() {
    let world = World::new();
    let errors: Vec<String> = (1..=14).map(|fault| world.refused(&world.library(fault))).collect();
    let expected = [
        "`PATH` has no symbol `tidegate_plugin_v1`, so it is not a plugin library: `export_plugin!` makes one in Rust, \
         and the header tidegate_plugin.h says what it is in C",
        "`PATH` says that it does not work with this version of Tidegate",
        "`PATH` breaks the ABI: its table says that it has 16 bytes, and has to have 72",
        "`PATH` (refused 2.1.0) needs the plugin ABI 1.7, and this version of Tidegate has 1.0: use a newer Tidegate, \
         or an older library",
        "`PATH` (refused 2.1.0) needs features that this version of Tidegate does not have (bits 0x4): use a newer \
         Tidegate, or an older library",
        "`PATH` (refused 2.1.0) breaks the ABI: it names 0 plugins",
        "`PATH` (refused 2.1.0) breaks the ABI: `No Name` is not a name: lower case letters, digits and _ are",
        "`PATH` (refused 2.1.0) breaks the ABI: the plugin `refused`: its schema is not JSON: key must be a string at \
         line 1 column 2",
        "`PATH` (refused 2.1.0) breaks the ABI: the plugin `refused`: 7 is no kind of plugin",
        "`PATH` (refused 2.1.0) breaks the ABI: the plugin `refused`: `create` is NULL",
        "`PATH` (refused 2.1.0) breaks the ABI: the plugin `refused`: `destroy` is NULL",
        "`PATH` (refused 2.1.0) breaks the ABI: the plugin `refused`: `process` is NULL",
        "`PATH` (refused 2.1.0) does not start: the licence has run out",
        "`PATH` cannot be loaded: PATH: undefined symbol: missing_symbol",
    ];
    for (error, expected) in errors.iter().zip(expected) {
        assert_eq!(error, expected);
    }
}

#[test]
fn sound_library_is_described() {
    let world = World::new();
    let library = world.library(0);
    let description = describe(&library, None).unwrap();
    assert_eq!((description.id.as_str(), description.version.as_str()), ("refused", "2.1.0"));
    let plugins: Vec<_> =
        description.plugins.iter().map(|one| (one.kind.as_str(), one.name.as_str())).collect();
    assert_eq!(plugins, [("filter", "refused")]);
    // What the file hashes to is what sha256sum says.
    let sum = Command::new("sha256sum").arg(&library).output().unwrap();
    assert!(String::from_utf8(sum.stdout).unwrap().starts_with(&description.sha256));
    assert!(describe(&library, Some(&description.sha256.to_uppercase())).is_ok());
}

#[test]
fn another_hash_is_refused() {
    let world = World::new();
    let error = describe(&world.library(0), Some("00ff")).unwrap_err().to_string();
    assert!(error.contains("is not the library that the pipeline file names: its sha256 is "), "{error}");
    assert!(error.ends_with(", and the file says 00ff"), "{error}");
}

#[test]
fn files_that_are_no_library_for_this_machine() {
    let world = World::new();
    let whole = fs::read(world.library(0)).unwrap();
    let file = |name: &str, bytes: &[u8]| {
        fs::write(world.path(name), bytes).unwrap();
        world.refused(&world.path(name))
    };
    assert_eq!(file("text.so", b"hello\n"), "`PATH` is not a shared library");
    assert_eq!(file("empty.so", b""), "`PATH` is not a shared library");
    assert_eq!(file("header.so", &whole[..40]), "`PATH` is cut off: it ends within its header");
    assert_eq!(file("cut.so", &whole[..whole.len() / 2]), "`PATH` is cut off: build or copy it again");
    let mut other = whole.clone();
    other[18] = 243;
    let ours = std::env::consts::ARCH;
    assert_eq!(file("riscv.so", &other), format!("`PATH` is for riscv64, and this is {ours}"));
    let mut object = whole;
    object[16] = 1;
    assert!(file("object.so", &object).contains("another kind of ELF file"));
    assert_eq!(
        world.refused(&world.path("none.so")),
        "`PATH` is not there: build it first, or mend the path"
    );
    assert_eq!(world.refused(world.0.path()), "`PATH` is not a file: give the path of a shared library");
}

#[test]
fn library_that_others_may_write_is_refused() {
    let world = World::new();
    let library = world.library(0);
    let mode = |path: &Path, mode: u32| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    mode(&library, 0o757);
    assert_eq!(
        world.refused(&library),
        "`PATH` may be written by everybody on this machine, so it is not loaded: `chmod o-w` it"
    );
    mode(&library, 0o755);
    mode(world.0.path(), 0o777);
    assert!(world.refused(&library).contains("where everybody on this machine may put another in its place"));
    // A folder like /tmp, where only the owner may take a file away.
    mode(world.0.path(), 0o1777);
    assert!(describe(&library, None).is_ok());
    mode(world.0.path(), 0o700);
    // The folder of the library is sound, and the one above it is not.
    let (above, within) = (world.path("above"), world.path("above/within"));
    fs::create_dir_all(&within).unwrap();
    let deep = within.join("copy.so");
    fs::copy(&library, &deep).unwrap();
    mode(&above, 0o777);
    assert!(world.refused(&deep).contains("/above`, where everybody on this machine"));
    // So it is through a link that lies in a sound folder.
    let link = world.path("link.so");
    std::os::unix::fs::symlink(&deep, &link).unwrap();
    assert!(world.refused(&link).contains("/above`, where everybody on this machine"));
    mode(&above, 0o755);
    assert!(describe(&link, None).is_ok());
}

#[test]
fn library_that_another_group_may_write_is_refused() {
    tidegate_servers::require!(ChangeGroup);
    const GROUP: u32 = 4242;
    let world = World::new();
    let library = world.library(0);
    std::os::unix::fs::chown(&library, None, Some(GROUP)).unwrap();
    let mode = |path: &Path, mode: u32| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    mode(&library, 0o775);
    assert_eq!(
        world.refused(&library),
        "`PATH` may be written by another group (number 4242), so it is not loaded: `chmod g-w` it"
    );
    mode(&library, 0o755);
    assert!(describe(&library, None).is_ok(), "it may read it");
    std::os::unix::fs::chown(world.0.path(), None, Some(GROUP)).unwrap();
    mode(world.0.path(), 0o775);
    assert!(
        world.refused(&library).contains("where another group (number 4242) may put another in its place")
    );
    mode(world.0.path(), 0o1775);
    assert!(describe(&library, None).is_ok());
    std::os::unix::fs::chown(world.0.path(), Some(GROUP), None).unwrap();
    assert!(world.refused(&library).contains("whose owner (user number 4242) may put another in its place"));
}
