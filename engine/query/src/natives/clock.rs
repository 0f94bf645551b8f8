//! The calendar: seconds since 1970 to fields and back.

/// A time as fields, as the C library has them.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields {
    pub(super) year: i64,
    /// From 0.
    pub(super) month: i64,
    pub(super) day: i64,
    pub(super) hour: i64,
    pub(super) minute: i64,
    pub(super) second: f64,
    /// From Sunday, 0.
    pub(super) weekday: i64,
    /// From 0.
    pub(super) yearday: i64,
}

const DAY: i64 = 86_400;

/// The number of days from 1970 to a day; months and days beyond their range are carried over.
pub(super) fn days_to(year: i64, month: i64, day: i64) -> i64 {
    let year = year + month.div_euclid(12);
    let month = month.rem_euclid(12);
    // Years begin in March here, so that a leap day is the last of its year.
    let year = if month < 2 { year - 1 } else { year };
    let from_march = (month + 10) % 12;
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * from_march + 2) / 5;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468 + day - 1
}

/// The year, the month from 0 and the day of a number of days since 1970.
fn day_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = (from_march + 2) % 12;
    (year + era * 400 + i64::from(month < 2), month, day)
}

impl Fields {
    /// The fields of a time.
    pub(super) fn new(seconds: f64) -> Self {
        // As in jq: seconds before 1970 are rounded up, and have the fraction of those below them.
        let total = seconds.trunc() as i64;
        let (days, rest) = (total.div_euclid(DAY), total.rem_euclid(DAY));
        let (year, month, day) = day_of(days);
        let mut fields = Self {
            year,
            month,
            day,
            hour: rest / 3600,
            minute: rest / 60 % 60,
            second: (rest % 60) as f64 + (seconds - seconds.floor()),
            ..Self::default()
        };
        fields.complete();
        fields
    }

    /// Finds out the days of the week and of the year.
    pub(super) fn complete(&mut self) {
        let days = days_to(self.year, self.month, self.day);
        self.weekday = (days + 4).rem_euclid(7);
        self.yearday = days - days_to(self.year, 0, 1);
    }

    /// Seconds since 1970, without a fraction.
    pub(super) fn seconds(&self) -> i64 {
        let days = days_to(self.year, self.month, self.day);
        days * DAY + self.hour * 3600 + self.minute * 60 + self.second.trunc() as i64
    }

    /// Carries what is beyond its range over, such as a 32nd day of a month.
    pub(super) fn normalized(&self) -> Self {
        let fraction = self.second.fract();
        let mut fields = Self::new(self.seconds() as f64);
        fields.second += fraction;
        fields
    }

    /// The week of the year and its year, as ISO 8601 counts them.
    pub(super) fn iso_week(&self) -> (i64, i64) {
        let weekday = (self.weekday + 6) % 7;
        let week = (self.yearday - weekday + 10) / 7;
        let weeks_of = |year: i64| {
            let first = (days_to(year, 0, 1) + 3).rem_euclid(7);
            let leap = days_to(year + 1, 0, 1) - days_to(year, 0, 1) == 366;
            if first == 3 || (first == 2 && leap) { 53 } else { 52 }
        };
        if week < 1 {
            (self.year - 1, weeks_of(self.year - 1))
        } else if week > weeks_of(self.year) {
            (self.year + 1, 1)
        } else {
            (self.year, week)
        }
    }
}
