//! One module for each command.

pub(crate) mod call;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod context;
pub(crate) mod doctor;
pub(crate) mod drain;
pub(crate) mod events;
pub(crate) mod get;
mod inspect;
pub(crate) mod label;
pub(crate) mod link;
pub(crate) mod logs;
pub(crate) mod ping;
pub(crate) mod scale;
pub(crate) mod start;
pub(crate) mod stop;
mod up;
pub(crate) mod update;

use crate::arguments::{Arguments, Command};
use crate::failure::Failure;

/// Runs what was typed.
pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    match arguments.command {
        Command::Up(up) => up::run(*up),
        Command::Inspect(inspect) => inspect::run(&inspect),
        Command::Context(context) => context::run(context),
        Command::Completions(completions) => completions::run(&completions),
        command => client(command),
    }
}

/// Runs a command that asks a lattice.
fn client(command: Command) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(&error, None))?;
    let ended = runtime.block_on(async {
        match command {
            Command::Get(it) => get::run(it).await,
            Command::Start(it) => start::run(it).await,
            Command::Scale(it) => scale::run(it).await,
            Command::Update(it) => update::run(it).await,
            Command::Stop(it) => stop::run(it).await,
            Command::Drain(it) => drain::drain(it).await,
            Command::Resume(it) => drain::resume(it).await,
            Command::Link(it) => link::run(it).await,
            Command::Config(it) => config::run(it).await,
            Command::Label(it) => label::run(it).await,
            Command::Events(it) => events::run(it).await,
            Command::Logs(it) => logs::run(it).await,
            Command::Call(it) => call::run(it).await,
            Command::Ping(it) => ping::run(it).await,
            Command::Doctor(it) => doctor::run(it).await,
            Command::Up(_)
            | Command::Inspect(_)
            | Command::Context(_)
            | Command::Completions(_) => Ok(()),
        }
    });
    // A name look-up that hangs in a thread must not keep the process.
    runtime.shutdown_background();
    ended
}

/// Reads `KEY=VALUE`.
pub(crate) fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("{text:?} is not KEY=VALUE")),
    }
}

/// Reads the id of a component or provider.
pub(crate) fn component_id(text: &str) -> Result<trellis_core::ComponentId, String> {
    trellis_core::ComponentId::new(text).map_err(|error| error.to_string())
}

/// Reads the name of a config entry.
pub(crate) fn config_name(text: &str) -> Result<trellis_control::ConfigName, String> {
    trellis_control::ConfigName::new(text).map_err(|error| error.to_string())
}
