//! When a parcel is handed over and when it arrives: working days, holidays, and the hour until which it still goes today.

use jiff::{
    Timestamp,
    civil::{Date, Time, Weekday},
    tz::TimeZone,
};

/// Days looked ahead; a service that has no working day until then has no quote.
const DAYS_AHEAD_MAX: usize = 366;

/// The days a service works, and until when it takes a parcel on the same day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Calendar {
    /// From this moment on a parcel goes on the next working day.
    pub(super) cut_off: Time,
    /// Bit 0 is Monday.
    work_days: u8,
    /// In order.
    holidays: Vec<Date>,
}

impl Calendar {
    /// Makes one of its parts, holidays in any order.
    pub(super) fn new(cut_off: Time, work_days: &[Weekday], mut holidays: Vec<Date>) -> Self {
        let work_days = work_days.iter().fold(0, |mask, day| mask | bit(*day));
        holidays.sort_unstable();
        holidays.dedup();
        Self { cut_off, work_days, holidays }
    }

    /// The day on which a parcel ready at `now` is handed over, and the `count` working days after it; fewer when they are more than
    /// a year away.
    ///
    /// The cut-off is a moment, so a clock put back past it does not open the day again; one that falls into a gap is as much later.
    pub(super) fn working_days(&self, now: Timestamp, time_zone: &TimeZone, count: usize) -> Vec<Date> {
        let today = time_zone.to_datetime(now).date();
        let goes_today = time_zone.to_timestamp(today.to_datetime(self.cut_off)).is_ok_and(|cut| now < cut);
        let first = if goes_today { Some(today) } else { today.tomorrow().ok() };
        let ahead = std::iter::successors(first, |date| date.tomorrow().ok()).take(DAYS_AHEAD_MAX);
        let mut days = Vec::with_capacity(count.min(DAYS_AHEAD_MAX) + 1);
        days.extend(ahead.filter(|date| self.works_on(*date)).take(count.saturating_add(1)));
        days
    }

    fn works_on(&self, date: Date) -> bool {
        self.work_days & bit(date.weekday()) != 0 && self.holidays.binary_search(&date).is_err()
    }
}

fn bit(day: Weekday) -> u8 {
    1 << day.to_monday_zero_offset()
}

#[cfg(test)]
mod tests {
    use jiff::{civil::date, tz::TimeZoneDatabase};

    use super::*;

    const WEEK: [Weekday; 5] =
        [Weekday::Monday, Weekday::Tuesday, Weekday::Wednesday, Weekday::Thursday, Weekday::Friday];
    const ALL_DAYS: [Weekday; 7] = [
        Weekday::Monday,
        Weekday::Tuesday,
        Weekday::Wednesday,
        Weekday::Thursday,
        Weekday::Friday,
        Weekday::Saturday,
        Weekday::Sunday,
    ];

    /// As in a container that has no time zones of its own.
    fn zone(name: &str) -> TimeZone {
        TimeZoneDatabase::bundled().get(name).expect("a bundled time zone")
    }

    #[track_caller]
    fn check(calendar: &Calendar, zone_name: &str, now: &str, count: usize, dispatch: &str, arrives: &str) {
        let days = calendar.working_days(now.parse().expect("a time"), &zone(zone_name), count);
        let shown = |date: Option<&Date>| date.map(Date::to_string).unwrap_or_default();
        let both = (shown(days.first()), shown(days.get(count)));
        assert_eq!(both, (dispatch.to_owned(), arrives.to_owned()), "{now} in {zone_name}");
    }

