//! The bar on stderr for what takes long.

use std::io::{self, IsTerminal};

use indicatif::{ProgressBar, ProgressStyle};

/// Whether bars are wanted.
#[derive(Clone, Copy, clap::Args)]
pub(super) struct Progress {
    /// No progress bars: nothing on stderr but notes, warnings and errors
    #[arg(long, short, global = true)]
    quiet: bool,
}

impl Progress {
    /// A bar of so many steps with their rate, the time that is left and a message; hidden for a
    /// single step, where stderr is no terminal, and on request.
    pub(super) fn bar(self, steps: u64, message: &'static str) -> ProgressBar {
        if self.quiet || steps < 2 || !io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let style =
            ProgressStyle::with_template("{bar:32} {pos}/{len}, {per_sec}, {eta} left {wide_msg}");
        ProgressBar::new(steps)
            .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
            .with_message(message)
    }
}
