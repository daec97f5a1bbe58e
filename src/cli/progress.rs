//! Progress bars on stderr.

use std::io::{self, IsTerminal};

use indicatif::{ProgressBar, ProgressStyle};

/// Whether to show progress bars.
#[derive(Clone, Copy, clap::Args)]
pub(super) struct Progress {
    /// Hide progress bars
    #[arg(long, short, global = true)]
    quiet: bool,
}

impl Progress {
    /// A bar of `steps` steps with their rate, the remaining time and a message. It is hidden for a
    /// single step, if stderr is no terminal, and with `--quiet`.
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
