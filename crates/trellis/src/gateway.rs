//! The settings of a host's gateway that an operator may choose, and where each value comes from: flags,
//! then the environment, then a context, then the default of the gateway.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use clap::Args;
use trellis_host::{GatewayLimits, PeerRange};

use crate::connection::{ConnectionOptions, Lookup, Origin, named_context, of_process};
use crate::context::Context;
use crate::failure::Failure;
use crate::suggestion::did_you_mean;
use crate::{duration, size};

/// Larger bodies are files that somebody should store, not requests.
const BODY_BYTES: RangeInclusive<u64> = 1..=1 << 40;
/// Less is what browsers send anyway; more would let a thousand connections take a gigabyte.
const HEADER_BYTES: RangeInclusive<u64> = 1 << 10..=1 << 20;
/// More than a process can have of descriptors.
const COUNT: RangeInclusive<u64> = 1..=1_000_000;
/// More ranges of peers than anybody's load balancers have; each request is compared with all.
const PEERS_MAX: usize = 64;

/// What `trellis up` can be told of its gateway.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Gateway")]
pub(crate) struct GatewayOptions {
    /// Refuse larger request bodies, with 413 [env: TRELLIS_HTTP_BODY_MAX] [default: 10MiB]
    #[arg(long, value_name = "SIZE", value_parser = |it: &str| checked(&BODY_MAX, it))]
    http_body_max: Option<String>,

    /// Refuse more bytes of headers, with 431 [env: TRELLIS_HTTP_HEADER_MAX] [default: 32KiB]
    #[arg(long, value_name = "SIZE", value_parser = |it: &str| checked(&HEADER_MAX, it))]
    http_header_max: Option<String>,

    /// Close connections that take longer for a request's head [env: TRELLIS_HTTP_HEADER_TIMEOUT]
    /// [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = |it: &str| checked(&HEADER_TIMEOUT, it))]
    http_header_timeout: Option<String>,

    /// Close connections that rest longer between requests; choose more than the load balancer in front
    /// [env: TRELLIS_HTTP_IDLE_TIMEOUT] [default: 75s]
    #[arg(long, value_name = "TIME", value_parser = |it: &str| checked(&IDLE_TIMEOUT, it))]
    http_idle_timeout: Option<String>,

    /// Have so many connections open; refuse more, with 503 [env: TRELLIS_HTTP_CONNECTIONS_MAX]
    /// [default: 8192]
    #[arg(long, value_name = "COUNT", value_parser = |it: &str| checked(&CONNECTIONS_MAX, it))]
    http_connections_max: Option<String>,

    /// Answer so many requests at once; refuse more, with 503 [env: TRELLIS_HTTP_REQUESTS_MAX]
    /// [default: 4096]
    #[arg(long, value_name = "COUNT", value_parser = |it: &str| checked(&REQUESTS_MAX, it))]
    http_requests_max: Option<String>,

    /// Believe `forwarded` and `x-forwarded-*` of these peers, by comma, such as `10.0.0.0/8`
    /// [env: TRELLIS_HTTP_TRUST] [default: nobody]
    #[arg(long, value_name = "RANGES", value_parser = |it: &str| checked(&TRUST, it))]
    http_trust: Option<String>,

    /// Let what is in flight take this long when the host stops [env: TRELLIS_DRAIN_TIMEOUT]
    /// [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = |it: &str| checked(&DRAIN_TIMEOUT, it))]
    drain_timeout: Option<String>,
}

/// The settings of a gateway in a context: by name, as they are typed.
pub(crate) type GatewayContext = BTreeMap<String, String>;

/// What a gateway is made with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gateway {
    pub(crate) limits: GatewayLimits,
    pub(crate) trusted_peers: Vec<PeerRange>,
}

/// A gateway's settings, and where each was found.
#[derive(Clone, Debug)]
pub(crate) struct ResolvedGateway {
    pub(crate) gateway: Gateway,
    origins: Vec<Origin>,
}

/// One setting: its names, how it is read, and how it is shown.
struct Known {
    /// Two dashes and the name by which it is shown and kept.
    flag: &'static str,
    variable: &'static str,
    typed: fn(&GatewayOptions) -> &Option<String>,
    set: fn(&mut Gateway, &str) -> Result<(), String>,
    show: fn(&Gateway) -> String,
}

