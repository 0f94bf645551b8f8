//! `strptime`

use super::print::{DAYS, MONTHS};
use crate::exit::Exit;
use crate::natives::clock::Fields;
use crate::natives::error;
use crate::value::{Val, floor};

struct Scanner<'a> {
    rest: &'a str,
    fields: Fields,
    afternoon: Option<bool>,
    century: Option<i64>,
    /// Seconds since 1970, which decide everything.
    seconds: Option<i64>,
    has_day: bool,
    has_weekday: bool,
    has_yearday: bool,
}

/// The fields that `text` has in the form `form`.
pub(super) fn scan(text: &str, form: &str) -> Result<Val, Exit> {
    let fields = Fields { year: 1900, ..Fields::default() };
    let mut scanner = Scanner {
        rest: text,
        fields,
        afternoon: None,
        century: None,
        seconds: None,
        has_day: false,
        has_weekday: false,
        has_yearday: false,
    };
    crate::meter::steps(form.len())?;
    if scanner.form(form, 0).is_none() || !scanner.rest.is_empty() {
        let shown = &text[..floor(text, 200)];
        return error(format!("date \"{shown}\" does not match format \"{form}\""));
    }
    Ok(super::to_value(&scanner.finish()))
}

impl<'a> Scanner<'a> {
    fn form(&mut self, form: &str, depth: usize) -> Option<()> {
        let mut directives = form.chars();
        while let Some(character) = directives.next() {
            if character.is_whitespace() {
                self.rest = self.rest.trim_start();
            } else if character != '%' {
                self.rest = self.rest.strip_prefix(character)?;
            } else {
                let mut directive = directives.next()?;
                while matches!(directive, '-' | '_' | '0' | '^' | '#' | 'E' | 'O') {
                    directive = directives.next()?;
                }
                self.one(directive, depth)?;
            }
        }
        Some(())
    }

    /// A number of at most `digits` digits, within bounds.
    fn number(&mut self, digits: usize, least: i64, most: i64) -> Option<i64> {
        self.rest = self.rest.trim_start_matches(' ');
        let length = self.rest.bytes().take(digits).take_while(u8::is_ascii_digit).count();
        let number = self.rest[..length].parse().ok().filter(|number| (least..=most).contains(number))?;
        self.rest = &self.rest[length..];
        Some(number)
    }

    /// The place of a name, whole or its first three characters, in any case.
    fn name(&mut self, names: &[&str]) -> Option<i64> {
        let starts =
            |name: &str| self.rest.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
        let found = names.iter().enumerate().find_map(|(place, name)| {
            [*name, &name[..3]].into_iter().find(|name| starts(name)).map(|name| (place as i64, name.len()))
        })?;
        self.rest = &self.rest[found.1..];
        Some(found.0)
    }

    fn one(&mut self, directive: char, depth: usize) -> Option<()> {
        match directive {
            'Y' => self.fields.year = self.year()?,
            'm' => self.fields.month = self.number(2, 1, 12)? - 1,
            'd' | 'e' => {
                self.fields.day = self.number(2, 1, 31)?;
                self.has_day = true;
            }
            'H' | 'k' => self.fields.hour = self.number(2, 0, 23)?,
            'I' | 'l' => self.fields.hour = self.number(2, 1, 12)? % 12,
            'M' => self.fields.minute = self.number(2, 0, 59)?,
            'S' => self.fields.second = self.number(2, 0, 61)? as f64,
            'j' => {
                self.fields.yearday = self.number(3, 1, 366)? - 1;
                self.has_yearday = true;
            }
            'y' => {
                let year = self.number(2, 0, 99)?;
                self.fields.year = if year < 69 { 2000 + year } else { 1900 + year };
            }
            'C' => self.century = Some(self.number(2, 0, 99)?),
            'a' | 'A' => {
                self.fields.weekday = self.name(&DAYS)?;
                self.has_weekday = true;
            }
            'b' | 'B' | 'h' => self.fields.month = self.name(&MONTHS)?,
            'p' | 'P' => self.afternoon = Some(self.half()?),
            's' => self.seconds = Some(self.number(18, 0, i64::MAX)?),
            'u' => self.fields.weekday = self.number(1, 1, 7)? % 7,
            'w' => self.fields.weekday = self.number(1, 0, 6)?,
            'U' | 'W' | 'V' => drop(self.number(2, 0, 53)?),
            'G' => drop(self.number(4, 0, 9999)?),
            'g' => drop(self.number(2, 0, 99)?),
            'Z' => self.rest = self.rest.trim_start_matches(|first: char| first.is_ascii_alphabetic()),
            'z' => self.offset()?,
            'n' | 't' => self.rest = self.rest.trim_start(),
            '%' => self.rest = self.rest.strip_prefix('%')?,
            _ if depth > 0 => return None,
            'D' | 'x' => self.form("%m/%d/%y", 1)?,
            'F' => self.form("%Y-%m-%d", 1)?,
            'T' | 'X' => self.form("%H:%M:%S", 1)?,
            'R' => self.form("%H:%M", 1)?,
            'r' => self.form("%I:%M:%S %p", 1)?,
            'c' => self.form("%a %b %e %H:%M:%S %Y", 1)?,
            _ => return None,
        }
        Some(())
    }

    fn year(&mut self) -> Option<i64> {
        let negative = self.rest.starts_with('-');
        self.rest = self.rest.strip_prefix(['-', '+']).unwrap_or(self.rest);
        let year = self.number(4, 0, 9999)?;
        Some(if negative { -year } else { year })
    }

    fn half(&mut self) -> Option<bool> {
        let word = self.rest.get(..2)?.to_ascii_lowercase();
        self.rest = &self.rest[2..];
        match &*word {
            "am" => Some(false),
            "pm" => Some(true),
            _ => None,
        }
    }

    /// `Z`, `+0100` or `+01:00`. As in the C library it is read, and changes nothing.
    fn offset(&mut self) -> Option<()> {
        self.rest = self.rest.trim_start();
        if let Some(rest) = self.rest.strip_prefix('Z') {
            self.rest = rest;
            return Some(());
        }
        self.rest = self.rest.strip_prefix(['+', '-'])?;
        self.number(2, 0, 24)?;
        self.rest = self.rest.strip_prefix(':').unwrap_or(self.rest);
        if self.rest.starts_with(|first: char| first.is_ascii_digit()) {
            self.number(2, 0, 59)?;
        }
        Some(())
    }

    fn finish(mut self) -> Fields {
        if let Some(seconds) = self.seconds {
            return Fields::new(seconds as f64);
        }
        if let Some(century) = self.century {
            self.fields.year = century * 100 + self.fields.year.rem_euclid(100);
        }
        if self.afternoon == Some(true) && self.fields.hour < 12 {
            self.fields.hour += 12;
        }
        let (weekday, yearday) = (self.fields.weekday, self.fields.yearday);
        if self.has_day {
            self.fields.complete();
            if self.has_yearday {
                self.fields.yearday = yearday;
            }
        } else if !self.has_yearday {
            self.fields.yearday = 0;
        }
        if self.has_weekday && !self.has_day {
            self.fields.weekday = weekday;
        }
        self.fields
    }
}
