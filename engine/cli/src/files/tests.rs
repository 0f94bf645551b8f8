use std::fs;

use tempfile::tempdir;

use super::*;

#[test]
fn a_folder_means_its_toml_files_by_name_and_each_file_counts_once() {
    let folder = tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for name in ["b.toml", "a.toml", "readme.md"] {
        fs::write(at(name), "").unwrap();
    }
    fs::create_dir(at("sub.toml")).unwrap();
    let (files, problems) = expand(&[at("b.toml"), folder.path().to_owned(), at("missing.toml")]);
    assert_eq!(files, [at("b.toml"), at("a.toml"), at("missing.toml")]);
    assert!(problems.is_empty());
}

#[test]
fn an_empty_folder_is_a_problem() {
    let folder = tempdir().unwrap();
    let (files, problems) = expand(&[folder.path().to_owned()]);
    assert!(files.is_empty());
    assert!(problems[0].ends_with("has no *.toml file"), "{problems:?}");
}

#[test]
fn an_unreadable_file_is_named_with_the_reason() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("x.toml");
    assert!(read(&path, FILE_LIMIT).unwrap_err().contains("cannot be opened: No such file"));
    fs::write(&path, b"a = 1\nb = \"\xff\"\n").unwrap();
    assert!(read(&path, FILE_LIMIT).unwrap_err().contains("the first bad byte is on line 2"));
    fs::write(&path, "123456").unwrap();
    assert!(read(&path, Size(5)).unwrap_err().contains("longer than 5B"));
    assert_eq!(read(&path, Size(6)).unwrap(), "123456");
}

#[test]
fn a_secret_loses_its_line_end_and_nothing_else() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("token");
    fs::write(&path, " a b \r\n").unwrap();
    assert_eq!(secret_file(path.to_str().unwrap()).unwrap(), " a b ");
}

#[test]
fn an_override_goes_to_the_files_that_have_its_component() {
    let text = |path: &str, text: &str| Text { path: path.into(), text: text.into() };
    let texts = vec![
        text("a", "[source.users]\nplugin = \"x\"\n  [sink.out.headers] # note\n"),
        text("b", "# [source.users]\n[ sink . \"out\" ]\n"),
    ];
    let overrides: Vec<_> = ["users.url=1", "out.key=2", "pipeline.id=3", "missing.x=4"]
        .iter()
        .map(|one| Override::parse(one).unwrap())
        .collect();
    let names = |overrides: &[Override]| -> Vec<String> {
        overrides.iter().map(|one| one.component.clone()).collect()
    };
    let meant = with_overrides(texts, &overrides);
    assert_eq!(names(&meant[0].1), ["users", "out", "pipeline", "missing"]);
    assert_eq!(names(&meant[1].1), ["out", "pipeline"]);
}

#[test]
fn two_pipelines_of_one_id_are_refused() {
    let file = |path: &str, id: &str| CheckedFile {
        text: Text { path: path.into(), text: String::new() },
        diagnostics: Vec::new(),
        missing_libraries: Vec::new(),
        pipeline: Some(Pipeline {
            file: path.into(),
            name: id.into(),
            id: id.into(),
            settings: tidegate_config::Settings::default(),
            graphs: Vec::new(),
        }),
    };
    let problems = shared_ids(&[file("x/a.toml", "a"), file("b.toml", "b"), file("y/a.toml", "a")]);
    let expected =
        "the pipeline id `a` is shared by 2 files: x/a.toml, y/a.toml; set `[pipeline] id` in all but one";
    assert_eq!(problems, [expected]);
}
