//! `trellis logs`: what components, providers and hosts have to say.

mod follow;

use clap::Args;
use trellis_control::{HostId, LINES_MAX, LogLevel, LogLine, TailCommand};
use trellis_core::{ComponentId, with_causes};

use super::component_id;
use crate::arguments::OutputFormat;
use crate::completion::{Live, live};
use crate::connection::{LatticeOptions, Session};
use crate::failure::Failure;
use crate::hosts;
use crate::output::{self, Reader, one_line};
use crate::suggestion::did_you_mean;

/// Show the latest log lines of a component or provider, or of hosts
///
/// Lines of several hosts are merged by time.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    trellis logs cart --follow\n  \
    trellis logs --host quiet-rose-4711 --lines 200")]
pub(crate) struct Logs {
    /// The component or provider; without it the lines of hosts themselves
    #[arg(value_name = "ID", value_parser = component_id, add = live(Live::Ids))]
    id: Option<ComponentId>,

    /// Only from this host
    #[arg(long, value_name = "HOST", add = live(Live::Hosts))]
    host: Option<String>,

    /// Begin with so many of the latest lines of each host
    #[arg(long, value_name = "N", default_value_t = 50,
        value_parser = clap::value_parser!(u32).range(0..=i64::from(LINES_MAX)))]
    lines: u32,

    /// Show new lines as they come, until Ctrl-C
    #[arg(long, short)]
    follow: bool,

    #[command(flatten)]
    options: LatticeOptions,
}

pub(crate) async fn run(arguments: Logs) -> Result<(), Failure> {
    let session = Session::open(&arguments.options.connection).await?;
    let sources = sources(&session, &arguments).await?;
    if arguments.follow {
        return follow::run(&session, &arguments, sources).await;
    }
    let command = arguments.tail(0);
    let lines = latest(&session, &sources, &command).await?;
    for line in &lines {
        if show(line, arguments.options.output)? == Reader::Gone {
            break;
        }
    }
    if lines.is_empty() {
        eprintln!("note: no lines are kept; `--follow` waits for new ones");
    }
    Ok(())
}

impl Logs {
    fn tail(&self, follow_ms: u64) -> TailCommand {
        TailCommand {
            component_id: self.id.as_ref().map(ToString::to_string),
            lines: self.lines,
            follow_ms,
        }
    }
}

/// Returns the hosts to ask.
async fn sources(session: &Session, arguments: &Logs) -> Result<Vec<HostId>, Failure> {
    if let Some(host) = &arguments.host {
        // What failed to start there is in no inventory, but has lines.
        let host = hosts::find(session, host).await?;
        return Ok(vec![hosts::id_of(session, &host.id)?]);
    }
    let all = session.hosts().await?;
    let ids = all
        .iter()
        .filter_map(|it| HostId::new(&it.id).ok())
        .collect();
    let Some(id) = &arguments.id else {
        return Ok(ids);
    };
    let inventories = hosts::inventories(session).await?;
    let mut running = Vec::new();
    let mut known = Vec::new();
    for inventory in &inventories {
        let components = inventory.components.iter().map(|it| it.id.as_str());
        let providers = inventory.providers.iter().map(|it| it.id.as_str());
        let names: Vec<&str> = components.chain(providers).collect();
        if names.contains(&id.as_str()) {
            running.extend(HostId::new(&inventory.host_id));
        }
        known.extend(names);
    }
    if running.is_empty() {
        let near = did_you_mean(id.as_str(), known);
        eprintln!("note: {id} does not run now{near}; asking every host for what it said before");
        return Ok(ids);
    }
    Ok(running)
}

/// Asks every source for its latest lines and sorts them by time.
async fn latest(
    session: &Session,
    sources: &[HostId],
    command: &TailCommand,
) -> Result<Vec<LogLine>, Failure> {
    let mut lines = Vec::new();
    let mut failure = None;
    let mut answered = false;
    for host in sources {
        match session.client.tail(host, command).await {
            Ok(tail) => {
                answered = true;
                lines.extend(tail.lines);
            }
            Err(error) => {
                eprintln!("warning: {}", with_causes(&error));
                failure = Some(error);
            }
        }
    }
    match failure {
        Some(error) if !answered => Err(session.failure(&error)),
        _ => {
            lines.sort_by_key(|line| (line.time, line.sequence));
            Ok(lines)
        }
    }
}

fn show(line: &LogLine, format: OutputFormat) -> Result<Reader, Failure> {
    if format == OutputFormat::Json {
        return output::stream_json(line);
    }
    let level = match line.level {
        LogLevel::Trace => "TRACE",
        LogLevel::Debug => "DEBUG",
        LogLevel::Info => "INFO",
        LogLevel::Warn => "WARN",
        LogLevel::Error => "ERROR",
    };
    let time = line.time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ");
    let host: String = line.host_id.chars().take(8).collect();
    let id = line.component_id.as_deref().unwrap_or("host");
    let text = format!("{time} {host} {level:<5} {id}: {}", line.message);
    output::stream_line(&one_line(&text))
}
