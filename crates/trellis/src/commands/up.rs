//! `trellis up`: a host and its applications in the foreground.

mod identity;
mod inputs;
mod lattice;
mod log;
mod runtime;

use std::net::SocketAddr;
use std::time::Duration;

use trellis_control::Subjects;
use trellis_core::LatticeName;
use trellis_host::{
    FollowedLines, Host, HostConfig, HostReport, LogBook, Metrics, Node, NodeConfig,
    ShutdownSignal, shutdown_channel,
};
use trellis_node::{Identity, Options};

use self::inputs::Inputs;
use self::lattice::Joined;
use crate::arguments::{OutputFormat, Up};
use crate::connection::{Resolved, lattice_settings, redacted};
use crate::context;
use crate::failure::Failure;
use crate::gateway::{Gateway, ResolvedGateway};
use crate::progress::Shown;
use crate::{folders, output, signals};

/// How long the end waits for such work. What must not be lost was waited for by those who began it.
const BLOCKED_WAIT: Duration = Duration::from_millis(500);

pub(crate) fn run(up: Up) -> Result<(), Failure> {
    let resolved = Resolved::of_host(&up.connection)?;
    let identity = identity::make(resolved.lattice.value.clone(), &up.labels)?;
    let Gateway {
        limits,
        trusted_peers,
    } = ResolvedGateway::of_host(&up.gateway, &up.connection)?.gateway;
    let log = log::start(&up.log, &identity)?;
    let host = HostConfig {
        data_folder: folders::data(up.data)?,
        cache_folder: Some(folders::cache(up.cache)?),
        default_http: up.http,
        gateway_limits: limits,
        trusted_peers,
        guest_memory_bytes_max: up.guest_memory.map(|mib| mib << 20),
    };
    let inputs = inputs::read(&up.paths, up.http)?;
    let runtime = runtime::build().map_err(|error| Failure::new(&error, None))?;
    let start = Start {
        host,
        inputs,
        resolved,
        identity,
        log,
        metrics: up.metrics,
    };
    let ended = runtime.block_on(serve(start, up.output));
    // A compilation cannot be interrupted; nobody who has told the host to stop waits for its end.
    runtime.shutdown_timeout(BLOCKED_WAIT);
    ended
}

/// Everything that a host is started with.
struct Start {
    host: HostConfig,
    inputs: Inputs,
    resolved: Resolved,
    identity: Identity,
    log: (LogBook, FollowedLines),
    /// Where metrics are to be served.
    metrics: Option<SocketAddr>,
}

async fn serve(start: Start, format: OutputFormat) -> Result<(), Failure> {
    let (trigger, shutdown) = shutdown_channel();
    signals::watch(trigger).map_err(|error| Failure::new(&error, None))?;
    let mut interrupted = shutdown.clone();
    tokio::select! {
        ended = begin(start) => {
            run_to_end(ended?, shutdown, format).await
        }
        () = interrupted.draining() => Ok(()),
    }
}

/// A host that runs, and the lattice that it keeps for itself.
struct Begun {
    node: Node,
    embedded: Option<(lattice::Embedded, Option<context::Guard>)>,
    _place: Option<lattice::Place>,
}

