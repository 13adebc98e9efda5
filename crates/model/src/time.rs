//! Points in time and lengths of time. Neither can read a clock.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A point in time: whole microseconds since 1970-01-01T00:00:00Z.
///
/// It is written as that integer in facts, and as RFC 3339 for people. Integers up to 2^53 survive every JSON
/// reader, which is enough until the year 2255.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The last moment that a JSON integer can carry exactly (2^53 − 1 microseconds).
    pub const MAX: Self = Self((1 << 53) - 1);

    /// From microseconds since the epoch; later than [`Self::MAX`] is cut to it.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        if micros > Self::MAX.0 { Self::MAX } else { Self(micros) }
    }

    /// From seconds since the epoch, the unit of OpenSSH certificates.
    #[must_use]
    pub const fn from_seconds(seconds: u64) -> Self {
        Self::from_micros(seconds.saturating_mul(1_000_000))
    }

    /// Microseconds since the epoch.
    #[must_use]
    pub const fn micros(self) -> u64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        self.0 / 1_000_000
    }

    /// The same moment cut to the second, as sentences for people have it.
    #[must_use]
    pub const fn to_second(self) -> Self {
        Self::from_seconds(self.seconds())
    }

    /// This moment and `span` more, cut to [`Self::MAX`].
    #[must_use]
    pub const fn plus(self, span: Span) -> Self {
        Self::from_micros(self.0.saturating_add(span.micros()))
    }

    /// This moment less `span`, cut to the epoch.
    #[must_use]
    pub const fn minus(self, span: Span) -> Self {
        Self(self.0.saturating_sub(span.micros()))
    }

    /// How long ago `earlier` was; zero when it is not earlier.
    #[must_use]
    pub const fn since(self, earlier: Self) -> std::time::Duration {
        std::time::Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = i64::try_from(self.0).unwrap_or(i64::MAX);
        match jiff::Timestamp::from_microsecond(micros) {
            Ok(at) => write!(f, "{at}"),
            Err(_) => write!(f, "{}us", self.0),
        }
    }
}

impl FromStr for Timestamp {
    type Err = TimeError;

    /// Reads RFC 3339 with an offset ("2026-11-20T18:00:00Z").
    fn from_str(text: &str) -> Result<Self, TimeError> {
        let bad = || TimeError::Timestamp(text.to_owned());
        let at: jiff::Timestamp = text.trim().parse().map_err(|_| bad())?;
        let micros = u64::try_from(at.as_microsecond()).map_err(|_| bad())?;
        Ok(Self::from_micros(micros))
    }
}

/// A length of time in whole seconds, as requests, limits and policies use it. Written "30m", "1h30m", "45s".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Span(u32);

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// From whole seconds.
    #[must_use]
    pub const fn from_seconds(seconds: u32) -> Self {
        Self(seconds)
    }

    /// From whole minutes.
    #[must_use]
    pub const fn from_minutes(minutes: u32) -> Self {
        Self(minutes.saturating_mul(60))
    }

    /// From whole hours.
    #[must_use]
    pub const fn from_hours(hours: u32) -> Self {
        Self(hours.saturating_mul(3600))
    }

    /// Whole seconds.
    #[must_use]
    pub const fn seconds(self) -> u32 {
        self.0
    }

    /// The same length as a [`std::time::Duration`].
    #[must_use]
    pub const fn to_std(self) -> std::time::Duration {
        std::time::Duration::from_secs(self.0 as u64)
    }

    const fn micros(self) -> u64 {
        (self.0 as u64).saturating_mul(1_000_000)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, hours, minutes, seconds) = (self.0 / 86_400, self.0 / 3600 % 24, self.0 / 60 % 60, self.0 % 60);
        if self.0 == 0 {
            return f.write_str("0s");
        }
        for (count, unit) in [(days, 'd'), (hours, 'h'), (minutes, 'm'), (seconds, 's')] {
            if count > 0 {
                write!(f, "{count}{unit}")?;
            }
        }
        Ok(())
    }
}

impl FromStr for Span {
    type Err = TimeError;

    /// Reads "30m", "1h 30m", "90 minutes", "2 days". A bare number has no unit and is refused.
    fn from_str(text: &str) -> Result<Self, TimeError> {
        let bad = || TimeError::Span(text.to_owned());
        let read: jiff::SignedDuration = match text.trim().parse::<jiff::Span>() {
            // A day is 24 hours here: access is counted in elapsed time, never in calendar time.
            Ok(span) => span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).map_err(|_| bad())?,
            Err(_) => return Err(bad()),
        };
        if read.is_negative() || read.subsec_nanos() != 0 {
            return Err(bad());
        }
        u32::try_from(read.as_secs()).map(Self).map_err(|_| bad())
    }
}

/// A time or a length of time that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// Not RFC 3339.
    #[error("\"{0}\" is not a time: write it as 2026-11-20T18:00:00Z")]
    Timestamp(String),
    /// Not a length in whole seconds.
    #[error("\"{0}\" is not a length of time: write it with its unit, as 30m, 1h30m or 45s")]
    Span(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_as_people_write_them() {
        for (text, seconds) in
            [("30m", 1800), ("1h30m", 5400), ("1h 30m", 5400), ("45s", 45), ("2d", 172_800), ("90 minutes", 5400)]
        {
            assert_eq!(text.parse::<Span>().unwrap().seconds(), seconds, "{text}");
        }
    }

    #[test]
    fn spans_without_unit_or_sense_are_refused() {
        for text in ["", "30", "-5m", "m", "1.5ms", "99999999999h", "thirty minutes"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    #[test]
    fn timestamps_round_trip() {
        let at: Timestamp = "2026-11-20T18:00:00.123456Z".parse().unwrap();
        assert_eq!(at.to_string(), "2026-11-20T18:00:00.123456Z");
        assert_eq!(at.to_string().parse::<Timestamp>().unwrap(), at);
    }

    proptest::proptest! {
        #[test]
        fn a_span_reads_back_what_it_shows(seconds in 0u32..=u32::MAX) {
            let span = Span::from_seconds(seconds);
            proptest::prop_assert_eq!(span.to_string().parse::<Span>().unwrap(), span);
        }
    }
}