impl Known {
    fn name(&self) -> &'static str {
        self.flag.trim_start_matches('-')
    }
}

const BODY_MAX: Known = Known {
    flag: "--http-body-max",
    variable: "TRELLIS_HTTP_BODY_MAX",
    typed: |it| &it.http_body_max,
    set: |it, text| {
        it.limits.request_body_bytes_max = bytes(text, BODY_BYTES)?;
        Ok(())
    },
    show: |it| size::text(it.limits.request_body_bytes_max),
};

const HEADER_MAX: Known = Known {
    flag: "--http-header-max",
    variable: "TRELLIS_HTTP_HEADER_MAX",
    typed: |it| &it.http_header_max,
    set: |it, text| {
        it.limits.header_bytes_max = whole(bytes(text, HEADER_BYTES)?)?;
        Ok(())
    },
    show: |it| size::text(it.limits.header_bytes_max as u64),
};

const HEADER_TIMEOUT: Known = Known {
    flag: "--http-header-timeout",
    variable: "TRELLIS_HTTP_HEADER_TIMEOUT",
    typed: |it| &it.http_header_timeout,
    set: |it, text| {
        it.limits.header_read_timeout = duration::parse(text)?;
        Ok(())
    },
    show: |it| duration::text(it.limits.header_read_timeout),
};

const IDLE_TIMEOUT: Known = Known {
    flag: "--http-idle-timeout",
    variable: "TRELLIS_HTTP_IDLE_TIMEOUT",
    typed: |it| &it.http_idle_timeout,
    set: |it, text| {
        it.limits.keep_alive_timeout = duration::parse(text)?;
        Ok(())
    },
    show: |it| duration::text(it.limits.keep_alive_timeout),
};

const CONNECTIONS_MAX: Known = Known {
    flag: "--http-connections-max",
    variable: "TRELLIS_HTTP_CONNECTIONS_MAX",
    typed: |it| &it.http_connections_max,
    set: |it, text| {
        it.limits.connections_max = whole(count(text)?)?;
        Ok(())
    },
    show: |it| it.limits.connections_max.to_string(),
};

const REQUESTS_MAX: Known = Known {
    flag: "--http-requests-max",
    variable: "TRELLIS_HTTP_REQUESTS_MAX",
    typed: |it| &it.http_requests_max,
    set: |it, text| {
        it.limits.requests_in_flight_max = whole(count(text)?)?;
        Ok(())
    },
    show: |it| it.limits.requests_in_flight_max.to_string(),
};

const TRUST: Known = Known {
    flag: "--http-trust",
    variable: "TRELLIS_HTTP_TRUST",
    typed: |it| &it.http_trust,
    set: |it, text| {
        it.trusted_peers = peers(text)?;
        Ok(())
    },
    show: |it| {
        let ranges: Vec<String> = it.trusted_peers.iter().map(ToString::to_string).collect();
        ranges.join(",")
    },
};

const DRAIN_TIMEOUT: Known = Known {
    flag: "--drain-timeout",
    variable: "TRELLIS_DRAIN_TIMEOUT",
    typed: |it| &it.drain_timeout,
    set: |it, text| {
        it.limits.drain_deadline = duration::parse(text)?;
        Ok(())
    },
    show: |it| duration::text(it.limits.drain_deadline),
};

/// Every setting, in the order of the help.
const ALL: [Known; 8] = [
    BODY_MAX,
    HEADER_MAX,
    HEADER_TIMEOUT,
    IDLE_TIMEOUT,
    CONNECTIONS_MAX,
    REQUESTS_MAX,
    TRUST,
    DRAIN_TIMEOUT,
];

impl ResolvedGateway {
    /// Finds every setting of the gateway of a host that is started with these options.
    ///
    /// # Errors
    /// When a context that is named cannot be read, or a value is not what it should be.
    pub(crate) fn of_host(
        typed: &GatewayOptions,
        connection: &ConnectionOptions,
    ) -> Result<Self, Failure> {
        resolve(typed, &of_process, named_context(connection)?.as_ref())
    }

