//! The mirror is the header, and the header is what was frozen.

use std::fmt::Write as _;
use std::fs;
use std::mem::{align_of, offset_of, size_of};
use std::path::Path;
use std::process::Command;

use super::*;

/// One line for a struct and one for each of its fields, by their names in C, from what Rust makes of it.
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
            retain, receipts,
        }
        "tg_refused" Refused { data, length, reason }
        "tg_receipts" Receipts { struct_size, n_scope, scope, first, n, bytes, end }
        "tg_out" Out { struct_size, reserved = "_reserved", ctx, emit, reject, leave_from }
        "tg_report" Report { struct_size, reserved = "_reserved", ctx, reject, again, elsewhere }
        "tg_record" Record { struct_size, reserved = "_reserved", source, partition, position, base, done }
        "tg_records" Records { struct_size, reserved = "_reserved", ctx, found }
        "tg_claim" Claim { struct_size, afresh, pipeline, sink }
        "tg_facts" Facts {
            struct_size, replay, commits, settles, waits, parallel, transactional, reserved = "_reserved", ctx,
            output, explain, why_not, domain, no_domain,
        }
        "tg_host" Host {
            struct_size, abi_minor, version, ctx, log, log_level, wake, wake_after, progress, get_extension,
        }
        "tg_create" Create { struct_size, reserved = "_reserved", host, inst, event_size, name, options }
        "tg_open" Open { struct_size, n_resume, resume, by_receipt, reserved = "_reserved" }
        "tg_place" Place { partition, position }
        "tg_base" Base {
            struct_size, reserved = "_reserved", describe, open, drain, close, stop, destroy, get_extension,
        }
        "tg_source" Source { struct_size, reserved = "_reserved", next, commit, settled }
        "tg_filter" Filter { struct_size, reserved = "_reserved", route, process }
        "tg_keep" Keep { struct_size, reserved = "_reserved", ctx, put }
        "tg_state" State { struct_size, reserved = "_reserved", save, restore }
        "tg_sink" Sink { struct_size, reserved = "_reserved", write, claim, commit, settle }
        "tg_component" Component {
            struct_size, kind, caps, reserved = "_reserved", name, summary, sample, schema, create, base, ops,
        }
        "tg_module" Module {
            struct_size, abi_minor, min_host_minor, flags, need_features, id, version, n_components,
            reserved = "_reserved", components, init, get_extension,
        }
    }
}

/// The constants, by their names in C.
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

/// Everything as lines, `name value`.
fn mirror() -> String {
    let layout = ours().into_iter().map(|(name, _, value)| format!("{name} {value}\n"));
    let constants = constants().into_iter().map(|(name, value)| format!("{name} {value}\n"));
    layout.chain(constants).collect()
}

/// The same lines, as a program in C prints them.
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
fn the_mirror_is_the_header() {
    assert_eq!(mirror(), header(&["cc", "-std=c99", "-pedantic"]));
}

#[test]
fn the_header_says_every_field_that_the_mirror_has() {
    // Each struct of the header has as many declared names as the mirror has fields: one that was added to the header
    // alone, in a hole that its alignment leaves, would change no number above.
    let header = include_str!("../include/tidegate_plugin.h");
    let structs = header.matches("typedef struct tg_").count();
    let mirrored = ours().iter().filter(|(name, ..)| name.ends_with(" size")).count();
    assert_eq!(structs, mirrored);
}

/// What was frozen stays. Each file holds the layout of one minor; a later one may only add lines and grow sizes.
#[test]
fn what_was_frozen_stays() {
    assert_kept(include_str!("../include/frozen-1.0.txt"), &mirror());
    assert_kept(include_str!("../include/frozen-1.1.txt"), &mirror());
    assert_kept(include_str!("../include/frozen-1.0.txt"), include_str!("../include/frozen-1.1.txt"));
}

/// The newest minor is frozen as it is: what is added after it needs a file, and a number, of its own.
#[test]
fn what_is_not_frozen_is_not_there() {
    assert_eq!(mirror(), include_str!("../include/frozen-1.1.txt"));
}

#[track_caller]
fn assert_kept(frozen: &str, now: &str) {
    for line in frozen.lines() {
        let (name, value) = line.rsplit_once(' ').unwrap();
        let found = now.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let found: i64 = found.unwrap_or_else(|| panic!("{name} is gone")).parse().unwrap();
        let frozen: i64 = value.parse().unwrap();
        let kept = match name.ends_with(" size") || name == "TG_ABI_MINOR" {
            true => found >= frozen,
            false => found == frozen,
        };
        assert!(kept, "{name} was {frozen} and is {found}");
    }
}

#[test]
fn an_error_is_cut_at_a_character() {
    let error = Error::new(Status::RETRY, &"ä".repeat(1000)).at("/a", Some(1..3), "h");
    assert_eq!((error.message().chars().count(), error.path(), error.help()), (311, "/a".into(), "h".into()));
    assert_eq!((error.range_from, error.range_to, error.code), (1, 3, Status::RETRY));
}
