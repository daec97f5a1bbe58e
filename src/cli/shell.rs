//! `sepconv completions` and `sepconv man`: what shells and manuals take from the command line's
//! own description.

use std::io;

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Cli, Failure, Result, print};

/// Print the completions of a shell
///
/// Where they go is a matter of the shell: see the examples.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  sepconv completions bash > ~/.local/share/bash-completion/completions/sepconv
  sepconv completions zsh > \"${fpath[1]}/_sepconv\"
  sepconv completions fish > ~/.config/fish/completions/sepconv.fish")]
pub(super) struct Completions {
    /// The shell
    shell: Shell,
}

/// Print the manual page, of sepconv or of one of its commands
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  sepconv man | man -l -
  sepconv man classify > ~/.local/share/man/man1/sepconv-classify.1")]
pub(super) struct Man {
    /// A command
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
    // Titles and usage lines then have the whole command.
    cli.build();
    let command = match &args.command {
        None => cli,
        Some(name) => {
            let missing = || Failure::Error(format!("there is no command {name:?}"));
            cli.find_subcommand(name).ok_or_else(missing)?.clone()
        }
    };
    let mut page = Vec::new();
    let written = clap_mangen::Man::new(command).render(&mut page);
    written.map_err(|e: io::Error| Failure::Error(format!("the manual page: {e}")))?;
    print(&text(page)?)
}
