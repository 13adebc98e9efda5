//! Progress of long work, on a terminal only.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar on standard error; silent where that is no terminal. It wipes itself when it is dropped.
#[derive(Debug)]
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// Counts things up to a total, when that is known.
    pub(crate) fn count(what: &'static str, total: Option<u64>) -> Self {
        Self::start(what, total, "{msg} {pos}/{len} {wide_bar} {eta}", "{spinner} {msg} {pos}")
    }

    /// Counts bytes up to a total, when that is known.
    pub(crate) fn bytes(what: &'static str, total: Option<u64>) -> Self {
        Self::start(what, total, "{msg} {bytes}/{total_bytes} {wide_bar} {eta}", "{spinner} {msg} {bytes}")
    }

    /// Sets how far it is.
    pub(crate) fn set(&self, done: u64) {
        self.0.set_position(done);
    }

    /// Adds to how far it is.
    pub(crate) fn add(&self, more: u64) {
        self.0.inc(more);
    }

    fn start(what: &'static str, total: Option<u64>, bar: &str, spinner: &str) -> Self {
        let target = match std::io::stderr().is_terminal() {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        };
        let progress = ProgressBar::with_draw_target(total, target).with_message(what);
        let template = if total.is_some() { bar } else { spinner };
        if let Ok(style) = ProgressStyle::with_template(template) {
            progress.set_style(style);
        }
        progress.enable_steady_tick(Duration::from_millis(120));
        Self(progress)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
