//! Functions of time.

mod print;
mod scan;

use std::time::{SystemTime, UNIX_EPOCH};

use super::clock::Fields;
use super::{Native, error, native};
use crate::exit::Exit;
use crate::meter;
use crate::value::{Array, Val};

pub(super) const NATIVES: &[Native] = &[
    native("now", 0, |_, _| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Ok(Val::Float(since.map_or(0.0, |since| since.as_micros() as f64 / 1e6)))
    }),
    native("gmtime", 0, |value, _| match value.as_number() {
        Some(seconds) => Ok(to_value(&fields_of(seconds)?)),
        None => error("gmtime() requires numeric inputs"),
    }),
    native("localtime", 0, |value, _| match value.as_number() {
        Some(seconds) => Ok(to_value(&fields_of(seconds + local(seconds).0)?)),
        None => error("localtime() requires numeric inputs"),
    }),
    native("mktime", 0, |value, _| match &value {
        Val::Array(parts) => match from_value(parts) {
            Some(fields) => Ok(Val::Float(fields.seconds() as f64)),
            None => error("mktime requires parsed datetime inputs"),
        },
        _ => error("mktime requires array inputs"),
    }),
    native("strftime", 1, |value, arguments| format(&value, &arguments[0], false)),
    native("strflocaltime", 1, |value, arguments| format(&value, &arguments[0], true)),
    native("strptime", 1, |value, arguments| match (&value, &arguments[0]) {
        (Val::Text(text), Val::Text(form)) => scan::scan(text, form),
        _ => error("strptime/1 requires string inputs and arguments"),
    }),
];

/// Times beyond this many seconds have no date.
const FARTHEST: f64 = 67_768_036_191_676_799.0;

fn fields_of(seconds: f64) -> Result<Fields, Exit> {
    if seconds.is_nan() || seconds.abs() > FARTHEST {
        return error("error converting number of seconds since epoch to datetime");
    }
    Ok(Fields::new(seconds))
}

/// The offset of the local time zone at a time, in seconds, and its short name.
fn local(seconds: f64) -> (f64, String) {
    let zone = jiff::tz::TimeZone::system();
    let timestamp = jiff::Timestamp::from_second(seconds as i64).unwrap_or_default();
    let info = zone.to_offset_info(timestamp);
    (f64::from(info.offset().seconds()), info.abbreviation().to_owned())
}

fn to_value(fields: &Fields) -> Val {
    let Fields { year, month, day, hour, minute, second, weekday, yearday } = fields;
    let whole = |number: &i64| Val::Float(*number as f64);
    let mut parts: Vec<Val> = [year, month, day, hour, minute].into_iter().map(whole).collect();
    parts.push(Val::Float(*second));
    parts.extend([weekday, yearday].into_iter().map(whole));
    Val::from(parts)
}

/// The fields that an array holds; those that are missing are 0.
fn from_value(parts: &Array) -> Option<Fields> {
    let number = |place: usize| match parts.get(place) {
        // A year counts from 1900 in the C library.
        None => Some(if place == 0 { 1900.0 } else { 0.0 }),
        Some(value) => value.as_number().filter(|number| !number.is_nan()),
    };
    let whole = |place: usize| Some((number(place)? as i64).clamp(-i64::from(i32::MAX), i64::from(i32::MAX)));
    Some(Fields {
        year: whole(0)?,
        month: whole(1)?,
        day: whole(2)?,
        hour: whole(3)?,
        minute: whole(4)?,
        second: number(5)?.clamp(f64::from(i32::MIN), f64::from(i32::MAX)),
        weekday: whole(6)?,
        yearday: whole(7)?,
    })
}

fn format(value: &Val, form: &Val, is_local: bool) -> Result<Val, Exit> {
    let name = if is_local { "strflocaltime" } else { "strftime" };
    let (fields, zone) = match value {
        Val::Float(_) | Val::Digits(_) => {
            let seconds = value.as_number().unwrap_or(f64::NAN);
            if is_local {
                let (offset, zone) = local(seconds);
                (fields_of(seconds + offset)?, (offset, zone))
            } else {
                (fields_of(seconds)?, (0.0, "UTC".to_owned()))
            }
        }
        Val::Array(parts) => {
            let Some(fields) = from_value(parts) else {
                return error(format!("{name}/1 requires parsed datetime inputs"));
            };
            let fields = fields.normalized();
            let zone = if is_local { local(fields.seconds() as f64) } else { (0.0, "UTC".to_owned()) };
            (fields, zone)
        }
        _ => return error(format!("{name}/1 requires parsed datetime inputs")),
    };
    let Val::Text(form) = form else { return error(format!("{name}/1 requires a string format")) };
    meter::reserve(form.len() * 40)?;
    meter::steps(form.len())?;
    print::print(&fields, (zone.0 as i64, &zone.1), form).map(Val::from)
}