    /// Returns name, value and origin of every setting.
    pub(crate) fn shown(&self) -> impl Iterator<Item = (&'static str, String, &Origin)> {
        let shown = |(known, origin)| {
            let known: &Known = known;
            (known.name(), (known.show)(&self.gateway), origin)
        };
        ALL.iter().zip(&self.origins).map(shown)
    }
}

/// Returns what was typed, as a context keeps it.
pub(crate) fn for_context(typed: &GatewayOptions) -> GatewayContext {
    let kept = |known: &Known| Some((known.name().to_owned(), (known.typed)(typed).clone()?));
    ALL.iter().filter_map(kept).collect()
}

fn resolve(
    typed: &GatewayOptions,
    environment: Lookup<'_>,
    context: Option<&(String, Context)>,
) -> Result<ResolvedGateway, Failure> {
    if let Some((name, context)) = context {
        check_names(name, &context.gateway)?;
    }
    let mut gateway = Gateway::default();
    let mut origins = Vec::new();
    for known in &ALL {
        let (text, origin) = find(known, typed, environment, context);
        if let Some(text) = text {
            let wrong = |why| Failure::usage(&format!("{}: {why} ({origin})", known.name()), None);
            (known.set)(&mut gateway, &text).map_err(wrong)?;
        }
        origins.push(origin);
    }
    Ok(ResolvedGateway { gateway, origins })
}

fn find(
    known: &Known,
    typed: &GatewayOptions,
    environment: Lookup<'_>,
    context: Option<&(String, Context)>,
) -> (Option<String>, Origin) {
    if let Some(text) = (known.typed)(typed) {
        return (Some(text.clone()), Origin::Flag(known.flag));
    }
    if let Some(text) = environment(known.variable) {
        return (Some(text), Origin::Environment(known.variable));
    }
    let kept = context.and_then(|(name, it)| Some((it.gateway.get(known.name())?, name)));
    match kept {
        Some((text, name)) => (Some(text.clone()), Origin::Context(name.clone())),
        None => (None, Origin::Default),
    }
}

/// A misspelt setting would be one that is silently not in force.
fn check_names(context: &str, settings: &GatewayContext) -> Result<(), Failure> {
    let names = || ALL.iter().map(Known::name);
    let Some(wrong) = settings.keys().find(|it| !names().any(|name| name == **it)) else {
        return Ok(());
    };
    let near = did_you_mean(wrong, names());
    let message = format!("a gateway has no setting {wrong:?} (context {context}){near}");
    let hint = format!("there are {}", names().collect::<Vec<_>>().join(", "));
    Err(Failure::usage(&message, Some(&hint)))
}

/// Lets the parser of the command line refuse what cannot be, with the name of the flag.
fn checked(known: &Known, text: &str) -> Result<String, String> {
    (known.set)(&mut Gateway::default(), text)?;
    Ok(text.to_owned())
}

fn bytes(text: &str, range: RangeInclusive<u64>) -> Result<u64, String> {
    let bytes = size::parse(text)?;
    if range.contains(&bytes) {
        return Ok(bytes);
    }
    let (least, most) = (size::text(*range.start()), size::text(*range.end()));
    Err(format!("{text:?} is not between `{least}` and `{most}`"))
}

fn count(text: &str) -> Result<u64, String> {
    let (least, most) = (COUNT.start(), COUNT.end());
    let count = text.parse().ok().filter(|it| COUNT.contains(it));
    count.ok_or_else(|| format!("{text:?} is no number between {least} and {most}"))
}

fn whole(number: u64) -> Result<usize, String> {
    usize::try_from(number).map_err(|_| format!("{number} is too much for this machine"))
}

fn peers(text: &str) -> Result<Vec<PeerRange>, String> {
    let parts = text.split(',').map(str::trim).filter(|it| !it.is_empty());
    let peers: Result<Vec<PeerRange>, _> = parts.map(str::parse).collect();
    let peers = peers.map_err(|error| error.to_string())?;
    if peers.len() > PEERS_MAX {
        return Err(format!("more than {PEERS_MAX} ranges of peers"));
    }
    Ok(peers)
}

#[cfg(test)]
mod tests;
