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
    /// Whether bars are shown: not if stderr is no terminal, nor with `--quiet`.
    pub(super) fn is_shown(self) -> bool {
        !self.quiet && io::stderr().is_terminal()
    }

    /// A bar of `steps` steps with their rate, the remaining time and a message. It is hidden for a
    /// single step, and if bars are not shown.
    pub(super) fn bar(self, steps: u64, message: &'static str) -> ProgressBar {
        let hidden = steps < 2 || !self.is_shown();
        let bar = if hidden { ProgressBar::hidden() } else { ProgressBar::new(steps) };
        styled(bar, "{bar:32} {pos}/{len}, {per_sec}, {eta} left {wide_msg}").with_message(message)
    }

    /// How many steps are done, and their rate, if nobody knows how many there are.
    pub(super) fn count(self) -> ProgressBar {
        let bar = if self.is_shown() { ProgressBar::no_length() } else { ProgressBar::hidden() };
        styled(bar, "{pos}, {per_sec} {wide_msg}")
    }
}

fn styled(bar: ProgressBar, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template);
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
