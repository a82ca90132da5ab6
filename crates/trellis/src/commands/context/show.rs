//! `trellis context show`: what is in a context.

use clap::Args;
use serde::Serialize;

use crate::arguments::OutputFormat;
use crate::completion;
use crate::connection::redacted;
use crate::context::{Context, Contexts};
use crate::failure::Failure;
use crate::output::{self, Table};

/// Show what is in a context; without a name, in the one in use
///
/// `trellis config show` says which settings are in force, and where each comes from.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  trellis context show shop --output json")]
pub(crate) struct Show {
    /// The context
    #[arg(value_name = "NAME", add = completion::contexts())]
    name: Option<String>,

    /// Write text or JSON
    #[arg(long, value_enum, default_value_t)]
    output: OutputFormat,
}

/// The shape of `--output json`.
#[derive(Serialize)]
struct Output {
    name: String,
    #[serde(flatten)]
    context: Context,
}

pub(crate) fn run(arguments: &Show) -> Result<(), Failure> {
    let contexts = Contexts::open();
    let (name, mut context) = match arguments.name.clone().or_else(|| contexts.selected()) {
        Some(name) => {
            let context = contexts.load(&name)?;
            (name, context)
        }
        None => contexts.live_embedded().ok_or_else(|| {
            let message = "no context is in use: none is selected, and no embedded lattice runs here";
            let hint = "`trellis context list` lists the contexts, `trellis context select NAME` selects one";
            Failure::message(message, Some(hint))
        })?,
    };
    context.servers = context.servers.iter().map(|it| redacted(it)).collect();
    match arguments.output {
        OutputFormat::Json => output::json(&Output { name, context }),
        OutputFormat::Text => show(&name, &context),
    }
}

fn show(name: &str, context: &Context) -> Result<(), Failure> {
    let path = |it: &Option<std::path::PathBuf>| it.as_ref().map(|it| it.display().to_string());
    let embedded = context.embedded.as_ref();
    let embedded = embedded.map(|it| format!("process {} since {}", it.pid, it.started));
    let mut table = Table::new(&["SETTING", "VALUE"]);
    for (setting, value) in [
        ("context", Some(name.to_owned())),
        ("servers", Some(context.servers.join(","))),
        ("lattice", context.lattice.clone()),
        ("credentials", path(&context.credentials)),
        ("jwt", path(&context.jwt)),
        ("seed", path(&context.seed)),
        ("tls-ca", path(&context.tls_ca)),
        ("tls-cert", path(&context.tls_cert)),
        ("tls-key", path(&context.tls_key)),
        ("tls-first", context.tls_first.then(|| "true".to_owned())),
        ("js-domain", context.js_domain.clone()),
        ("embedded", embedded),
    ] {
        if let Some(value) = value {
            table.row([setting.to_owned(), value]);
        }
    }
    for (name, value) in &context.gateway {
        table.row([name.clone(), value.clone()]);
    }
    table.print()
}
