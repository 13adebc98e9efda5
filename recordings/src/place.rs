//! Where recordings lie in a vault.
//!
//! ```text
//! DIR/.lock                                       the one process that writes here
//! DIR/open/DATE.SESSION.RECORDING.cast.part       being written, or left by a crash
//! DIR/open/DATE.SESSION.RECORDING.cast.done       closed, and not yet entered in the ledger
//! DIR/DATE/SESSION/RECORDING.cast                 closed and entered
//! ```
//!
//! A name says everything that is needed to close a recording whose content is damaged, and what a start
//! after a crash has to look through is the folder `open` alone, however many recordings there are.

use std::path::{Path, PathBuf};

use model::{RecordingId, SessionId, Timestamp};

use crate::Format;

/// The folder of recordings that are not yet in the ledger.
pub(crate) const OPEN: &str = "open";

/// How far a recording is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Being written, or left by a crash.
    Part,
    /// Closed; its digest is not yet known to be in the ledger.
    Done,
    /// Closed and entered in the ledger.
    Filed,
}

/// The place of one recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The day on which the channel was opened, in UTC.
    pub(crate) date: String,
    pub(crate) session: SessionId,
    pub(crate) recording: RecordingId,
    pub(crate) format: Format,
}

impl Place {
    pub(crate) fn new(started: Timestamp, session: &SessionId, recording: &RecordingId, format: Format) -> Self {
        let date = started.to_string().get(..10).filter(|date| is_date(date)).unwrap_or("1970-01-01").to_owned();
        Self { date, session: session.clone(), recording: recording.clone(), format }
    }

    /// The file at one stage.
    pub(crate) fn path(&self, root: &Path, stage: Stage) -> PathBuf {
        let Self { date, session, recording, format } = self;
        let extension = format.extension();
        match stage {
            Stage::Part => root.join(OPEN).join(format!("{date}.{session}.{recording}.{extension}.part")),
            Stage::Done => root.join(OPEN).join(format!("{date}.{session}.{recording}.{extension}.done")),
            Stage::Filed => root.join(date).join(session.as_str()).join(format!("{recording}.{extension}")),
        }
    }

    /// Reads the name of a file in the folder `open`.
    pub(crate) fn of_open(name: &str) -> Option<(Self, Stage)> {
        let mut parts = name.split('.');
        let (date, session, recording) = (parts.next()?, parts.next()?, parts.next()?);
        let format = format(parts.next()?)?;
        let stage = match parts.next()? {
            "part" => Stage::Part,
            "done" => Stage::Done,
            _ => return None,
        };
        let place = Self {
            date: Some(date).filter(|date| is_date(date))?.to_owned(),
            session: session.parse().ok()?,
            recording: recording.parse().ok()?,
            format,
        };
        parts.next().is_none().then_some((place, stage))
    }

    /// Reads the names of a filed recording.
    pub(crate) fn of_filed(date: &str, session: &SessionId, name: &str) -> Option<Self> {
        let (recording, extension) = name.split_once('.')?;
        Some(Self {
            date: date.to_owned(),
            session: session.clone(),
            recording: recording.parse().ok()?,
            format: format(extension)?,
        })
    }
}

/// Whether a name is that of a folder of a day.
pub(crate) fn is_date(name: &str) -> bool {
    name.len() == 10
        && name
            .bytes()
            .enumerate()
            .all(|(at, byte)| if at == 4 || at == 7 { byte == b'-' } else { byte.is_ascii_digit() })
}

fn format(extension: &str) -> Option<Format> {
    Format::ALL.into_iter().find(|format| format.extension() == extension)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        let place = Place::new(
            "2026-11-20T23:59:59Z".parse().unwrap(),
            &SessionId::from_random(1),
            &RecordingId::from_random(2),
            Format::Bytes,
        );
        for stage in [Stage::Part, Stage::Done] {
            let path = place.path(Path::new("/v"), stage);
            assert_eq!(Place::of_open(path.file_name().unwrap().to_str().unwrap()), Some((place.clone(), stage)));
        }
        let filed = place.path(Path::new("/v"), Stage::Filed);
        assert_eq!(filed, Path::new("/v/2026-11-20/ses-000000000001/rec-000000000002.jsonl"));
        assert_eq!(Place::of_filed("2026-11-20", &place.session, "rec-000000000002.jsonl"), Some(place));
        for name in ["", "x", "2026-11-20.ses-000000000001.rec-000000000002.cast", "..%.part", ".lock"] {
            assert_eq!(Place::of_open(name), None, "{name}");
        }
    }
}
