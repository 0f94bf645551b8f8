use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tidegate_loader::{Loader, Refusal, Wanted};
use tidegate_sdk::{Component, Isolation, Placement, Plugin};

/// Nothing that these tests wait for takes longer.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// A folder with libraries.
pub(crate) struct World(TempDir);

impl World {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A library of `tests/`, built with these definitions.
    pub(crate) fn c(&self, source: &str, definitions: &[&str]) -> PathBuf {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let library = self.path(&format!("lib{}{}.so", source.replace('/', "-"), definitions.concat()));
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-fvisibility=hidden", "-O1", "-g", "-w", "-pthread", "-I"]);
        cc.arg(root.join("engine/abi/include")).args(definitions);
        // What the sanitizers want of the C compiler.
        cc.args(std::env::var("TIDEGATE_TEST_CFLAGS").unwrap_or_default().split_whitespace());
        let built = cc.arg(root.join("tests").join(source)).arg("-o").arg(&library).output().unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        library
    }
}

/// A file that cargo has built beside this test.
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().unwrap().parent().unwrap().join("examples").join(name);
    assert!(
        path.exists(),
        "{} is not built: `cargo build -p tidegate-loader --examples` does",
        path.display()
    );
    path
}

/// The program around the loader.
pub(crate) fn host() -> PathBuf {
    example("host")
}

/// The library in Rust.
pub(crate) fn rust() -> PathBuf {
    example("libevil.so")
}

/// The plugins of a library. The loader that knows it does not outlive this.
pub(crate) fn open(library: &Path) -> Result<Vec<Plugin>, Refusal> {
    Loader::new(host(), None).open(Wanted { path: library, sha256: None })
}

/// The plugin of this name, or `filter/name`, placed so.
pub(crate) fn placed(plugins: &[Plugin], name: &str, isolation: Isolation, call_time: Duration) -> Plugin {
    let is_it =
        |plugin: &&Plugin| plugin.name() == name || format!("{}/{}", plugin.kind(), plugin.name()) == name;
    let found = plugins.iter().find(is_it).unwrap();
    found.clone().placed(Placement { isolation, call_time: tidegate_sdk::Duration(call_time) })
}

/// A component of it, or why there is none.
pub(crate) fn built(plugin: &Plugin, options: &Value) -> Result<Component, String> {
    plugin.build(options).map_err(|error| error.to_string())
}
