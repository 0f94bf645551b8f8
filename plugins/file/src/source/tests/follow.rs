//! Files that are followed.

use std::fs;

use super::*;

#[tokio::test]
async fn appended_lines_are_read_and_half_a_line_waits() {
    let folder = TempDir::new().unwrap();
    let input = path(&folder, "app.log");
    let mut run = Run::start(&followed(input.clone())).await;
    append(&input, "one\ntw");
    assert_eq!(run.until(1).await, ["one"]);
    append(&input, "o\nthree\n");
    assert_eq!(run.until(3).await, ["one", "two", "three"]);
    append(&input, "half");
    let (texts, _, positions) = run.stop().await;
    assert_eq!(texts.len(), 3);
    append(&input, " and half\n");
    let mut run = Run::resume(&followed(input), positions).await;
    assert_eq!(run.until(1).await, ["half and half"]);
    run.stop().await;
}

#[tokio::test]
async fn a_file_that_is_renamed_is_read_to_its_end_and_then_the_new_one() {
    let folder = TempDir::new().unwrap();
    let (input, rotated) = (path(&folder, "app.log"), path(&folder, "app.log.1"));
    append(&input, "1\n");
    let mut run = Run::start(&followed(input.clone())).await;
    run.until(1).await;
    let mut writer = fs::OpenOptions::new().append(true).open(&input).unwrap();
    for round in 0..20 {
        fs::rename(&input, &rotated).unwrap();
        // The writer goes on for a while in the file that was renamed, and leaves a line without its end.
        writer.write_all(format!("old {round}\nlast {round}").as_bytes()).unwrap();
        append(&input, &format!("new {round}\n"));
        writer = fs::OpenOptions::new().append(true).open(&input).unwrap();
        let expected = [format!("old {round}"), format!("last {round}"), format!("new {round}")];
        let read = run.texts.len();
        assert_eq!(run.until(read + 3).await[read..], expected);
    }
    let (texts, rejected, _) = run.stop().await;
    assert_eq!(texts.len(), 61);
    assert!(rejected.is_empty());
}

#[tokio::test]
async fn a_renamed_file_that_still_matches_is_not_read_again() {
    let folder = TempDir::new().unwrap();
    let input = path(&folder, "app.log");
    let options = followed(path(&folder, "app.log*"));
    append(&input, "1\n2\n");
    let mut run = Run::start(&options).await;
    run.until(2).await;
    fs::rename(&input, path(&folder, "app.log.1")).unwrap();
    append(&input, "3\n");
    assert_eq!(run.until(3).await, ["1", "2", "3"]);
    append(path(&folder, "app.log.1"), "4\n");
    assert_eq!(run.until(4).await[3], "4");
    let (_, _, positions) = run.stop().await;
    assert_eq!(positions.len(), 2, "each path has its place");
    append(&input, "5\n");
    let mut run = Run::resume(&options, positions).await;
    assert_eq!(run.until(1).await, ["5"]);
    run.stop().await;
}

#[tokio::test]
async fn a_file_that_was_rotated_while_stopped_is_finished_first() {
    let folder = TempDir::new().unwrap();
    let input = path(&folder, "app.log");
    append(&input, "1\n");
    let mut run = Run::start(&followed(input.clone())).await;
    run.until(1).await;
    let (_, _, positions) = run.stop().await;
    append(&input, "2\n");
    fs::rename(&input, path(&folder, "app.log.1")).unwrap();
    append(&input, "3\n");
    let mut run = Run::resume(&followed(input), positions).await;
    assert_eq!(run.until(2).await, ["2", "3"]);
    run.stop().await;
}

#[tokio::test]
async fn a_truncated_file_is_read_from_its_start() {
    let folder = TempDir::new().unwrap();
    let (input, copy) = (path(&folder, "app.log"), path(&folder, "copy"));
    append(&input, "one\ntwo\n");
    let mut run = Run::start(&followed(input.clone())).await;
    run.until(2).await;
    for round in 0..10 {
        fs::copy(&input, &copy).unwrap();
        fs::File::options().write(true).open(&input).unwrap().set_len(0).unwrap();
        append(&input, &format!("{round}\n"));
        assert_eq!(run.until(3 + round).await.last().unwrap(), &round.to_string());
    }
    // A file that was overwritten and is longer than before is not recognised by its length.
    fs::write(&input, "something longer than it was\n").unwrap();
    assert_eq!(run.until(13).await.last().unwrap(), "something longer than it was");
    let (texts, ..) = run.stop().await;
    assert_eq!(texts.len(), 13);
}

#[tokio::test]
async fn new_files_are_found_and_read_from_their_starts() {
    let folder = TempDir::new().unwrap();
    append(path(&folder, "a.log"), "old\nol");
    let mut options = followed(path(&folder, "*.log"));
    options["start_at"] = "end".into();
    let mut run = Run::start(&options).await;
    // The first batch says where the end is; a file that comes later is new from its start.
    run.next().await.unwrap();
    append(path(&folder, "b.log"), "new\n");
    append(path(&folder, "a.log"), "d line\n");
    let mut texts = run.until(2).await.to_vec();
    texts.sort();
    assert_eq!(texts, ["new", "old line"]);
    fs::remove_file(path(&folder, "b.log")).unwrap();
    append(path(&folder, "c.log"), "newer\n");
    assert_eq!(run.until(3).await[2], "newer");
    run.stop().await;
}

#[tokio::test]
async fn a_symlink_is_followed_to_its_new_target() {
    let folder = TempDir::new().unwrap();
    let link = path(&folder, "current");
    for name in ["first", "second"] {
        append(path(&folder, name), &format!("{name}\n"));
    }
    std::os::unix::fs::symlink(path(&folder, "first"), &link).unwrap();
    let mut run = Run::start(&followed(link.clone())).await;
    assert_eq!(run.until(1).await, ["first"]);
    std::os::unix::fs::symlink(path(&folder, "second"), path(&folder, "next")).unwrap();
    fs::rename(path(&folder, "next"), &link).unwrap();
    assert_eq!(run.until(2).await, ["first", "second"]);
    run.stop().await;
}

#[tokio::test]
async fn an_archive_that_appears_is_read_when_it_is_whole() {
    let folder = TempDir::new().unwrap();
    append(path(&folder, "a.log"), "plain\n");
    let mut run = Run::start(&followed(path(&folder, "*"))).await;
    run.until(1).await;
    fs::write(path(&folder, "b.log.gz"), gzip(b"packed\n")).unwrap();
    assert_eq!(run.until(2).await, ["plain", "packed"]);
    append(path(&folder, "a.log"), "more\n");
    run.until(3).await;
    let (texts, rejected, _) = run.stop().await;
    assert_eq!(texts, ["plain", "packed", "more"]);
    assert!(rejected.is_empty());
}

#[tokio::test]
async fn a_dropped_source_ends_its_tasks() {
    let folder = TempDir::new().unwrap();
    let run = Run::start(&followed(path(&folder, "*"))).await;
    let cx = run.cx.clone();
    drop(run);
    cx.tasks().joined().await;
}
