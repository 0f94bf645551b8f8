//! Looks at folders that change between them, one by one and without a clock.

use std::fs;
use std::io::Read;

use tempfile::TempDir;

use super::*;

struct Scene {
    folder: TempDir,
    discovery: Discovery,
    inbox: Inbox,
    runtime: tokio::runtime::Runtime,
}

impl Scene {
    /// A source that follows `path` below a new folder, and has looked once.
    fn new(path: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join(path).to_str().unwrap().to_owned();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let discovery = Discovery::new(Listing::new(&[path]).unwrap());
        let mut scene = Self { folder, discovery, inbox: Inbox::default(), runtime };
        assert_eq!(scene.look(), (Vec::new(), 0));
        scene
    }

    /// The contents of the files that arrive with the next look, and the number of those that are lost.
    fn look(&mut self) -> (Vec<String>, usize) {
        let entered = self.runtime.enter();
        let lost = self.discovery.look(&self.inbox).iter().map(|lost| lost.count).sum();
        drop(entered);
        let arrivals = self.inbox.take().unwrap().arrivals;
        let text = |arrival: Arrival| {
            let mut text = String::new();
            (&*arrival.file).read_to_string(&mut text).unwrap();
            text
        };
        (arrivals.into_iter().map(text).collect(), lost)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), text).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    /// Renames `logs/app.log` and the files that were rotated before as `logrotate` does.
    fn rotate(&self) {
        for number in (1..20).rev() {
            let _ = fs::rename(
                self.path(&format!("logs/app.log.{number}")),
                self.path(&format!("logs/app.log.{}", number + 1)),
            );
        }
        self.rename("logs/app.log", "logs/app.log.1");
    }
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn log_that_appears_and_rotates_before_it_is_seen_is_found_whole() {
    for path in ["logs/app.log", "logs/*.log", "logs/app.log*"] {
        for has_folder in [true, false] {
            let mut scene = Scene::new(path);
            if has_folder {
                fs::create_dir(scene.path("logs")).unwrap();
                assert_eq!(scene.look(), (Vec::new(), 0));
            }
            scene.write("logs/app.log", "1");
            scene.rotate();
            scene.write("logs/app.log", "2");
            scene.rotate();
            scene.write("logs/app.log", "3");
            let (mut found, lost) = scene.look();
            if path == "logs/app.log*" {
                found.sort();
            }
            assert_eq!((found, lost), (texts(&["1", "2", "3"]), 0), "{path} {has_folder}");
            for _ in 0..3 {
                assert_eq!(scene.look(), (Vec::new(), 0), "{path}");
            }
        }
    }
}

#[test]
fn log_that_was_rotated_away_and_did_not_come_back_is_found() {
    let mut scene = Scene::new("logs/app.log");
    scene.write("logs/app.log", "1");
    scene.rotate();
    assert_eq!(scene.look(), (texts(&["1"]), 0));
    scene.write("logs/app.log", "2");
    assert_eq!(scene.look(), (texts(&["2"]), 0));
}

#[test]
fn file_between_two_is_found_though_the_path_is_empty_for_a_moment() {
    let mut scene = Scene::new("logs/app.log");
    scene.write("logs/app.log", "1");
    assert_eq!(scene.look(), (texts(&["1"]), 0));
    scene.rotate();
    scene.write("logs/app.log", "2");
    scene.rotate();
    assert_eq!(scene.look(), (texts(&["2"]), 0));
    scene.write("logs/app.log", "3");
    assert_eq!(scene.look(), (texts(&["3"]), 0));
}

#[test]
fn folder_that_appears_with_rotated_files_is_read_whole() {
    let mut scene = Scene::new("*/app.log");
    scene.write("logs/app.log", "1");
    scene.rotate();
    scene.write("logs/app.log", "2");
    assert_eq!(scene.look(), (texts(&["1", "2"]), 0));
    assert_eq!(scene.look(), (Vec::new(), 0));
}

#[test]
fn files_that_were_there_before_the_start_are_not_read() {
    let mut scene = Scene::new("logs/app.log");
    scene.write("logs/app.log.1", "old");
    scene.write("logs/app.log.2", "older");
    scene.discovery = Discovery::new(scene.discovery.listing.clone());
    assert_eq!(scene.look(), (Vec::new(), 0));
    scene.write("logs/app.log", "1");
    scene.rotate();
    scene.write("logs/app.log", "2");
    assert_eq!(scene.look(), (texts(&["1", "2"]), 0));
}

