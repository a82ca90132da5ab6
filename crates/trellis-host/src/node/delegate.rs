//! Requests that are answered from what runs, not from what was decided.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::Serialize;
use trellis_control::{
    Answer, CallCommand, CallResult, ComponentExports, DescribeCommand, DrainCommand, DrainState,
    ErrorCode, ExportedFunction, ExportedInterface, LinkStatus, LinkTier, LogTail, Request,
    TailCommand, encode,
};
use trellis_core::{ComponentId, ErrorClass, WitInterface};
use trellis_engine::{CallError, Compiled, ComponentHandle};
use trellis_node::ReplyTo;
use trellis_wire::{Dialect, Limits, wave};

use super::doctor;
use super::{Done, Node};
use crate::report::{LinkReport, Tier};

/// What stands before the advice at the end of a message about a call.
const CALL_HINT: &str = "hint: ";
/// The longest time that a call from the command line may take.
const CALL_DEADLINE_MAX: Duration = Duration::from_secs(600);

impl Node {
    pub(super) async fn delegate(&mut self, request: Request, reply: Option<ReplyTo>) {
        let Some(reply) = reply else { return };
        let payload = match request {
            Request::Status => encode(&Answer::Ok(self.status())),
            Request::Drain(command) => self.drain(&command),
            Request::Describe(command) => answer(self.describe(&command)),
            Request::Tail(command) => self.tail(&command),
            Request::Call(command) => return self.call(command, reply),
            Request::Doctor => return self.examine(reply),
            _ => {
                let text = "this host does not answer that";
                encode(&Answer::<()>::failure(ErrorCode::Invalid, text))
            }
        };
        self.send(&reply.0, payload).await;
    }

    fn status(&self) -> trellis_control::HostStatus {
        let mut status = self.machine.status(self.now(), jiff::Timestamp::now());
        let of_providers = self.provider_links.iter();
        status.links.extend(of_providers.map(link_status));
        for (id, running) in self.host.catalog.iter() {
            status
                .links
                .extend(self.host.catalog.links(id).map(link_status));
            let faults = running
                .faults
                .iter()
                .filter_map(|fault| Some((fault.link?, fault)));
            for (span, fault) in faults {
                let link = running
                    .blueprint
                    .links
                    .iter()
                    .find(|link| link.span == span);
                status.links.extend(link.map(|link| LinkStatus {
                    source_id: id.to_string(),
                    target: link.target.to_string(),
                    name: link.name.to_string(),
                    interface: link.interface.to_string(),
                    tier: LinkTier::Unavailable,
                    why: fault.message.clone(),
                }));
            }
        }
        status
    }

    fn drain(&self, _command: &DrainCommand) -> Bytes {
        let components = self.host.catalog.iter();
        let running = components.filter_map(|(_, it)| it.handle.generation());
        let here: u64 = running.map(|it| u64::from(it.calls_running())).sum();
        encode(&Answer::Ok(DrainState {
            mode: self.machine.mode(),
            calls_in_flight: here,
        }))
    }

    fn describe(&self, command: &DescribeCommand) -> Result<ComponentExports, (ErrorCode, String)> {
        let (_, compiled) = self.find(&command.component_id)?;
        let mut interfaces: Vec<ExportedInterface> = Vec::new();
        for signature in compiled.functions() {
            let name = Some(signature.interface).filter(|name| !name.is_empty());
            let function = ExportedFunction {
                signature: signature.ty.to_string(),
                name: signature.function,
            };
            match interfaces.iter_mut().find(|it| it.name == name) {
                Some(interface) => interface.functions.push(function),
                None => interfaces.push(ExportedInterface {
                    name,
                    functions: vec![function],
                }),
            }
        }
        Ok(ComponentExports {
            component_id: command.component_id.clone(),
            interfaces,
        })
    }

    fn tail(&self, command: &TailCommand) -> Bytes {
        let source = command.component_id.as_deref();
        if command.follow_ms > 0 {
            let duration = Duration::from_millis(command.follow_ms);
            self.log_book.follow(source, duration);
        }
        let lines = self.log_book.tail(source, command.lines);
        encode(&Answer::Ok(LogTail { lines }))
    }

    fn find(&self, id: &str) -> Result<(Arc<ComponentHandle>, Compiled), (ErrorCode, String)> {
        let found = ComponentId::new(id)
            .ok()
            .and_then(|id| self.host.catalog.get(&id));
        match found {
            Some(running) => Ok((running.handle.clone(), running.code.compiled.clone())),
            None => Err((
                ErrorCode::NotFound,
                format!("component {id} does not run on this host"),
            )),
        }
    }

    /// Calls a function for a person, on a task of its own.
    fn call(&mut self, command: CallCommand, reply: ReplyTo) {
        let found = self.find(&command.component_id);
        let lattice = self.lattice.clone();
        self.work.spawn(async move {
            let result = match found {
                Ok((handle, compiled)) => call(&handle, &compiled, &command).await,
                Err(failure) => Err(failure),
            };
            // Nobody waits any more where this fails.
            let _ = lattice.publish(&reply.0, None, answer(result)).await;
            Done::Nothing
        });
    }

    fn examine(&mut self, reply: ReplyTo) {
        let facts = doctor::Facts {
            host_id: self.host_id.clone(),
            mode: self.machine.mode(),
            lattice: self.lattice.clone(),
            data_folder: self.host.data_folder.clone(),
            cache_folder: self.host.cache_folder.clone(),
            providers: self
                .providers
                .iter()
                .map(|(id, provider)| (id.clone(), provider.failing.clone()))
                .collect(),
        };
        let lattice = self.lattice.clone();
        self.work.spawn(async move {
            let report = doctor::examine(facts).await;
            let _ = lattice
                .publish(&reply.0, None, encode(&Answer::Ok(report)))
                .await;
            Done::Nothing
        });
    }
}

