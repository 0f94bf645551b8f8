//! Compares the mirror with the header, and both with the frozen layouts.

use std::fmt::Write as _;
use std::fs;
use std::mem::{align_of, offset_of, size_of};
use std::path::Path;
use std::process::Command;

use super::*;

/// Lines with the size, alignment and offsets of structs in Rust, under their names in C.
macro_rules! layout {
    ($($c:literal $rust:ident { $($field:ident $(= $named:literal)?),* $(,)? })*) => {{
        let mut lines = Vec::new();
        $(
            lines.push((format!("{} size", $c), format!("sizeof({})", $c), size_of::<$rust>()));
            lines.push((format!("{} align", $c), format!("TG_ALIGN({})", $c), align_of::<$rust>()));
            $({
                let name = [$($named,)? stringify!($field)][0];
                lines.push((format!("{}.{name}", $c), format!("offsetof({}, {name})", $c), offset_of!($rust, $field)));
            })*
        )*
        lines
    }};
}

fn ours() -> Vec<(String, String, usize)> {
    layout! {
        "tg_str" Str { p, n }
        "tg_buf" Buf { p, n }
        "tg_view" View { buf, off, len }
        "tg_attr" Attr { name, kind = "type", value }
        "tg_error" Error { struct_size, code, retry_after_ms, range_from, range_to, path, message, help }
        "tg_run" Run { end, attr, n_attr, reserved = "_reserved", first, sequence, source, partition, position }
        "tg_batch" Batch {
            struct_size, n, n_buf, n_run, n_attr, reserved = "_reserved", buf, data, key, time, attr_end, attr, run, from,
            seq, partition, position, refused, n_refused, n_common, release, owner,
            retain, ack_handles,
        }
        "tg_refused" Refused { data, length, reason }
        "tg_ack_handles" AckHandles { struct_size, n_scope, scope, first, n, bytes, end }
        "tg_out" Out { struct_size, attempt, ctx, emit, reject, defer_from, is_last_attempt, reserved = "_reserved" }
        "tg_report" Report { struct_size, reserved = "_reserved", ctx, reject, retry, failed, already_done }
        "tg_record" Record { struct_size, reserved = "_reserved", source, partition, position, base, done }
        "tg_records" Records { struct_size, reserved = "_reserved", ctx, found }
        "tg_claim" Claim { struct_size, reset, pipeline, sink }
        "tg_capabilities" Capabilities {
            struct_size, replay, wants_commit, wants_batch_done, waits, parallel, transactional,
            reserved = "_reserved", ctx, output, explain, not_transactional, transaction_domain, no_transaction_domain,
            exclusive, warn,
        }
        "tg_host" Host {
            struct_size, abi_minor, version, ctx, log, log_level, wake, wake_after, progress, get_extension,
        }
        "tg_create" Create { struct_size, reserved = "_reserved", host, inst, event_size, name, options }
        "tg_open" Open { struct_size, n_resume, resume, sink_acknowledges, reserved = "_reserved" }
        "tg_resume" Resume { partition, position }
        "tg_base" Base {
            struct_size, reserved = "_reserved", describe, open, drain, close, stop, destroy, get_extension,
        }
        "tg_source" Source { struct_size, reserved = "_reserved", next, commit, batch_done }
        "tg_filter" Filter { struct_size, reserved = "_reserved", route, process }
        "tg_state_writer" StateWriter { struct_size, reserved = "_reserved", ctx, put }
        "tg_state" State { struct_size, reserved = "_reserved", save, restore }
        "tg_sink" Sink { struct_size, reserved = "_reserved", write, claim, commit, ack_and_write }
        "tg_component" Component {
            struct_size, kind, caps, reserved = "_reserved", name, summary, sample, schema, create, base, ops,
        }
        "tg_module" Module {
            struct_size, abi_minor, min_host_minor, flags, need_features, id, version, n_components,
            reserved = "_reserved", components, init, get_extension,
        }
    }
}

