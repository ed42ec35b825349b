use pyo3::prelude::*;
use pyo3::types::{
    PyDate, PyDateAccess, PyDateTime, PyDelta, PyDeltaAccess, PyTimeAccess, PyTzInfo,
};
use twinfold_model::EventTime;

const DAY_S: i64 = 86_400;
const SECOND_US: i64 = 1_000_000;
const DAY_US: i64 = DAY_S * SECOND_US;

/// Days from 1970-01-01 to a day of the proleptic Gregorian calendar.
fn days_from_civil(year: i32, month: u8, day: u8) -> i32 {
    let (month, day) = (i32::from(month), i32::from(day));
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The inverse of [`days_from_civil`].
fn civil_from_days(days: i64) -> (i32, u8, u8) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    // Years far outside Python's range are refused by its constructors.
    let year = i32::try_from(year).unwrap_or(i32::MAX);
    (year, month as u8, day as u8)
}

pub fn days_of(date: &Bound<'_, PyDate>) -> i32 {
    days_from_civil(date.get_year(), date.get_month(), date.get_day())
}

/// Microseconds since 1970-01-01T00:00:00Z; a time without a zone is taken as UTC.
pub fn micros_of(time: &Bound<'_, PyDateTime>) -> PyResult<i64> {
    let days = days_from_civil(time.get_year(), time.get_month(), time.get_day());
    let seconds = i64::from(time.get_hour()) * 3_600
        + i64::from(time.get_minute()) * 60
        + i64::from(time.get_second());
    let offset = time.call_method0("utcoffset")?;
    let offset_us = if offset.is_none() {
        0
    } else {
        let offset = offset.cast_into::<PyDelta>()?;
        (i64::from(offset.get_days()) * DAY_S + i64::from(offset.get_seconds())) * SECOND_US
            + i64::from(offset.get_microseconds())
    };
    let local = i64::from(days) * DAY_US + seconds * SECOND_US + i64::from(time.get_microsecond());
    Ok(local - offset_us)
}

pub fn date(py: Python<'_>, days: i32) -> PyResult<Bound<'_, PyDate>> {
    let (year, month, day) = civil_from_days(days.into());
    PyDate::new(py, year, month, day)
}

/// A `datetime` in UTC.
pub fn datetime(py: Python<'_>, micros: i64) -> PyResult<Bound<'_, PyDateTime>> {
    let (year, month, day) = civil_from_days(micros.div_euclid(DAY_US));
    let of_day = micros.rem_euclid(DAY_US);
    let second = of_day / SECOND_US;
    PyDateTime::new(
        py,
        year,
        month,
        day,
        (second / 3_600) as u8,
        (second / 60 % 60) as u8,
        (second % 60) as u8,
        (of_day % SECOND_US) as u32,
        Some(&PyTzInfo::utc(py)?.to_owned()),
    )
}

/// A time on its way to Python.
pub struct Instant(pub EventTime);

impl<'py> IntoPyObject<'py> for Instant {
    type Target = PyDateTime;
    type Output = Bound<'py, PyDateTime>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Self::Output> {
        datetime(py, self.0.micros())
    }
}
