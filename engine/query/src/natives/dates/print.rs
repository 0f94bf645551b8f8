//! `strftime`

use std::fmt::Write;

use crate::exit::Exit;
use crate::natives::clock::Fields;

pub(super) const DAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// The time in the form `form`, in a zone with an offset in seconds and a name.
pub(super) fn print(fields: &Fields, zone: (i64, &str), form: &str) -> Result<String, Exit> {
    let mut out = String::new();
    let mut rest = form.chars();
    while let Some(character) = rest.next() {
        if character != '%' {
            out.push(character);
            continue;
        }
        let mut directive = rest.next();
        let mut pad = None;
        while let Some(flag @ ('-' | '_' | '0' | '^' | '#' | 'E' | 'O')) = directive {
            pad = Some(flag);
            directive = rest.next();
        }
        let Some(directive) = directive else {
            out.push('%');
            break;
        };
        let start = out.len();
        one(fields, zone, directive, &mut out);
        adjust(&mut out, start, pad);
    }
    Ok(out)
}

/// Applies a flag of the C library to what was appended from `start` on.
fn adjust(out: &mut String, start: usize, pad: Option<char>) {
    let text = out[start..].to_owned();
    let digits = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b' ');
    let adjusted = match pad {
        Some('-') if digits && text.len() > 1 => {
            let short = text.trim_start_matches(['0', ' ']);
            if short.is_empty() { "0".to_owned() } else { short.to_owned() }
        }
        Some('_') if digits => {
            let short = text.trim_start_matches('0');
            format!("{short:>width$}", width = text.len())
        }
        Some('^' | '#') => text.to_uppercase(),
        _ => return,
    };
    out.truncate(start);
    out.push_str(&adjusted);
}

fn one(fields: &Fields, zone: (i64, &str), directive: char, out: &mut String) {
    let Fields { year, month, day, hour, minute, second, weekday, yearday } = fields;
    let hour_of_12 = (hour + 11) % 12 + 1;
    let name = |names: &[&'static str], place: i64| {
        usize::try_from(place).ok().and_then(|place| names.get(place).copied()).unwrap_or("?")
    };
    let whole = second.trunc() as i64;
    let again = |form: &str, out: &mut String| {
        for directive in form.chars() {
            if directive.is_ascii_alphabetic() {
                one(fields, zone, directive, out);
            } else {
                out.push(directive);
            }
        }
    };
    // Writing to memory does not fail.
    let _ = match directive {
        'Y' => write!(out, "{year}"),
        'C' => write!(out, "{:02}", year.div_euclid(100)),
        'y' => write!(out, "{:02}", year.rem_euclid(100)),
        'm' => write!(out, "{:02}", month + 1),
        'd' => write!(out, "{day:02}"),
        'e' => write!(out, "{day:2}"),
        'H' => write!(out, "{hour:02}"),
        'I' => write!(out, "{hour_of_12:02}"),
        'k' => write!(out, "{hour:2}"),
        'l' => write!(out, "{hour_of_12:2}"),
        'M' => write!(out, "{minute:02}"),
        'S' => write!(out, "{whole:02}"),
        'j' => write!(out, "{:03}", yearday + 1),
        'Z' => write!(out, "{}", zone.1),
        'z' => {
            let sign = if zone.0 < 0 { '-' } else { '+' };
            write!(out, "{sign}{:02}{:02}", zone.0.abs() / 3600, zone.0.abs() / 60 % 60)
        }
        'a' => write!(out, "{}", &name(&DAYS, *weekday)[..3]),
        'A' => write!(out, "{}", name(&DAYS, *weekday)),
        'b' | 'h' => write!(out, "{}", &name(&MONTHS, *month)[..3]),
        'B' => write!(out, "{}", name(&MONTHS, *month)),
        'p' => write!(out, "{}", if *hour < 12 { "AM" } else { "PM" }),
        'P' => write!(out, "{}", if *hour < 12 { "am" } else { "pm" }),
        's' => write!(out, "{}", fields.seconds() - zone.0),
        'u' => write!(out, "{}", if *weekday == 0 { 7 } else { *weekday }),
        'w' => write!(out, "{weekday}"),
        'G' => write!(out, "{}", fields.iso_week().0),
        'g' => write!(out, "{:02}", fields.iso_week().0.rem_euclid(100)),
        'V' => write!(out, "{:02}", fields.iso_week().1),
        'U' => write!(out, "{:02}", (yearday + 7 - weekday) / 7),
        'W' => write!(out, "{:02}", (yearday + 7 - (weekday + 6) % 7) / 7),
        'n' => writeln!(out),
        't' => write!(out, "\t"),
        '%' => write!(out, "%"),
        other => {
            match other {
                'D' | 'x' => again("m/d/y", out),
                'F' => again("Y-m-d", out),
                'T' | 'X' => again("H:M:S", out),
                'R' => again("H:M", out),
                'r' => again("I:M:S p", out),
                'c' => again("a b e H:M:S Y", out),
                '+' => again("a b e H:M:S Z Y", out),
                unknown => {
                    out.push('%');
                    out.push(unknown);
                }
            }
            Ok(())
        }
    };
}
