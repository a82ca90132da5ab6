//! `trellis completions`: the script by which a shell completes command lines.

use clap::{Args, ValueEnum};
use clap_complete::env::Shells;

use crate::completion::VARIABLE;
use crate::failure::Failure;
use crate::output;

/// Write the script that lets a shell complete commands, options and live ids
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    echo 'source <(trellis completions bash)' >> ~/.bashrc\n  \
    echo 'source <(trellis completions zsh)' >> ~/.zshrc\n  \
    trellis completions fish > ~/.config/fish/completions/trellis.fish")]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_name = "SHELL", value_enum)]
    shell: Shell,
}

/// A shell that is known.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl Shell {
    const fn name(self) -> &'static str {
        match self {
            Self::Bash => "bash",
            Self::Zsh => "zsh",
            Self::Fish => "fish",
        }
    }
}

pub(crate) fn run(arguments: &Completions) -> Result<(), Failure> {
    let shells = Shells::builtins();
    let Some(shell) = shells.completer(arguments.shell.name()) else {
        let message = format!("{} is not known", arguments.shell.name());
        return Err(Failure::message(&message, None));
    };
    let mut script = Vec::new();
    // The name alone: the shell finds the binary that the user runs, wherever it moves.
    shell
        .write_registration(VARIABLE, "trellis", "trellis", "trellis", &mut script)
        .map_err(|error| Failure::new(&error, None))?;
    output::line(String::from_utf8_lossy(&script).trim_end())
}