/// The constants in Rust, under their names in C.
fn constants() -> Vec<(&'static str, i64)> {
    let status = |status: Status| i64::from(status.0);
    vec![
        ("TG_ABI_MINOR", i64::from(MINOR)),
        ("TG_OK", status(Status::OK)),
        ("TG_PENDING", status(Status::PENDING)),
        ("TG_END", status(Status::END)),
        ("TG_E_CONFIG", status(Status::CONFIG)),
        ("TG_E_RETRY", status(Status::RETRY)),
        ("TG_E_BUSY", status(Status::BUSY)),
        ("TG_E_AMBIGUOUS", status(Status::AMBIGUOUS)),
        ("TG_E_MISCONFIGURED", status(Status::MISCONFIGURED)),
        ("TG_E_REJECT", status(Status::REJECT)),
        ("TG_E_REPLAY", status(Status::REPLAY)),
        ("TG_E_FATAL", status(Status::FATAL)),
        ("TG_E_PANIC", status(Status::PANIC)),
        ("TG_E_CANCELLED", status(Status::CANCELLED)),
        ("TG_E_UNSUPPORTED", status(Status::UNSUPPORTED)),
        ("TG_SOURCE", kind::SOURCE.into()),
        ("TG_FILTER", kind::FILTER.into()),
        ("TG_SINK", kind::SINK.into()),
        ("TG_CAP_BLOCKING", cap::BLOCKING.into()),
        ("TG_CAP_PROCESS", cap::PROCESS.into()),
        ("TG_MOD_PANIC_ABORT", flag::PANIC_ABORT.into()),
        ("TG_MOD_FOREIGN_RUNTIME", flag::FOREIGN_RUNTIME.into()),
        ("TG_REPLAY_NEVER", replay::NEVER.into()),
        ("TG_REPLAY_REDELIVERY", replay::REDELIVERY.into()),
        ("TG_REPLAY_POSITION", replay::POSITION.into()),
        ("TG_TEXT", attribute::TEXT.into()),
        ("TG_INTEGER", attribute::INTEGER.into()),
        ("TG_FLOAT", attribute::FLOAT.into()),
        ("TG_BOOLEAN", attribute::BOOLEAN.into()),
        ("TG_DELIVERED", outcome::DELIVERED.into()),
        ("TG_REJECTED", outcome::REJECTED.into()),
        ("TG_FAILED", outcome::FAILED.into()),
        ("TG_ERROR", level::ERROR.into()),
        ("TG_WARN", level::WARN.into()),
        ("TG_INFO", level::INFO.into()),
        ("TG_DEBUG", level::DEBUG.into()),
        ("TG_TRACE", level::TRACE.into()),
        ("TG_NONE", NONE.into()),
        ("TG_NO_TIME", NO_TIME),
        ("TG_PORT_DROP", PORT_DROP.into()),
        ("TG_PORT_REJECTED", PORT_REJECTED.into()),
    ]
}

/// The layout and the constants in Rust, as lines `name value`.
fn mirror() -> String {
    let layout = ours().into_iter().map(|(name, _, value)| format!("{name} {value}\n"));
    let constants = constants().into_iter().map(|(name, value)| format!("{name} {value}\n"));
    layout.chain(constants).collect()
}

/// The same lines, printed by a program in C.
fn header(compiler: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let mut program = String::from(
        "#include <stdio.h>\n#include \"tidegate_plugin.h\"\n\
         #define TG_ALIGN(T) offsetof(struct { char c; T t; }, t)\nint main(void) {\n",
    );
    for (name, expression, _) in ours() {
        writeln!(program, "printf(\"{name} %zu\\n\", (size_t)({expression}));").unwrap();
    }
    for (name, _) in constants() {
        writeln!(program, "printf(\"{name} %lld\\n\", (long long)({name}));").unwrap();
    }
    program.push_str("return 0; }\n");
    let (source, binary) = (folder.path().join("layout.c"), folder.path().join("layout"));
    fs::write(&source, program).unwrap();
    let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("include");
    let built = Command::new(compiler[0])
        .args(&compiler[1..])
        .args(["-Wall", "-Wextra", "-Werror", "-I"])
        .arg(include)
        .arg("-o")
        .args([&binary, &source])
        .output()
        .expect("there is a C compiler");
    assert!(built.status.success(), "{compiler:?}: {}", String::from_utf8_lossy(&built.stderr));
    String::from_utf8(Command::new(binary).output().unwrap().stdout).unwrap()
}

#[test]
fn mirror_matches_header() {
    assert_eq!(mirror(), header(&["cc", "-std=c99", "-pedantic"]));
}

#[test]
fn mirror_has_every_struct_of_the_header() {
    let header = include_str!("../include/tidegate_plugin.h");
    let structs = header.matches("typedef struct tg_").count();
    let mirrored = ours().iter().filter(|(name, ..)| name.ends_with(" size")).count();
    assert_eq!(structs, mirrored);
}

/// The layouts of the released minors, oldest first. A release adds the file of its minor.
const FROZEN: [&str; 1] = [include_str!("../include/frozen-1.0.txt")];

#[test]
fn each_minor_keeps_the_layout_of_those_before() {
    for (older, newer) in FROZEN.iter().zip(FROZEN.iter().skip(1)) {
        kept(older, newer).unwrap();
    }
    kept(FROZEN[0], &mirror()).unwrap();
}

#[test]
fn newest_minor_is_frozen_as_it_is() {
    assert_eq!(mirror(), FROZEN[FROZEN.len() - 1]);
}

