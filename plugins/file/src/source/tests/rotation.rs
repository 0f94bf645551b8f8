//! Files that are rotated while the source is blocked, between two looks, or while the pipeline is stopped.

use std::fs;
use std::os::unix::fs::MetadataExt;

use super::*;

/// Tells whether this process has the file open.
fn is_open(path: &str) -> bool {
    let inode = fs::metadata(path).unwrap().ino();
    let open = fs::read_dir("/proc/self/fd").unwrap().filter_map(Result::ok);
    open.into_iter().any(|link| fs::metadata(link.path()).is_ok_and(|known| known.ino() == inode))
}

async fn until(mut condition: impl FnMut() -> bool) {
    let limit = std::time::Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(std::time::Instant::now() < limit, "it never happens");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn rotate(folder: &TempDir) {
    for number in (0..9).rev() {
        let name = |number: u32| match number {
            0 => path(folder, "app.log"),
            number => path(folder, &format!("app.log.{number}")),
        };
        let _ = fs::rename(name(number), name(number + 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_rotate_while_the_source_is_held_up_are_all_read() {
    let folder = TempDir::new().unwrap();
    let input = path(&folder, "app.log");
    append(&input, &lines(0..100_000));
    let mut run = Run::start(&followed(input.clone())).await;
    // Only the first batch is taken, and rotated files are deleted at once.
    run.until(1).await;
    for round in 1..5 {
        rotate(&folder);
        append(&input, &lines(round * 100_000..(round + 1) * 100_000));
        until(|| is_open(&input)).await;
        fs::remove_file(path(&folder, "app.log.1")).unwrap();
    }
    run.until(500_000).await;
    let (texts, rejected, _) = run.stop().await;
    assert!(texts == numbers(0..500_000), "{} lines", texts.len());
    assert!(rejected.is_empty());
}

#[tokio::test]
async fn files_that_rotate_between_two_looks_are_read_in_order() {
    for name in ["numbers", "dates"] {
        let folder = TempDir::new().unwrap();
        let input = path(&folder, "app.log");
        let mut options = followed(input.clone());
        options["poll_interval"] = "300ms".into();
        append(&input, "0\n");
        let mut run = Run::start(&options).await;
        run.until(1).await;
        for round in 1..4 {
            match name {
                "numbers" => rotate(&folder),
                _ => fs::rename(&input, path(&folder, &format!("app-2026010{round}.log"))).unwrap(),
            }
            append(&input, &format!("{round}\n"));
        }
        append(path(&folder, "app.log.bak"), "another file\n");
        assert_eq!(run.until(4).await, ["0", "1", "2", "3"], "{name}");
        run.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[cfg(any(target_os = "linux", target_os = "android"))]
async fn log_that_appears_is_found_at_once_whatever_the_poll_interval() {
    let folder = TempDir::new().unwrap();
    let input = path(&folder, "app.log");
    append(path(&folder, "there.log"), "there\n");
    let mut options = followed(json!([path(&folder, "there.log"), input]));
    options["poll_interval"] = "1h".into();
    let mut run = Run::start(&options).await;
    assert_eq!(run.until(1).await, ["there"], "the first look is over");
    append(&input, "0\n");
    until(|| is_open(&input)).await;
    // The file is rotated, and deleted when it is open: nothing is lost, however short its life was.
    fs::rename(&input, path(&folder, "app.log.1")).unwrap();
    append(&input, "1\n");
    until(|| is_open(&input)).await;
    fs::remove_file(path(&folder, "app.log.1")).unwrap();
    run.until(2).await;
    let (texts, ..) = run.stop().await;
    assert_eq!(
        texts,
        ["there", "0"],
        "the next one is read after `poll_interval`, when its writer may have ended"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn log_that_appears_and_rotates_all_the_time_is_read_once() {
    const ROUNDS: usize = 150;
    let folder = TempDir::new().unwrap();
    append(path(&folder, "there.log"), "there\n");
    let mut run = Run::start(&followed(json!([path(&folder, "there.log"), path(&folder, "app.log")]))).await;
    assert_eq!(run.until(1).await, ["there"], "the first look is over");
    let root = folder.path().to_owned();
    let rotating = tokio::task::spawn_blocking(move || {
        for round in 0..ROUNDS {
            let name = |number: usize| match number {
                0 => root.join("app.log"),
                number => root.join(format!("app.log.{number}")),
            };
            // Many renames for each file, so that lists of the folder are read in their middle.
            for number in (0..round).rev() {
                fs::rename(name(number), name(number + 1)).unwrap();
            }
            append(name(0), &format!("line {round:03}\n"));
        }
    });
    rotating.await.unwrap();
    run.until(1 + ROUNDS).await;
    let (mut texts, ..) = run.stop().await;
    texts.sort();
    let expected: Vec<String> = (0..ROUNDS).map(|round| format!("line {round:03}")).collect();
    assert_eq!(texts[..ROUNDS], expected);
    assert_eq!(texts.len(), ROUNDS + 1);
}

/// Reads two lines of a followed file, changes it while the pipeline is stopped, and continues.
async fn while_stopped(change: impl FnOnce(&TempDir)) -> Vec<String> {
    let folder = TempDir::new().unwrap();
    let input = path(&folder, "logs/app.log");
    fs::create_dir(path(&folder, "logs")).unwrap();
    append(&input, "1\n2\n");
    let mut run = Run::start(&followed(input.clone())).await;
    run.until(2).await;
    let (_, _, positions) = run.stop().await;
    append(&input, "3\n");
    change(&folder);
    append(&input, "end\n");
    let mut run = Run::resume(&followed(input), positions).await;
    while run.texts.last().is_none_or(|last| last != "end") {
        run.next().await;
    }
    let (texts, rejected, _) = run.stop().await;
    assert!(rejected.is_empty(), "{rejected:?}");
    texts
}

#[tokio::test]
async fn a_file_that_rotated_twice_while_stopped_is_finished_and_the_one_between_is_read() {
    let texts = while_stopped(|folder| {
        let name = |ending: &str| path(folder, &format!("logs/app.log{ending}"));
        fs::rename(name(""), name(".1")).unwrap();
        append(name(""), "4\n");
        fs::rename(name(".1"), name(".2")).unwrap();
        fs::rename(name(""), name(".1")).unwrap();
    });
    assert_eq!(texts.await, ["3", "4", "end"]);
}

#[tokio::test]
async fn a_file_that_moved_to_another_folder_while_stopped_is_finished() {
    for target in ["logs/old/app.log", "logs/old/2026/x", "archive/app.log.1", "elsewhere"] {
        let texts = while_stopped(|folder| {
            let target = path(folder, target);
            fs::create_dir_all(Path::new(&target).parent().unwrap()).unwrap();
            fs::rename(path(folder, "logs/app.log"), target).unwrap();
        });
        assert_eq!(texts.await, ["3", "end"], "{target}");
    }
}

#[tokio::test]
async fn a_file_that_was_packed_while_stopped_is_finished() {
    type Pack = fn(&[u8]) -> Vec<u8>;
    let zstd: Pack = |bytes| zstd::encode_all(bytes, 1).unwrap();
    for (name, pack) in
        [("app.log.1.gz", gzip as Pack), ("app.log-20260101.zst", zstd), ("app.log.1", <[u8]>::to_vec)]
    {
        let texts = while_stopped(|folder| {
            let input = path(folder, "logs/app.log");
            let packed = pack(&fs::read(&input).unwrap());
            fs::write(path(folder, &format!("logs/{name}")), packed).unwrap();
            fs::write(path(folder, "logs/app.log.2.gz"), gzip(b"1\nanother file\n")).unwrap();
            fs::remove_file(&input).unwrap();
        });
        assert_eq!(texts.await, ["3", "end"], "{name}");
    }
}

#[tokio::test]
async fn a_file_that_is_gone_is_reported_once_and_the_next_one_is_new_input() {
    let folder = TempDir::new().unwrap();
    let input = path(&folder, "app.log");
    append(&input, "1\n");
    let mut run = Run::start(&followed(input.clone())).await;
    run.until(1).await;
    let (_, _, positions) = run.stop().await;
    fs::write(path(&folder, "new"), "2\n").unwrap();
    fs::rename(path(&folder, "new"), &input).unwrap();
    let mut run = Run::resume(&followed(input), positions).await;
    let gone = run.next().await.unwrap();
    let position: Value = gone.batch.runs()[0].origin.position.as_ref().unwrap().read().unwrap();
    assert_eq!(position["gone"], true, "it is not reported at the next start");
    assert!(run.next().await.unwrap().is_replaced_input());
    assert_eq!(run.until(1).await, ["2"]);
    run.stop().await;
}

/// Regression test: such a file was taken for a rotated copy of the one before it.
#[tokio::test]
async fn a_file_that_took_the_path_of_another_is_new_input_however_it_begins() {
    let folder = TempDir::new().unwrap();
    let (input, options) = (path(&folder, "app.log"), followed(path(&folder, "app.log")));
    let lines = |count: usize| (0..count).map(|number| format!("{number:0>99}\n")).collect::<String>();
    append(&input, &lines(20));
    let mut run = Run::start(&options).await;
    run.until(20).await;
    let (_, _, positions) = run.stop().await;
    let new = path(&folder, "new");
    append(&new, &lines(21));
    fs::rename(&new, &input).unwrap();
    let mut run = Run::resume(&options, positions).await;
    let gone = run.next().await.unwrap();
    let position: Value = gone.batch.runs()[0].origin.position.as_ref().unwrap().read().unwrap();
    assert_eq!(position["gone"], true);
    assert!(run.next().await.unwrap().is_replaced_input());
    assert_eq!(run.until(21).await.len(), 21);
    run.stop().await;
}

#[tokio::test]
async fn a_file_renamed_within_the_glob_while_stopped_goes_on_under_its_first_name() {
    let folder = TempDir::new().unwrap();
    let (input, options) = (path(&folder, "app.log"), followed(path(&folder, "app.log*")));
    append(&input, "1\n");
    let mut run = Run::start(&options).await;
    run.until(1).await;
    let (_, _, positions) = run.stop().await;
    append(&input, "2\n");
    fs::rename(&input, path(&folder, "app.log.1")).unwrap();
    append(&input, "3\n");
    let mut run = Run::resume(&options, positions).await;
    let old = run.next_events().await.unwrap();
    assert_eq!((old.batch.texts(), &*old.batch.origin(0).partition), (vec!["2".to_owned()], &*input));
    assert_eq!(run.until(2).await, ["2", "3"]);
    run.stop().await;
}

#[tokio::test]
async fn names_that_are_not_utf_8_are_followed_and_resumed() {
    use std::os::unix::ffi::OsStrExt;
    let folder = TempDir::new().unwrap();
    let bad = folder.path().join(std::ffi::OsStr::from_bytes(b"\xff\xfe.log"));
    append(path(&folder, "a.log"), "one\n");
    let options = followed(path(&folder, "*.log"));
    let mut run = Run::start(&options).await;
    run.until(1).await;
    append(&bad, "two\n");
    assert_eq!(run.until(2).await, ["one", "two"]);
    let (_, _, positions) = run.stop().await;
    assert!(positions.keys().any(|name| name.ends_with("/\\xff\\xfe.log")), "{positions:?}");
    append(&bad, "three\n");
    fs::rename(&bad, folder.path().join(std::ffi::OsStr::from_bytes(b"\xff.1"))).unwrap();
    let mut run = Run::resume(&options, positions).await;
    assert_eq!(run.until(1).await, ["three"], "found beside the path that the position names");
    run.stop().await;
}

#[test]
fn many_followed_sources_share_a_few_threads() {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(1).max_blocking_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let folder = TempDir::new().unwrap();
        let mut runs = Vec::new();
        for number in 0..30 {
            let input = path(&folder, &format!("{number}.log"));
            // More events than the channel holds, so that each source also waits for its reader.
            append(&input, &lines(0..50_000));
            runs.push(Run::start(&followed(input)).await);
        }
        for run in &mut runs {
            run.until(1).await;
        }
        for (number, run) in runs.iter_mut().enumerate().rev() {
            append(path(&folder, &format!("{number}.log")), "last\n");
            assert_eq!(run.until(50_001).await.last().unwrap(), "last");
        }
        let (options, mut waiting) = (json!({ "path": path(&folder, "0.log") }), Vec::new());
        for _ in 0..5 {
            let mut run = Run::start(&options).await;
            run.until(1).await;
            waiting.push(run);
        }
        assert!(
            Run::start(&options).await.end().await.0.len() == 50_001,
            "files that are read once do not hold one either"
        );
    });
}
