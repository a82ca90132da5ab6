//! `trellis context list`: every context, and which is in use.

use clap::Args;
use serde::Serialize;

use crate::arguments::OutputFormat;
use crate::connection::redacted;
use crate::context::{Context, Contexts, is_live};
use crate::failure::Failure;
use crate::output::{self, Table};

/// List the contexts; the one in use is marked
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  trellis context list")]
pub(crate) struct List {
    /// Write text or JSON
    #[arg(long, value_enum, default_value_t)]
    output: OutputFormat,
}

/// The shape of `--output json`.
#[derive(Serialize)]
struct Output {
    /// The one in use where no other is named.
    current: Option<String>,
    contexts: Vec<ContextOutput>,
}

#[derive(Serialize)]
struct ContextOutput {
    name: String,
    /// `selected`, `running` and `stale` (of an embedded lattice), `damaged`, or empty.
    state: &'static str,
    lattice: Option<String>,
    servers: Vec<String>,
}

pub(crate) fn run(arguments: &List) -> Result<(), Failure> {
    let contexts = Contexts::open();
    let selected = contexts.selected();
    let current = selected
        .clone()
        .or_else(|| contexts.live_embedded().map(|(name, _)| name));
    let describe = |name: String| match contexts.load(&name) {
        Ok(context) => ContextOutput {
            state: state(&context, selected.as_deref() == Some(&name)),
            servers: context.servers.iter().map(|it| redacted(it)).collect(),
            lattice: context.lattice,
            name,
        },
        Err(_) => ContextOutput {
            name,
            state: "damaged",
            lattice: None,
            servers: Vec::new(),
        },
    };
    let output = Output {
        contexts: contexts.names().into_iter().map(describe).collect(),
        current,
    };
    match arguments.output {
        OutputFormat::Json => output::json(&output),
        OutputFormat::Text => show(output),
    }
}

fn state(context: &Context, is_selected: bool) -> &'static str {
    match (&context.embedded, is_selected) {
        (Some(_), _) if !is_live(context) => "stale",
        (_, true) => "selected",
        (Some(_), false) => "running",
        (None, false) => "",
    }
}

fn show(output: Output) -> Result<(), Failure> {
    if output.contexts.is_empty() {
        eprintln!("note: there are no contexts; `trellis context put NAME --nats URL` makes one");
    }
    let mut table = Table::new(&["", "CONTEXT", "STATE", "LATTICE", "SERVERS"]);
    for it in output.contexts {
        let mark = if output.current.as_deref() == Some(&it.name) {
            "*"
        } else {
            " "
        };
        table.row([
            mark.to_owned(),
            it.name,
            it.state.to_owned(),
            it.lattice.unwrap_or_default(),
            it.servers.join(","),
        ]);
    }
    table.print()
}
