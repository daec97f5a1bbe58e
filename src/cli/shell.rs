//! `sepconv completions` and `sepconv man`: generated from the description of the command line.

use std::io;

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Cli, Failure, Result, print};

/// Print the completion script of a shell
///
/// The examples show where each shell looks for it.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  sepconv completions bash \\
    > ~/.local/share/bash-completion/completions/sepconv
  sepconv completions zsh > \"${fpath[1]}/_sepconv\"
  sepconv completions fish > ~/.config/fish/completions/sepconv.fish")]
pub(super) struct Completions {
    /// Shell to print for
    shell: Shell,
}

/// Print the manual page of sepconv or of one command
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  sepconv man | man -l -
  sepconv man classify > ~/.local/share/man/man1/sepconv-classify.1")]
pub(super) struct Man {
    /// Command to describe [default: sepconv itself]
    command: Option<String>,
}

fn text(bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes).map_err(|e| Failure::Error(format!("not UTF-8: {e}")))
}

pub(super) fn completions(args: Completions) -> Result {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "sepconv", &mut script);
    print(&text(script)?)
}

pub(super) fn man(args: Man) -> Result {
    let mut cli = Cli::command();
    // Titles and usage lines then show the whole command.
    cli.build();
    let command = match &args.command {
        None => cli,
        Some(name) => {
            let missing = || Failure::Error(format!("unknown command {name:?}"));
            cli.find_subcommand(name).ok_or_else(missing)?.clone()
        }
    };
    let mut page = Vec::new();
    let written = clap_mangen::Man::new(command).render(&mut page);
    written.map_err(|e: io::Error| Failure::Error(format!("can't make the manual page: {e}")))?;
    print(&text(page)?)
}