#[test]
fn only_growth_at_the_end_of_a_struct_keeps_a_layout() {
    let frozen = FROZEN[0];
    let (size, tail) = ("tg_sink size 40\n", "tg_sink.ack_and_write 32\n");
    let grown = frozen.replace(size, "tg_sink size 48\n").replace(tail, &format!("{tail}tg_sink.added 40\n"));
    assert_eq!(kept(frozen, &grown.replace("TG_ABI_MINOR 0", "TG_ABI_MINOR 1")), Ok(()));
    // Padding and reserved fields stay what they are: an older library does not set them to zero for this purpose.
    let hole = frozen.replace("tg_open._reserved ", "tg_open.added ");
    assert_eq!(kept(frozen, &hole), Err("tg_open._reserved is gone".into()));
    let moved = frozen.replace("tg_batch.retain 160", "tg_batch.retain 168");
    assert_eq!(kept(frozen, &moved), Err("tg_batch.retain was 160 and is 168".into()));
    let fixed = frozen.replace("tg_view size 12", "tg_view size 16");
    assert_eq!(kept(frozen, &fixed), Err("tg_view size was 12 and is 16".into()));
    let within = format!("{frozen}tg_batch.added 20\n");
    assert_eq!(kept(frozen, &within), Err("tg_batch.added is not at the end of its struct".into()));
    let shrunk = frozen.replace(size, "tg_sink size 32\n");
    assert_eq!(kept(frozen, &shrunk), Err("tg_sink size was 40 and is 32".into()));
}

/// Compares two layouts by the rules of the header.
///
/// # Errors
/// The first line of `frozen` that `now` does not keep.
fn kept(frozen: &str, now: &str) -> Result<(), String> {
    let grows = |name: &str| {
        let sized = |of: &str| frozen.contains(&format!("\n{of}.struct_size 0\n"));
        name == "TG_ABI_MINOR" || name.strip_suffix(" size").is_some_and(sized)
    };
    for line in frozen.lines() {
        let (name, value) = line.rsplit_once(' ').unwrap();
        let found = now.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let found: i64 = found.ok_or_else(|| format!("{name} is gone"))?.parse().unwrap();
        let frozen: i64 = value.parse().unwrap();
        if found < frozen || (found > frozen && !grows(name)) {
            return Err(format!("{name} was {frozen} and is {found}"));
        }
    }
    // An added field comes after all that its struct had, padding included.
    let size = |of: &str| {
        let line = frozen.lines().find_map(|line| line.strip_prefix(of)?.strip_prefix(" size "));
        line.map(|size| size.parse::<i64>().unwrap())
    };
    for (name, offset) in now.lines().filter_map(|line| line.rsplit_once(' ')) {
        let size = name.split_once('.').and_then(|(of, _)| size(of));
        let known = frozen.contains(&format!("\n{name} "));
        if !known && size.is_some_and(|size| offset.parse::<i64>().unwrap() < size) {
            return Err(format!("{name} is not at the end of its struct"));
        }
    }
    Ok(())
}

/// A struct of minor 0, and the same struct as a later minor would declare it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
struct Old {
    struct_size: u32,
    a: u32,
    b: u64,
}
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
struct New {
    struct_size: u32,
    a: u32,
    b: u64,
    added: u64,
}

#[test]
fn field_of_a_newer_minor_is_zero_in_an_older_struct() {
    let old = [Old { struct_size: 16, a: 1, b: 2 }, Old { struct_size: 99, a: 99, b: 99 }];
    let read: New = unsafe { read(old.as_ptr().cast()) };
    assert_eq!(read, New { struct_size: 16, a: 1, b: 2, added: 0 });
    assert_eq!((size_through!(New, b), size_through!(New, added)), (16, 24));
}

#[test]
fn field_of_a_newer_minor_is_not_written_to_an_older_struct() {
    let other = Old { struct_size: 99, a: 99, b: 99 };
    let mut old = [Old { struct_size: 16, a: 0, b: 0 }, other];
    unsafe { write(old.as_mut_ptr().cast(), &New { struct_size: 24, a: 1, b: 2, added: 3 }) };
    assert_eq!(old, [Old { struct_size: 16, a: 1, b: 2 }, other]);
    let mut new = New { struct_size: 24, a: 0, b: 0, added: 7 };
    unsafe { write((&raw mut new).cast(), &old[0]) };
    assert_eq!(new, New { struct_size: 24, a: 1, b: 2, added: 7 });
}

#[test]
fn error_is_cut_between_characters() {
    let error = Error::new(Status::RETRY, &"ä".repeat(1000)).at("/a", Some(1..3), "h");
    assert_eq!((error.message().chars().count(), error.path(), error.help()), (311, "/a".into(), "h".into()));
    assert_eq!((error.range_from, error.range_to, error.code), (1, 3, Status::RETRY));
}
