// SPDX-License-Identifier: GPL-2.0-only
//! Steps with elapsed time: a spinner on a terminal, plain lines elsewhere.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use console::{Term, style};
use indicatif::{ProgressBar, ProgressStyle};

/// Prints a line; a closed pipe is no reason to fail.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// `12.3 s`, from two minutes on `2 min 05 s`.
pub(crate) fn elapsed(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 119.95 {
        format!("{seconds:.1} s")
    } else {
        let whole = time.as_secs();
        format!("{} min {:02} s", whole.div_euclid(60), whole.rem_euclid(60))
    }
}

/// One step of a command, from [`Step::start`] to [`Step::done`]; dropped before, it failed.
pub(crate) struct Step {
    what: String,
    since: Instant,
    bar: Option<ProgressBar>,
    finished: bool,
}

impl Step {
    /// Shows that `what` has begun.
    pub(crate) fn start(what: impl Into<String>) -> Self {
        let what = what.into();
        let bar = Term::stdout().is_term().then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) =
                ProgressStyle::with_template("{spinner} {prefix} {elapsed} {wide_msg:.dim}")
            {
                bar.set_style(style);
            }
            bar.set_prefix(what.clone());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        if bar.is_none() {
            say(&format!("  ...  {what}"));
        }
        Self {
            what,
            since: Instant::now(),
            bar,
            finished: false,
        }
    }

    /// Whether notes are seen.
    pub(crate) fn is_live(&self) -> bool {
        self.bar.is_some()
    }

    /// Shows what the step is at.
    pub(crate) fn note(&self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(text.to_owned());
        }
    }

    /// Ends the step; `detail` is added to its line when not empty.
    pub(crate) fn done(mut self, detail: &str) {
        self.finish(true, detail);
    }

    /// Ends the step as one that worked or did not.
    pub(crate) fn end(mut self, ok: bool) {
        self.finish(ok, "");
    }

    fn finish(&mut self, ok: bool, detail: &str) {
        self.finished = true;
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        let mark = if ok {
            style("ok  ").green()
        } else {
            style("FAIL").red()
        };
        let colon = if detail.is_empty() { "" } else { ": " };
        let time = elapsed(self.since.elapsed());
        say(&format!("  {mark} {}{colon}{detail} ({time})", self.what));
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if !self.finished {
            self.finish(false, "");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elapsed_time_reads_well() {
        assert_eq!(elapsed(Duration::from_millis(1_260)), "1.3 s");
        assert_eq!(elapsed(Duration::from_secs(125)), "2 min 05 s");
    }
}