fn answer<T: Serialize>(result: Result<T, (ErrorCode, String)>) -> Bytes {
    match result {
        Ok(value) => encode(&Answer::Ok(value)),
        Err((code, text)) => encode(&Answer::<T>::failure(code, text)),
    }
}

fn link_status(link: &LinkReport) -> LinkStatus {
    LinkStatus {
        source_id: link.source.to_string(),
        target: link.target.to_string(),
        name: link.name.to_string(),
        interface: link.interface.clone(),
        tier: match link.tier {
            Tier::BuiltIn => LinkTier::BuiltIn,
            Tier::Process => LinkTier::Process,
            Tier::Remote => LinkTier::Remote,
        },
        why: link.tier.reason().to_owned(),
    }
}

/// Reads the arguments, calls the function and writes its result, all as WAVE.
async fn call(
    handle: &ComponentHandle,
    compiled: &Compiled,
    command: &CallCommand,
) -> Result<CallResult, (ErrorCode, String)> {
    let interface = interface(compiled, command)?;
    let invalid = |text: String| (ErrorCode::Invalid, text);
    let function = compiled
        .function(&interface, &command.function)
        .map_err(|error| invalid(missing(compiled, &interface, &error)))?;
    let plan = function.plan().clone();
    let text = command.arguments.join(", ");
    let params = wave::parse_params(&plan.signature.params, &text)
        .map_err(|error| invalid(mistake(&error, &text)))?;
    let params = plan
        .encode_params(&params, Dialect::A)
        .map_err(|error| invalid(error.to_string()))?;
    let generation = handle.generation().ok_or_else(|| {
        let text = format!("component {} does not run any more", handle.id());
        (ErrorCode::Unavailable, text)
    })?;
    let deadline = command
        .deadline_ms
        .map_or(CALL_DEADLINE_MAX, Duration::from_millis)
        .min(CALL_DEADLINE_MAX);
    let started = Instant::now();
    let called = tokio::time::timeout(deadline, generation.call_wire(&function, params.into()));
    let result = match called.await {
        Ok(result) => result.map_err(|error| failed(&error))?,
        Err(_) => {
            let text = format!("the call did not end within {deadline:?}");
            return Err((ErrorClass::Deadline.into(), text));
        }
    };
    let duration_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
    let internal = |error: String| (ErrorCode::Internal, error);
    let value = plan
        .decode_result(&result, Dialect::A, &Limits::default())
        .map_err(|error| internal(error.to_string()))?;
    let text = match (&plan.signature.result, value) {
        (Some(ty), Some(value)) => {
            Some(wave::print(ty, &value).map_err(|error| internal(error.to_string()))?)
        }
        _ => None,
    };
    Ok(CallResult {
        result: text,
        duration_us,
    })
}

fn failed(error: &CallError) -> (ErrorCode, String) {
    (error.class.into(), error.message().to_owned())
}

/// Says what is wrong with the arguments, where, and what would be right.
fn mistake(error: &wave::WaveError, text: &str) -> String {
    let mut message = error.to_string();
    if !text.is_empty() {
        message = format!("{message}\n{}", error.excerpt(text));
    }
    match &error.hint {
        Some(hint) => format!("{message}\n{CALL_HINT}{hint}"),
        None => message,
    }
}

/// Finds the interface that was meant: its exact name, its name without version, or its last part.
/// Where none was named it is the component itself, or the only interface with such a function.
fn interface(compiled: &Compiled, command: &CallCommand) -> Result<String, (ErrorCode, String)> {
    let Some(asked) = &command.interface else {
        return Ok(only_with(compiled, &command.function).unwrap_or_default());
    };
    let exports = compiled.exports();
    let fits = |export: &&String| {
        let short = export.split('@').next().unwrap_or(export);
        let last = export
            .parse::<WitInterface>()
            .map_or_else(|_| String::new(), |it| it.interface);
        *export == asked || short == asked || last == *asked
    };
    let fitting: Vec<&String> = exports.iter().filter(fits).collect();
    match fitting.as_slice() {
        [one] => Ok((*one).clone()),
        [] => Err((
            ErrorCode::Invalid,
            format!(
                "there is no interface {asked}; the component exports {}",
                exports.join(", ")
            ),
        )),
        several => Err((
            ErrorCode::Invalid,
            format!(
                "{asked} may be any of {}; give the whole name",
                several
                    .iter()
                    .map(|it| it.as_str())
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        )),
    }
}

/// Returns the interface that alone has a function of this name.
fn only_with(compiled: &Compiled, function: &str) -> Option<String> {
    let functions = compiled.functions();
    let mut fitting = functions.into_iter().filter(|it| it.function == function);
    match (fitting.next(), fitting.next()) {
        (Some(one), None) => Some(one.interface),
        _ => None,
    }
}

fn missing(compiled: &Compiled, interface: &str, error: &trellis_engine::FunctionError) -> String {
    let functions = compiled.functions();
    let names: Vec<&str> = functions
        .iter()
        .filter(|it| it.interface == interface)
        .map(|it| it.function.as_str())
        .collect();
    if names.is_empty() {
        return error.to_string();
    }
    format!("{error}; there are {}", names.join(", "))
}