#[test]
#[cfg(any(target_os = "linux", target_os = "android"))]
fn files_that_cannot_be_found_are_reported() {
    type Change = fn(&Scene);
    let changes: [(&str, Change); 4] = [
        ("deleted", |scene| fs::remove_file(scene.path("logs/app.log")).unwrap()),
        ("moved", |scene| scene.rename("logs/app.log", "elsewhere")),
        ("renamed", |scene| scene.rename("logs/app.log", "logs/app.log.old")),
        ("compressed", |scene| {
            scene.write("logs/app.log.1.gz", "packed");
            fs::remove_file(scene.path("logs/app.log")).unwrap();
        }),
    ];
    for (name, change) in changes {
        for path in ["logs/app.log", "logs/*.log"] {
            let mut scene = Scene::new(path);
            fs::create_dir(scene.path("logs")).unwrap();
            assert_eq!(scene.look(), (Vec::new(), 0));
            scene.write("logs/app.log", "1");
            change(&scene);
            assert_eq!(scene.look(), (Vec::new(), 0), "it may be renamed at the same time");
            assert_eq!(scene.look(), (Vec::new(), 1), "{name} {path}, before the first file is found");
            scene.write("logs/app.log", "2");
            assert_eq!(scene.look(), (texts(&["2"]), 0), "{name} {path}");
            scene.rotate();
            scene.write("logs/app.log", "3");
            change(&scene);
            scene.write("logs/app.log", "4");
            assert_eq!(scene.look(), (texts(&["4"]), 0), "{name} {path}");
            assert_eq!(scene.look(), (Vec::new(), 1), "{name} {path}, between two files");
        }
    }
}

#[test]
fn files_that_one_list_of_the_folder_lacks_are_found_once() {
    let mut scene = Scene::new("logs/app.log");
    scene.write("logs/app.log.1", "old");
    scene.discovery = Discovery::new(scene.discovery.listing.clone());
    assert_eq!(scene.look(), (Vec::new(), 0));
    scene.write("logs/app.log", "1");
    assert_eq!(scene.look(), (texts(&["1"]), 0));
    // Each file is hidden from one look, as a rename at the same time may do.
    for name in ["app.log.1", "app.log.2", "app.log.3"] {
        scene.rotate();
        scene.write("logs/app.log", "new");
        scene.rename(&format!("logs/{name}"), "hidden");
        let (mut found, _) = scene.look();
        scene.rename("hidden", &format!("logs/{name}"));
        found.extend(scene.look().0);
        assert_eq!(found, texts(&["new"]), "{name}");
    }
    scene.write("logs/app.log", "");
    scene.rotate();
    scene.write("logs/app.log", "between");
    scene.rotate();
    scene.write("logs/app.log", "last");
    scene.rename("logs/app.log.1", "hidden");
    let (mut found, lost) = scene.look();
    assert_eq!((found.clone(), lost), (texts(&["last"]), 0));
    scene.rename("hidden", "logs/app.log.1");
    let (more, lost) = scene.look();
    found.extend(more);
    assert_eq!((found, lost), (texts(&["last", "between"]), 0));
}

#[test]
fn rotation_of_every_kind_raises_no_false_alarm() {
    for path in ["logs/app.log", "logs/*.log", "logs/*", "logs/app.log*"] {
        let mut scene = Scene::new(path);
        fs::create_dir(scene.path("logs")).unwrap();
        let mut found = Vec::new();
        for round in 0..60u32 {
            if fs::exists(scene.path("logs/app.log")).unwrap() && (round % 3 != 1 || round % 4 == 1) {
                scene.rotate();
            }
            match round % 4 {
                // Made empty and filled later; made under another name; with a look between the two, or none.
                0 => scene.write("logs/app.log", ""),
                1 => {
                    scene.write("logs/.new", &round.to_string());
                    scene.rename("logs/.new", "logs/app.log");
                }
                _ => scene.write("logs/app.log", &round.to_string()),
            }
            if round % 5 > 1 {
                let (texts, lost) = scene.look();
                assert_eq!(lost, 0, "{path} {round}");
                found.extend(texts);
            }
            scene.write("logs/app.log", &round.to_string());
        }
        let (texts, lost) = scene.look();
        assert_eq!(lost, 0, "{path}");
        found.extend(texts);
        assert!(found.len() > 20, "{path}: {}", found.len());
    }
}

/// Guards the loss of a file that was found empty, and then written and renamed without a report of the system.
#[test]
fn file_that_is_empty_when_it_is_found_is_expected_to_have_content_at_once() {
    for path in ["logs/app.log", "logs/*.log"] {
        let mut scene = Scene::new(path);
        assert!(!scene.discovery.expects_content(), "{path}: there is no file");
        scene.write("logs/app.log", "");
        assert_eq!(scene.look(), (Vec::new(), 0), "{path}: an empty file is not opened");
        assert!(scene.discovery.expects_content(), "{path}: the next look does not wait for a report");
        scene.write("logs/app.log", "1\n");
        assert_eq!(scene.look(), (texts(&["1\n"]), 0), "{path}");
        assert!(!scene.discovery.expects_content(), "{path}: the file is open");
        scene.write("logs/idle.log", "");
        scene.look();
        for since in scene.discovery.empty.values_mut() {
            *since -= EMPTY;
        }
        assert!(
            !scene.discovery.expects_content(),
            "{path}: an empty file that stays empty waits for its turn"
        );
    }
}
