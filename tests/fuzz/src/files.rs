//! Contents of files for the source `file`.

use std::io::{Read, Write};

use flate2::read::MultiGzDecoder;
use serde_json::json;
use tidegate_file::{CsvOptions, Header, fuzzing::records};
use tidegate_testkit as testkit;

use crate::choice;

/// The first byte chooses the options and the size of the pieces; the rest is a CSV file.
pub(crate) fn csv(bytes: &[u8]) {
    let (choice, input) = choice(bytes);
    let names = Header::Names(vec!["a".into(), "b".into()]);
    let header = if choice.is_multiple_of(2) { Header::First(true) } else { names };
    let options = CsvOptions { header, types: choice & 2 != 0, ..CsvOptions::default() };
    let limit = if choice & 4 == 0 { 24 } else { 1 << 20 };
    let whole = records(&options, input, input.len().max(1), limit);
    assert_eq!(records(&options, input, 1 + choice / 8, limit), whole);
    for text in whole.iter().flat_map(|(texts, _)| texts) {
        assert_eq!(tidegate_sdk::json::check(text.as_bytes()), Ok(()), "{text}");
    }
}

/// The bytes are a file, perhaps compressed. The valid part is read in bounded memory.
pub(crate) fn packed(bytes: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder for the file");
    let path = folder.path().join("file");
    std::fs::File::create(&path).and_then(|mut file| file.write_all(bytes)).expect("the file is written");
    let plugin = testkit::plugin(
        tidegate_file::plugins().into_iter().filter(|plugin| plugin.kind() == tidegate_sdk::Kind::Source),
        "file",
    );
    let mut source = testkit::build_source(&plugin, &json!({ "path": path }));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let read = runtime.block_on(testkit::read_all(source.as_mut()));
    // A file that decompresses completely is read completely.
    let unpacked = unpacked(bytes);
    if let (Ok((texts, refused)), Some(unpacked)) = (read, unpacked) {
        let lines = unpacked.split(|byte| *byte == b'\n').filter(|line| !matches!(*line, b"" | b"\r"));
        assert_eq!(texts.len() + refused.len(), lines.count());
    }
}

fn unpacked(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut unpacked = Vec::new();
    let read = match bytes {
        [0x1f, 0x8b, 8, _, ..] => MultiGzDecoder::new(bytes).take(1 << 20).read_to_end(&mut unpacked),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => zstd::stream::read::Decoder::new(bytes)
            .and_then(|all| all.take(1 << 20).read_to_end(&mut unpacked)),
        _ => return None,
    };
    read.ok().filter(|read| *read < 1 << 20)?;
    Some(unpacked)
}