    #[test]
    fn the_cut_off_decides_to_the_minute_in_the_tables_time_zone() {
        let calendar = Calendar::new(Time::constant(15, 0, 0, 0), &WEEK, Vec::new());
        let check = |now, dispatch, arrives| check(&calendar, "Europe/Berlin", now, 1, dispatch, arrives);
        check("2026-11-24T13:59:00Z", "2026-11-24", "2026-11-25");
        check("2026-11-24T13:59:59.999999999Z", "2026-11-24", "2026-11-25");
        check("2026-11-24T14:00:00Z", "2026-11-25", "2026-11-26");
        // Summer time: the same hour is an hour earlier in UTC.
        check("2026-07-14T12:59:59Z", "2026-07-14", "2026-07-15");
        check("2026-07-14T13:00:00Z", "2026-07-15", "2026-07-16");
        // Midnight is the shop's.
        check("2026-11-23T23:00:00Z", "2026-11-24", "2026-11-25");
        check("2026-11-23T22:59:59Z", "2026-11-24", "2026-11-25");
        check("2026-11-22T23:00:00Z", "2026-11-23", "2026-11-24");
    }

    #[test]
    fn days_on_which_the_clock_changes_have_one_cut_off() {
        let at = |hour| Calendar::new(Time::constant(hour, 30, 0, 0), &ALL_DAYS, Vec::new());
        let check = |calendar: &Calendar, now, dispatch| {
            let next = calendar.working_days(now_of(now), &zone("Europe/Berlin"), 0);
            assert_eq!(next.first().map(Date::to_string).as_deref(), Some(dispatch), "{now}");
        };
        fn now_of(now: &str) -> Timestamp {
            now.parse().expect("a time")
        }
        // 2026-03-29 has no 02:30: the cut-off is at 03:30 summer time.
        check(&at(2), "2026-03-29T01:29:59Z", "2026-03-29");
        check(&at(2), "2026-03-29T01:30:00Z", "2026-03-30");
        // 2026-10-25 has 02:30 twice: the first counts, and the second 02:15 is after it.
        check(&at(2), "2026-10-25T00:29:59Z", "2026-10-25");
        check(&at(2), "2026-10-25T00:30:00Z", "2026-10-26");
        check(&at(2), "2026-10-25T01:15:00Z", "2026-10-26");
        check(&at(15), "2026-10-25T14:29:59Z", "2026-10-25");
        check(&at(15), "2026-10-25T14:30:00Z", "2026-10-26");
        check(&at(15), "2026-03-29T13:29:59Z", "2026-03-29");
        check(&at(15), "2026-03-29T13:30:00Z", "2026-03-30");
    }

    #[test]
    fn weekends_and_holidays_carry_nothing() {
        let holidays = vec![date(2027, 1, 1), date(2026, 12, 25), date(2026, 12, 26), date(2026, 12, 24)];
        let calendar = Calendar::new(Time::constant(15, 0, 0, 0), &WEEK, holidays);
        let check =
            |now, count, dispatch, arrives| check(&calendar, "Europe/Berlin", now, count, dispatch, arrives);
        // A Friday before and after the cut-off, a Saturday, a Sunday.
        check("2026-11-20T13:00:00Z", 1, "2026-11-20", "2026-11-23");
        check("2026-11-20T15:00:00Z", 1, "2026-11-23", "2026-11-24");
        check("2026-11-21T08:00:00Z", 1, "2026-11-23", "2026-11-24");
        check("2026-11-22T22:00:00Z", 0, "2026-11-23", "2026-11-23");
        // Christmas, and the turn of the year.
        check("2026-12-23T15:00:00Z", 1, "2026-12-28", "2026-12-29");
        check("2026-12-31T13:00:00Z", 2, "2026-12-31", "2027-01-05");
        check("2026-12-31T15:00:00Z", 1, "2027-01-04", "2027-01-05");
        check("2028-02-28T13:00:00Z", 2, "2028-02-28", "2028-03-01");
    }

    #[test]
    fn the_search_ends_after_a_year() {
        let none = Calendar::new(Time::MIN, &[], Vec::new());
        check(&none, "UTC", "2026-11-20T13:00:00Z", 1, "", "");
        let mondays = Calendar::new(Time::constant(15, 0, 0, 0), &[Weekday::Monday], Vec::new());
        check(&mondays, "UTC", "2026-11-20T13:00:00Z", 51, "2026-11-23", "2027-11-15");
        check(&mondays, "UTC", "2026-11-20T13:00:00Z", 60, "2026-11-23", "");
        check(&none, "UTC", "9999-12-30T21:59:59Z", 1, "", "");
    }
}
