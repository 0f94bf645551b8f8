//! `tidegate new plugin`: writes a project that builds a library of one plugin and passes its test.

use std::fs;
use std::path::{Path, PathBuf};

use tidegate_sdk::Kind;

use super::arguments::{Language, NewPlugin};
use crate::exit::Failure;

/// C header of the plugin ABI in this version.
const HEADER: &str = include_str!("../../../../abi/include/tidegate_plugin.h");

/// Writes the project. Returns the next steps as text.
pub(super) fn write(new: &NewPlugin) -> Result<String, Failure> {
    let folder = new.dir.join(&new.name);
    let allowed = |one: char| one.is_ascii_lowercase() || one.is_ascii_digit() || "-_".contains(one);
    let begins_well = new.name.starts_with(|one: char| one.is_ascii_lowercase());
    if new.name.len() > 64 || !new.name.chars().all(allowed) || !begins_well {
        return Err(Failure::wrong(format!(
            "`{}` cannot be the name of a plugin; use 1 to 64 characters of a-z, 0-9, `-` and `_`, beginning with a-z",
            new.name
        )));
    }
    if folder.exists() {
        let message = format!("`{}` exists already; choose another name or folder", folder.display());
        return Err(Failure::wrong(message));
    }
    for (path, text) in files(new)? {
        let path = folder.join(path);
        let parent = path.parent().unwrap_or(&folder);
        let written = fs::create_dir_all(parent).and_then(|()| fs::write(&path, text));
        written
            .map_err(|error| Failure::failed(format!("`{}` cannot be written: {error}", path.display())))?;
    }
    let next = match new.lang {
        Language::Rust => "cargo test",
        Language::C => "make test",
    };
    let shown = folder.display();
    Ok(format!("wrote {shown}; build it and see its test pass with\n  cd {shown} && {next}\n"))
}

/// Returns the files of the project with their paths in it.
fn files(new: &NewPlugin) -> Result<Vec<(PathBuf, String)>, Failure> {
    let library = new.name.replace('-', "_");
    let kind = Kind::from(new.kind);
    let filled = |text: &str| {
        let text = text.replace("CRATE", &new.name).replace("LIBRARY", &library).replace("PLUGIN", &library);
        text.replace("KIND", kind.name())
    };
    let mut files = match new.lang {
        Language::Rust => {
            let code = match kind {
                Kind::Source => include_str!("rust/source.rs"),
                Kind::Filter => include_str!("rust/filter.rs"),
                Kind::Sink => include_str!("rust/sink.rs"),
            };
            let manifest = include_str!("rust/Cargo.toml.txt");
            let sdk = |name| dependency(new.sdk.as_deref(), name);
            let manifest = manifest.replace("EXPORT", &sdk("export")?).replace("SDK", &sdk("sdk")?);
            vec![
                ("Cargo.toml".into(), filled(&manifest)),
                ("src/lib.rs".into(), filled(code)),
                ("README.md".into(), filled(include_str!("rust/README.md.txt"))),
                (".gitignore".into(), "/target\n".into()),
            ]
        }
        Language::C => {
            let (example, code) = match kind {
                Kind::Source => ("count", include_str!("../../../../../tests/plugins/count.c")),
                Kind::Filter => ("grep", include_str!("../../../../../tests/plugins/grep.c")),
                Kind::Sink => ("append", include_str!("../../../../../tests/plugins/append.c")),
            };
            let code =
                code.replace(&format!("{example}_c"), &library).replace(&format!("{example}-c"), &new.name);
            vec![
                (format!("{library}.c").into(), code),
                ("tidegate_plugin.h".into(), HEADER.to_owned()),
                ("Makefile".into(), filled(include_str!("c/Makefile.txt"))),
                ("README.md".into(), filled(include_str!("c/README.md.txt"))),
                (".gitignore".into(), "*.so\n".into()),
            ]
        }
    };
    files.push(("try.toml".into(), pipeline(new.lang, kind, &library)));
    Ok(files)
}

/// Returns a pipeline that uses the plugin and needs no server.
fn pipeline(lang: Language, kind: Kind, library: &str) -> String {
    let path = match lang {
        Language::Rust => format!("./target/release/lib{library}.so"),
        Language::C => format!("./lib{library}.so"),
    };
    let numbers = "[source.numbers]\nplugin = \"generate\"\nline = \"an error, or not\"\ncount = 10\n";
    let screen = "[sink.screen]\nplugin = \"stdout\"\n";
    let own = match (lang, kind) {
        (_, Kind::Filter) => "text = \"error\"",
        (Language::C, Kind::Source) => "count = 10",
        (Language::Rust, Kind::Source) => "path = \"README.md\"",
        (_, Kind::Sink) => "path = \"out.txt\"",
    };
    let component = format!("[{}.mine]\nplugin = \"{library}\"\n{own}\n", kind.name());
    let components = match kind {
        Kind::Source => format!("{component}\n{screen}"),
        Kind::Filter => format!("{numbers}\n{component}\n{screen}"),
        Kind::Sink => format!("{numbers}\n{component}"),
    };
    format!("# tidegate run try.toml\n\n[plugins]\nlibraries = [\"{path}\"]\n\n{components}")
}

/// Returns the source of the crate `sdk` or `export` as a value for `Cargo.toml`.
///
/// In this order: the folder of the SDK that the user gave, the folder that this program was built from, the published
/// version.
fn dependency(sdk: Option<&Path>, name: &str) -> Result<String, Failure> {
    let version = env!("CARGO_PKG_VERSION");
    let folder = match sdk {
        Some(folder) => {
            let folder = if name == "sdk" { folder.to_owned() } else { folder.join("..").join(name) };
            if !folder.join("Cargo.toml").is_file() {
                return Err(Failure::wrong(format!(
                    "`{}` is not the folder of the crate tidegate-{name}: it has no Cargo.toml; give the folder \
                     `engine/sdk` of a checkout",
                    folder.display()
                )));
            }
            Some(folder)
        }
        None => {
            let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
            built.join("Cargo.toml").is_file().then_some(built)
        }
    };
    Ok(match folder.and_then(|folder| folder.canonicalize().ok()) {
        Some(folder) => {
            let folder = folder.display().to_string().replace('\\', "\\\\").replace('"', "\\\"");
            format!("{{ version = \"{version}\", path = \"{folder}\" }}")
        }
        None => format!("\"{version}\""),
    })
}
