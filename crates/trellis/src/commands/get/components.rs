//! `trellis get components`: which components run, where, and whether they take calls.

use clap::Args;
use serde::Serialize;
use trellis_control::ComponentStatus;

use super::statuses;
use crate::arguments::OutputFormat;
use crate::completion::{Live, live};
use crate::connection::{LatticeOptions, Session};
use crate::failure::Failure;
use crate::hosts;
use crate::output::{self, Table};

/// List the components of the lattice, one line for each host
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  trellis get components --host blue-river")]
pub(crate) struct Components {
    /// Only those on this host
    #[arg(long, value_name = "HOST", add = live(Live::Hosts))]
    host: Option<String>,

    #[command(flatten)]
    options: LatticeOptions,
}

/// The shape of `--output json`.
#[derive(Serialize)]
struct Output<'a> {
    lattice: &'a str,
    components: Vec<ComponentOutput>,
}

#[derive(Serialize)]
struct ComponentOutput {
    host_id: String,
    host_name: String,
    #[serde(flatten)]
    component: ComponentStatus,
}

pub(crate) async fn run(arguments: Components) -> Result<(), Failure> {
    let session = Session::open(&arguments.options.connection).await?;
    let told = statuses::of_hosts(&session, arguments.host.as_deref()).await?;
    let mut components = Vec::new();
    for told in &told {
        let (host_id, host_name) = told.host();
        components.extend(
            told.components()
                .into_iter()
                .map(|component| ComponentOutput {
                    host_id: host_id.to_owned(),
                    host_name: host_name.to_owned(),
                    component,
                }),
        );
    }
    components.sort_by(|a, b| (&a.component.id, &a.host_id).cmp(&(&b.component.id, &b.host_id)));
    match arguments.options.output {
        OutputFormat::Json => output::json(&Output {
            lattice: session.resolved.lattice.value.as_str(),
            components,
        }),
        OutputFormat::Text => show(&components),
    }
}

fn show(components: &[ComponentOutput]) -> Result<(), Failure> {
    let mut table = Table::new(&["COMPONENT", "HOST", "INSTANCES", "READY", "IMAGE"]);
    for it in components {
        table.row([
            it.component.id.clone(),
            hosts::label(&it.host_name, &it.host_id),
            it.component.max_instances.to_string(),
            ready(it.component.ready).to_owned(),
            it.component.image_ref.clone(),
        ]);
    }
    table.print()?;
    for it in components {
        if let Some(why) = it.component.why.as_deref().filter(|_| !it.component.ready) {
            let host = hosts::label(&it.host_name, &it.host_id);
            eprintln!(
                "{} on {host} is not ready: {}",
                it.component.id,
                output::one_line(why)
            );
        }
    }
    Ok(())
}

/// Returns the word for whether something takes calls.
pub(super) fn ready(ready: bool) -> &'static str {
    if ready { "yes" } else { "no" }
}
