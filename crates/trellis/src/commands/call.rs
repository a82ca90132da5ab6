//! `trellis call`: calls an exported function by hand.

mod function;

use std::time::Duration;

use clap::Args;
use serde::Serialize;
use trellis_control::{CallCommand, CallResult, ClientError, ErrorCode, HostId};
use trellis_core::ComponentId;

use super::component_id;
use crate::arguments::OutputFormat;
use crate::completion::{Live, live};
use crate::connection::{LatticeOptions, Session};
use crate::failure::Failure;
use crate::suggestion::did_you_mean;
use crate::{duration, hosts, output};
use function::Function;

/// Call a function that a component exports
///
/// Arguments and result are WAVE: `42`, `true`, `"text"`, `[1, 2]`, `{name: "x"}`, `some(1)`,
/// `ok("y")`. The host that runs the component knows the types.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    trellis call cart acme:shop/cart.add '\"apple\"' 3\n  \
    trellis call cart acme:shop/cart@1.2.0.total\n  \
    trellis call adder add 1 2")]
pub(crate) struct Call {
    /// The component
    #[arg(value_name = "ID", value_parser = component_id, add = live(Live::Components))]
    id: ComponentId,

    /// INTERFACE.FUNCTION, or FUNCTION where only one has this name
    #[arg(value_name = "FUNCTION", value_parser = function::parse)]
    function: Function,

    /// The arguments
    #[arg(value_name = "WAVE", allow_negative_numbers = true)]
    arguments: Vec<String>,

    /// Call it on this host
    #[arg(long, value_name = "HOST", add = live(Live::Hosts))]
    host: Option<String>,

    /// End the call after this long [default: as the component has it]
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    deadline: Option<Duration>,

    #[command(flatten)]
    options: LatticeOptions,
}

/// The shape of `--output json`.
#[derive(Serialize)]
struct Output<'a> {
    component_id: &'a str,
    host_id: &'a str,
    #[serde(flatten)]
    result: CallResult,
}

pub(crate) async fn run(arguments: Call) -> Result<(), Failure> {
    let session = Session::open(&arguments.options.connection).await?;
    let id = arguments.id.as_str();
    let running = hosts::with_component(&session, id, arguments.host.as_deref()).await?;
    // Any will do; there is at least one.
    let host = &running[0].host;
    let command = CallCommand {
        component_id: id.to_owned(),
        interface: arguments
            .function
            .interface
            .as_ref()
            .map(ToString::to_string),
        function: arguments.function.name.clone(),
        arguments: arguments.arguments.clone(),
        deadline_ms: arguments
            .deadline
            .map(|it| u64::try_from(it.as_millis()).unwrap_or(u64::MAX)),
    };
    let result = match session.client.call(host, &command).await {
        Ok(result) => result,
        Err(error) => return Err(failed(&session, host, &arguments, &error).await),
    };
    match arguments.options.output {
        OutputFormat::Json => output::json(&Output {
            component_id: id,
            host_id: host.as_str(),
            result,
        }),
        OutputFormat::Text => match &result.result {
            Some(value) => output::line(value),
            None => Ok(()),
        },
    }
}

/// Says why a call failed: its class, and for a function that is not there which there are.
async fn failed(
    session: &Session,
    host: &HostId,
    arguments: &Call,
    error: &ClientError,
) -> Failure {
    let ClientError::Failed { source, .. } = error else {
        return session.failure(error);
    };
    let (id, function) = (&arguments.id, &arguments.function);
    let (said, advice) = match source.message.rsplit_once("\nhint: ") {
        Some((said, advice)) => (said, Some(for_shell(advice))),
        None => (source.message.as_str(), None),
    };
    // The class belongs to the sentence, not to the excerpt that may follow it.
    let (sentence, excerpt) = said.split_once('\n').unwrap_or((said, ""));
    let code = source.code;
    let mut message = format!("cannot call {function} of {id}: {sentence} ({code})");
    for line in excerpt.lines() {
        message.push_str("\n  ");
        message.push_str(line);
    }
    let logs = format!("`trellis logs {id}` shows what the component said");
    let hint = match source.code {
        ErrorCode::Trap => Some(logs),
        ErrorCode::Deadline => {
            Some("`--deadline TIME` waits longer, up to the component's own".to_owned())
        }
        ErrorCode::Overloaded => Some(format!("try again, or `trellis scale {id} N`")),
        ErrorCode::Invalid if advice.is_some() => advice,
        ErrorCode::NotFound | ErrorCode::Invalid => exports(session, host, arguments).await,
        _ => None,
    };
    session.failed(&message, hint.as_deref())
}

/// Adds to an advice about double quotes how they get past a shell.
fn for_shell(advice: &str) -> String {
    if advice.contains("in double quotes") {
        format!("{advice}, and those in single quotes for the shell: '\"text\"'")
    } else {
        advice.to_owned()
    }
}

/// Says what the component exports: the signature of the function, or one that may have been meant.
async fn exports(session: &Session, host: &HostId, arguments: &Call) -> Option<String> {
    let exports = session.client.describe(host, &arguments.id).await.ok()?;
    let mut functions = Vec::new();
    for interface in exports.interfaces {
        for function in interface.functions {
            let name = match &interface.name {
                Some(interface) => format!("{interface}.{}", function.name),
                None => function.name,
            };
            functions.push((name, function.signature));
        }
    }
    let typed = arguments.function.to_string();
    if let Some((name, signature)) = functions.iter().find(|(name, _)| *name == typed) {
        return Some(format!("{name} is {signature}"));
    }
    let names: Vec<&str> = functions.iter().map(|(name, _)| name.as_str()).collect();
    if names.is_empty() {
        return Some(format!("{} exports no functions", arguments.id));
    }
    let near = did_you_mean(&typed, names.iter().copied());
    Some(format!(
        "{} exports {}{near}",
        arguments.id,
        names.join(", ")
    ))
}