/// Joins or starts a lattice, starts the applications, and announces both.
async fn begin(start: Start) -> Result<Begun, Failure> {
    let Start {
        host,
        inputs,
        resolved,
        mut identity,
        log: (log_book, followed),
        metrics,
    } = start;
    let metrics = match metrics {
        Some(address) => Some(
            Metrics::serve(address)
                .await
                .map_err(|error| Failure::new(&error, None))?,
        ),
        None => None,
    };
    let Joined {
        lattice,
        store,
        lease,
        place,
        embedded,
    } = match lattice_settings(&resolved)? {
        Some(settings) => lattice::join(settings, &host.data_folder).await?,
        None => lattice::embed(&host.data_folder, resolved.lattice.value.clone()).await?,
    };
    let server = match &embedded {
        Some(embedded) => embedded.server.clone(),
        None => lattice.servers().to_owned(),
    };
    identity.ctl_host = Some(redacted(&server));
    identity.rpc_host = identity.ctl_host.clone();
    identity.js_domain = lattice.jetstream_domain().map(str::to_owned);

    let data_folder = host.data_folder.clone();
    let shown = Shown::new();
    let started = Host::start(host, inputs.deployables, &shown).await;
    shown.finish();
    let host = started.map_err(|error| Failure::start(error, &inputs.sources))?;
    let subjects = Subjects::new(&identity.lattice);
    let config = NodeConfig {
        options: Options {
            lease,
            built_in_providers: trellis_host::built_in_names(),
            can_run_component: trellis_host::can_run_component,
            can_run_provider: trellis_host::can_run_provider,
            ..Options::default()
        },
        identity,
        lattice,
        store,
        recollection: place.as_ref().map(lattice::Place::recollection),
        subjects,
        metrics,
        log_book,
        followed,
    };
    let node = Node::join(host, config).await.map_err(|error| {
        let hint = format!(
            "the state of the lattice is in {}; `--data FOLDER` names another folder",
            data_folder.display()
        );
        Failure::new(&error, embedded.is_some().then_some(hint.as_str()))
    })?;
    let embedded = embedded.map(|embedded| {
        let guard = announce(&embedded, node.lattice_name());
        (embedded, guard)
    });
    Ok(Begun {
        node,
        embedded,
        _place: place,
    })
}

/// Writes the context by which a second terminal finds this host.
fn announce(embedded: &lattice::Embedded, lattice: &LatticeName) -> Option<context::Guard> {
    let servers = [embedded.server.clone()];
    let operator = embedded.operator.as_deref()?;
    match context::announce_embedded(&servers, operator, lattice) {
        Ok(guard) => Some(guard),
        Err(failure) => {
            let (why, hint) = failure.parts();
            eprintln!("note: other terminals do not find this host by themselves: {why}");
            if let Some(hint) = hint {
                eprintln!("hint: {hint}");
            }
            None
        }
    }
}

async fn run_to_end(
    Begun {
        node,
        embedded,
        _place,
    }: Begun,
    shutdown: ShutdownSignal,
    format: OutputFormat,
) -> Result<(), Failure> {
    let mut shown = Ok(());
    let ready = |node: &Node| {
        shown = match format {
            OutputFormat::Text => show(node),
            OutputFormat::Json => output::json(&output::UpOutput::from(node)),
        };
    };
    let report = node.run(shutdown, ready).await;
    shown?;
    if let Some((embedded, guard)) = embedded {
        drop(guard);
        embedded.stop().await;
    }
    if report.aborted > 0 {
        let requests = match report.aborted {
            1 => "1 request was".to_owned(),
            n => format!("{n} requests were"),
        };
        eprintln!("stopped; {requests} cut off");
    } else {
        eprintln!("stopped");
    }
    Ok(())
}

/// Writes the URLs to standard output and everything else to standard error.
fn show(node: &Node) -> Result<(), Failure> {
    let host = node.host();
    let report: &HostReport = host.report();
    let pool = host.pool();
    if pool.instances_max < pool.instances_wanted {
        eprintln!(
            "note: address space is short: room for {} instances instead of {}",
            pool.instances_max, pool.instances_wanted
        );
    }
    for application in &report.applications {
        for note in &application.notes {
            eprintln!("note: {note}");
        }
        for link in &application.links {
            eprintln!(
                "link {} -> {} {} ({})",
                link.source,
                link.target,
                link.interface,
                link.tier.name()
            );
        }
    }
    for application in &report.applications {
        if application.urls.is_empty() {
            eprintln!("{} runs; nothing calls it from outside", application.name);
        }
        for url in &application.urls {
            output::line(&format!("{} {url}", application.name))?;
        }
    }
    if report.applications.is_empty() {
        eprintln!("host ready; nothing to run. Start with a path: `trellis up app.wasm`");
    }
    if let Some(url) = node.metrics() {
        eprintln!("metrics at {url}");
    }
    eprintln!("press Ctrl-C to stop");
    Ok(())
}
