//! Contents that are not whole yet, not text, or not what they seem.

use std::fs;
use std::os::unix::fs::FileExt;

use super::*;

/// The header that `tar` writes for a file `a.log` of 3 bytes.
fn tar_header(magic: &[u8]) -> Vec<u8> {
    let mut header = vec![0; 512];
    for (at, field) in [
        (0, &b"a.log"[..]),
        (100, b"0000644\0"),
        (108, b"0001750\0"),
        (116, b"0001750\0"),
        (124, b"00000000003\0"),
        (136, b"14712345670\0"),
        (148, b"        "),
        (156, b"0"),
        (257, magic),
    ] {
        header[at..at + field.len()].copy_from_slice(field);
    }
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

type Pack = fn(&[u8]) -> Vec<u8>;

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

const PACKS: [(&str, Pack); 2] = [("log.gz", gzip), ("log.zst", zstd)];

#[tokio::test]
async fn an_archive_that_pauses_while_it_is_copied_is_read_whole() {
    for (name, pack) in PACKS {
        let folder = TempDir::new().unwrap();
        let input = path(&folder, name);
        let packed = pack(lines(0..200_000).as_bytes());
        let (half, rest) = packed.split_at(packed.len() / 2);
        fs::write(&input, half).unwrap();
        let mut run = Run::start(&followed(input.clone())).await;
        run.until(1000).await;
        // It is stopped in the middle as well, and the file grows meanwhile.
        let (mut texts, rejected, positions) = run.stop().await;
        assert!(rejected.is_empty(), "{rejected:?}");
        let (third, rest) = rest.split_at(rest.len() / 2);
        let mut file = fs::OpenOptions::new().append(true).open(&input).unwrap();
        file.write_all(third).unwrap();
        let mut run = Run::resume(&followed(input), positions).await;
        run.until(1000).await;
        file.write_all(rest).unwrap();
        run.until(200_000 - texts.len()).await;
        let (more, rejected, _) = run.stop().await;
        texts.extend(more);
        assert!(texts == numbers(0..200_000), "{name}: {}", texts.len());
        assert!(rejected.is_empty(), "{rejected:?}");
    }
}

#[tokio::test]
async fn members_that_are_appended_to_a_followed_archive_come() {
    for (name, pack) in PACKS {
        let folder = TempDir::new().unwrap();
        let input = path(&folder, name);
        fs::write(&input, pack(b"0\n")).unwrap();
        let mut run = Run::start(&followed(input.clone())).await;
        run.until(1).await;
        for number in 1..20 {
            let mut file = fs::OpenOptions::new().append(true).open(&input).unwrap();
            file.write_all(&pack(format!("{number}\n").as_bytes())).unwrap();
            assert_eq!(run.until(number + 1).await[number], number.to_string(), "{name}");
        }
        let (_, rejected, positions) = run.stop().await;
        assert!(rejected.is_empty(), "{rejected:?}");
        let mut file = fs::OpenOptions::new().append(true).open(&input).unwrap();
        // The last line of an archive needs no line end.
        file.write_all(&pack(b"20\n21")).unwrap();
        let mut run = Run::resume(&followed(input), positions).await;
        assert_eq!(run.until(2).await, ["20", "21"], "{name}");
        run.stop().await;
    }
}

#[tokio::test]
async fn an_archive_read_once_that_was_torn_goes_on_when_it_has_grown() {
    for (name, pack) in PACKS {
        let folder = TempDir::new().unwrap();
        let input = path(&folder, name);
        let options = json!({ "path": input });
        let packed = pack(lines(0..100_000).as_bytes());
        fs::write(&input, &packed[..packed.len() / 2]).unwrap();
        let (mut texts, rejected, positions) = Run::start(&options).await.end().await;
        assert!(rejected.len() == 1 && rejected[0].contains("ends within a member"), "{rejected:?}");
        let (none, rejected, positions) = Run::resume(&options, positions).await.end().await;
        assert_eq!((none.len(), rejected.len()), (0, 0), "it is reported once");
        fs::write(&input, packed).unwrap();
        let (more, rejected, _) = Run::resume(&options, positions).await.end().await;
        texts.extend(more);
        // The beginning of the last line is in the dead letters.
        assert!(texts.len() >= 99_999 && texts.last().unwrap() == "line 099999", "{}", texts.len());
        assert!(rejected.is_empty(), "{rejected:?}");
    }
}

#[tokio::test]
async fn zeros_in_front_after_truncation_are_skipped() {
    let folder = TempDir::new().unwrap();
    let input = path(&folder, "app.log");
    append(&input, "one\nsome more\n");
    let mut run = Run::start(&followed(input.clone())).await;
    run.until(2).await;
    let writer = fs::File::options().write(true).open(&input).unwrap();
    for (round, hole) in [(0, 14), (1, 70_000), (2, 3 << 30)] {
        fs::File::options().write(true).open(&input).unwrap().set_len(0).unwrap();
        writer.write_all_at(format!("{round}\n").as_bytes(), hole).unwrap();
        assert_eq!(run.until(3 + round).await[2 + round], round.to_string());
    }
    let (texts, rejected, positions) = run.stop().await;
    assert_eq!((texts.len(), rejected.len()), (5, 0));
    append(&input, "last\n");
    let mut run = Run::resume(&followed(input), positions).await;
    assert_eq!(run.until(1).await, ["last"]);
    run.stop().await;
}

#[tokio::test]
async fn a_few_zeros_in_front_are_data() {
    let folder = TempDir::new().unwrap();
    let input = path(&folder, "input");
    for text in ["\0\0x\n", "\0\n", "\0"] {
        fs::write(&input, text).unwrap();
        let (texts, rejected, _) = Run::start(&json!({ "path": input })).await.end().await;
        assert_eq!((texts, rejected.len()), (vec![text.trim_end().to_owned()], 0));
    }
}

#[tokio::test]
async fn formats_without_lines_are_refused_and_other_files_are_read() {
    let folder = TempDir::new().unwrap();
    let utf16: Vec<u8> = "a line of text\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let tar = [tar_header(b"ustar\x0000"), vec![0; 1536]].concat();
    let files: [(Vec<u8>, &str); 9] = [
        (b"\xff\xfeo\0n\0e\0\n\0".to_vec(), "it is UTF-16"),
        (b"BZh91AY&SY\x12\x34".to_vec(), "it is compressed with bzip2"),
        (b"\xfd7zXZ\0\0\x04".to_vec(), "it is compressed with xz"),
        (b"PK\x03\x04\x14\0\0\0".to_vec(), "it is a zip"),
        (utf16.clone(), "it is UTF-16 text without a byte order mark"),
        (tar.clone(), "it is a tar archive"),
        (gzip(&tar), "it is a tar archive"),
        (zstd(&utf16), "it is UTF-16 text"),
        (gzip(&gzip(b"text\n")), "it is compressed twice"),
    ];
    for (number, (bytes, _)) in files.iter().enumerate() {
        fs::write(path(&folder, &number.to_string()), bytes).unwrap();
    }
    fs::write(path(&folder, "text"), "text\n").unwrap();
    for follow in [false, true] {
        let mut options = followed(path(&folder, "*"));
        options["follow"] = follow.into();
        let mut run = Run::start(&options).await;
        while run.texts.is_empty() || run.rejected.len() < files.len() {
            run.next().await.unwrap();
        }
        let (texts, mut rejected, positions) = run.stop().await;
        assert_eq!(texts, ["text"]);
        rejected.sort();
        for (number, (reason, (_, expected))) in rejected.iter().zip(&files).enumerate() {
            let expected = format!("/{number} cannot be read: {expected}");
            assert!(reason.contains(&expected), "{reason}");
        }
        let mut run = Run::resume(&options, positions).await;
        append(path(&folder, "text"), "text\n");
        run.until(1).await;
        let (_, again, _) = run.stop().await;
        assert_eq!(again, [""; 0], "each file is reported once");
        fs::write(path(&folder, "text"), "text\n").unwrap();
    }
}

#[tokio::test]
async fn the_first_byte_of_an_archive_is_not_taken_for_text() {
    let folder = TempDir::new().unwrap();
    let mut options = followed(path(&folder, "*"));
    options["poll_interval"] = "200ms".into();
    append(path(&folder, "a"), "text\n");
    let mut run = Run::start(&options).await;
    run.until(1).await;
    let packed = gzip(b"packed\n");
    let mut file = fs::File::create(path(&folder, "b")).unwrap();
    file.write_all(&packed[..1]).unwrap();
    append(path(&folder, "c"), "found at the same look\n");
    run.until(2).await;
    file.write_all(&packed[1..]).unwrap();
    assert_eq!(run.until(3).await[2], "packed");
    run.stop().await;
}

#[tokio::test]
async fn special_files_are_refused_without_waiting() {
    let folder = TempDir::new().unwrap();
    let pipe = path(&folder, "pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o644.into(), 0).unwrap();
    for (path, expected) in [(pipe.as_str(), "a named pipe"), ("/dev/null", "a device"), ("/", "a folder")] {
        let (cx, _) = context();
        let mut source = build_source(&plugin(), &json!({ "path": path }));
        let error = source.open(&cx).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        let mut source = build_source(&plugin(), &followed(path));
        source.open(&cx).await.unwrap();
        let error = source.next(&cx).await.unwrap_err();
        assert!(
            error.class() == tidegate_sdk::Class::Fatal && error.to_string().contains(expected),
            "{error}"
        );
    }
}
