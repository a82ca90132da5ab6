//! `trellis ping`: who answers, and how fast.

use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;
use trellis_control::{ClientError, HostId};
use trellis_core::with_causes;

use crate::arguments::OutputFormat;
use crate::completion::{Live, live};
use crate::connection::{LatticeOptions, Session};
use crate::failure::Failure;
use crate::hosts;
use crate::output::{self, Table};

/// Measure how fast the server and the hosts answer
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  trellis ping --output json")]
pub(crate) struct Ping {
    /// Only this host, by id or name, or the beginning of one
    #[arg(value_name = "HOST", add = live(Live::Hosts))]
    host: Option<String>,

    #[command(flatten)]
    options: LatticeOptions,
}

/// The shape of `--output json`.
#[derive(Serialize)]
struct Output<'a> {
    lattice: &'a str,
    servers: &'a str,
    /// Round trip to the server, in microseconds.
    server_us: u64,
    hosts: Vec<HostOutput>,
}

#[derive(Serialize)]
struct HostOutput {
    id: String,
    friendly_name: String,
    /// Round trip to the host and back; absent where it did not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    answer_us: Option<u64>,
}

pub(crate) async fn run(arguments: Ping) -> Result<(), Failure> {
    let session = Session::open(&arguments.options.connection).await?;
    let round_trip = session.client.lattice().round_trip().await;
    let round_trip = round_trip.map_err(|error| session.failed(&with_causes(&error), None))?;
    let found = match &arguments.host {
        Some(host) => vec![hosts::find(&session, host).await?],
        None => session.hosts().await?,
    };
    let mut answers = Vec::new();
    for host in found {
        let id = hosts::id_of(&session, &host.id)?;
        let took = match measure(&session, &id).await {
            Ok(took) => Some(microseconds(took)),
            Err(error) => {
                eprintln!("warning: {}", with_causes(&error));
                None
            }
        };
        answers.push(HostOutput {
            id: host.id,
            friendly_name: host.friendly_name,
            answer_us: took,
        });
    }
    let output = Output {
        lattice: session.resolved.lattice.value.as_str(),
        servers: session.client.lattice().servers(),
        server_us: microseconds(round_trip),
        hosts: answers,
    };
    match arguments.options.output {
        OutputFormat::Json => output::json(&output),
        OutputFormat::Text => show(&output),
    }
}

/// Measures one request to a host that it answers from memory.
async fn measure(session: &Session, host: &HostId) -> Result<Duration, ClientError> {
    let start = Instant::now();
    session.client.host_inventory(host).await?;
    Ok(start.elapsed())
}

fn microseconds(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

fn show(output: &Output<'_>) -> Result<(), Failure> {
    let mut table = Table::new(&["WHO", "ANSWERS IN"]);
    let time = |microseconds: u64| Duration::from_micros(microseconds).as_secs_f64() * 1_000.0;
    table.row([
        output.servers.to_owned(),
        format!("{:.2} ms", time(output.server_us)),
    ]);
    for host in &output.hosts {
        let answer = match host.answer_us {
            Some(took) => format!("{:.2} ms", time(took)),
            None => "no answer".to_owned(),
        };
        table.row([hosts::label(&host.friendly_name, &host.id), answer]);
    }
    table.print()
}
