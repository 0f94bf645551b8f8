//! Changes of files in the field, one test for each.

use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;

use super::*;

#[tokio::test]
async fn a_thousand_rotations_lose_nothing_and_repeat_nothing() {
    let folder = TempDir::new().unwrap();
    let (input, rotated) = (path(&folder, "app.log"), path(&folder, "app.log.1"));
    let mut options = followed(input.clone());
    options["poll_interval"] = "1ms".into();
    append(&input, &lines(0..1));
    let mut run = Run::start(&options).await;
    for round in 1..=1000 {
        // One file waits at most.
        run.until(round as usize).await;
        fs::rename(&input, &rotated).unwrap();
        append(&input, &lines(round..round + 1));
    }
    run.until(1001).await;
    let (texts, rejected, _) = run.stop().await;
    assert_eq!(texts, numbers(0..1001));
    assert!(rejected.is_empty());
}

#[tokio::test]
async fn copying_and_truncating_loses_nothing_that_was_there_to_read() {
    let folder = TempDir::new().unwrap();
    let (input, copy) = (path(&folder, "app.log"), path(&folder, "copy"));
    append(&input, &lines(0..3));
    let mut run = Run::start(&followed(input.clone())).await;
    for round in 1..100 {
        run.until(round as usize * 3).await;
        fs::copy(&input, &copy).unwrap();
        fs::File::options().write(true).open(&input).unwrap().set_len(0).unwrap();
        append(&input, &lines(round * 3..round * 3 + 3));
    }
    run.until(300).await;
    assert_eq!(run.stop().await.0, numbers(0..300));
}

#[tokio::test]
async fn a_file_that_was_overwritten_and_is_longer_is_read_from_its_start() {
    let folder = TempDir::new().unwrap();
    let input = path(&folder, "app.log");
    append(&input, "a\n");
    let options = followed(input.clone());
    let mut run = Run::start(&options).await;
    run.until(1).await;
    for round in 0..20usize {
        let text = format!("{}\n", "b".repeat(round + 10));
        fs::write(&input, format!("{round}\n{text}")).unwrap();
        assert_eq!(run.until(3 + round * 2).await[1 + round * 2], round.to_string());
    }
    let (_, _, positions) = run.stop().await;
    fs::write(&input, format!("while stopped\n{}\n", "c".repeat(100))).unwrap();
    let mut run = Run::resume(&options, positions).await;
    assert_eq!(run.until(2).await[0], "while stopped");
    run.stop().await;
}

#[tokio::test]
async fn a_file_that_has_the_inode_of_a_deleted_one_is_new() {
    let folder = TempDir::new().unwrap();
    let input = path(&folder, "app.log");
    let options = json!({ "path": input });
    let mut reused = 0;
    for round in 0..50 {
        fs::write(&input, format!("round {round}\n{}", lines(0..5))).unwrap();
        let before = fs::metadata(&input).unwrap().ino();
        let (texts, _, positions) = Run::start(&options).await.end().await;
        assert_eq!(texts.len(), 6);
        fs::remove_file(&input).unwrap();
        fs::write(&input, format!("other {round}\n{}", lines(0..5))).unwrap();
        reused += u32::from(fs::metadata(&input).unwrap().ino() == before);
        let (texts, ..) = Run::resume(&options, positions).await.end().await;
        assert_eq!((texts.len(), &*texts[0]), (6, &*format!("other {round}")));
    }
    println!("the inode was the same {reused} times of 50");
}

#[tokio::test]
async fn files_with_the_same_first_kilobyte_are_distinguished() {
    let folder = TempDir::new().unwrap();
    let head = "# the same banner in each file\n".repeat(50);
    let files = [path(&folder, "a.log"), path(&folder, "b.log")];
    for file in &files {
        fs::write(file, format!("{head}{file}\n")).unwrap();
    }
    let options = json!({ "path": path(&folder, "*.log") });
    let (texts, _, positions) = Run::start(&options).await.end().await;
    assert_eq!(texts.len(), 102);
    let (again, ..) = Run::resume(&options, positions.clone()).await.end().await;
    assert!(again.is_empty());
    // Each in the place of the other.
    fs::rename(&files[0], path(&folder, "c")).unwrap();
    fs::rename(&files[1], &files[0]).unwrap();
    fs::rename(path(&folder, "c"), &files[1]).unwrap();
    let (texts, ..) = Run::resume(&options, positions).await.end().await;
    assert_eq!(texts.len(), 102);
}

#[tokio::test]
async fn a_last_line_that_grows_is_one_event() {
    let folder = TempDir::new().unwrap();
    let input = path(&folder, "app.log");
    append(&input, "first\n");
    let mut run = Run::start(&followed(input.clone())).await;
    run.until(1).await;
    let mut positions = BTreeMap::new();
    for part in ["gr", "ow", "ing"] {
        append(&input, part);
        // Stopped and resumed in its middle too.
        let (texts, _, after) = run.stop().await;
        assert!(texts.len() <= 1, "{texts:?}");
        positions.extend(after);
        run = Run::resume(&followed(input.clone()), positions.clone()).await;
    }
    append(&input, "\n");
    assert_eq!(run.until(1).await, ["growing"]);
    run.stop().await;
}

#[tokio::test]
async fn bytes_that_are_not_text_pass_unchanged() {
    let folder = TempDir::new().unwrap();
    let input = path(&folder, "input");
    let bytes = b"\xef\xbb\xbf\xff\xfe\r\na\0b\n\r\r\n\xef\xbb\xbfmiddle\r\n\xc3(";
    fs::write(&input, bytes).unwrap();
    let mut run = Run::start(&json!({ "path": input })).await;
    let mut payloads = Vec::new();
    while let Some(next) = run.next().await {
        payloads.extend(next.batch.payloads().map(<[u8]>::to_vec));
    }
    let expected: [&[u8]; 5] = [b"\xff\xfe", b"a\0b", b"\r", b"\xef\xbb\xbfmiddle", b"\xc3("];
    assert_eq!(payloads, expected);
}

/// Bytes of memory that this process holds.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

#[tokio::test]
async fn an_archive_that_unpacks_to_much_is_read_in_little_memory() {
    let folder = TempDir::new().unwrap();
    let bombs = [zstd::encode_all(std::io::repeat(b'x').take(256 << 20), 1).unwrap(), {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::copy(&mut std::io::repeat(b'x').take(128 << 20), &mut encoder).unwrap();
        encoder.finish().unwrap()
    }];
    for bomb in bombs {
        assert!(bomb.len() < 2 << 20, "it is small while it is packed");
        fs::write(path(&folder, "bomb"), bomb).unwrap();
        let before = resident();
        let mut run = Run::start(&json!({ "path": path(&folder, "bomb") })).await;
        while run.next().await.is_some() {}
        assert_eq!(run.texts.len(), 0);
        assert!(run.rejected.len() == 1 && run.rejected[0].contains("over the limit"), "{:?}", run.rejected);
        let grown = resident().saturating_sub(before);
        assert!(grown < 64 << 20, "{} MiB", grown >> 20);
    }
}
