//! An open connection to a lattice, with the words for what goes wrong on it.

use std::time::Duration;

use trellis_control::{Client, ClientError, Gathered, Host, Timing};
use trellis_core::with_causes;
use trellis_lattice::{ConnectError, Credentials, Settings, Tls, TlsIdentity, connect};

use super::resolve::{Choice, Origin, Resolved, redacted};
use super::{ConnectionOptions, credentials};
use crate::context::Contexts;
use crate::failure::Failure;

/// After the answer of the only host that an embedded lattice has, no further one comes.
const PING_SILENCE_EMBEDDED: Duration = Duration::from_millis(20);
/// The name that a server shows for our connection.
const CONNECTION_NAME: &str = "trellis command line";

/// A connection to a lattice and a client of its hosts.
#[derive(Debug)]
pub(crate) struct Session {
    /// Asks hosts.
    pub(crate) client: Client,
    /// With which settings.
    pub(crate) resolved: Resolved,
}

impl Session {
    /// Finds the settings and connects.
    ///
    /// # Errors
    /// When a setting is wrong or the lattice cannot be reached.
    pub(crate) async fn open(options: &ConnectionOptions) -> Result<Self, Failure> {
        let resolved = Resolved::of_client(options)?;
        if let Some((name, Choice::Embedded)) = &resolved.context {
            note_others(&name.value);
        }
        Self::with(resolved).await
    }

    /// Connects with settings that were found.
    ///
    /// # Errors
    /// When the lattice cannot be reached.
    pub(crate) async fn with(resolved: Resolved) -> Result<Self, Failure> {
        let settings = settings(&resolved)?;
        let lattice = match connect(settings).await {
            Ok(lattice) => lattice,
            Err(error) => return Err(not_reached(&resolved, &error)),
        };
        let client = Client::new(lattice).with_timing(timing(&resolved));
        Ok(Self { client, resolved })
    }

    /// Says which lattice this is and where that was found, for the end of a message.
    pub(crate) fn note(&self) -> String {
        note(&self.resolved)
    }

    /// Says why a request failed.
    pub(crate) fn failure(&self, error: &ClientError) -> Failure {
        let hint = error.hint();
        let failure = self.failed(&with_causes(error), hint.as_deref());
        match error {
            ClientError::Invalid { .. } => failure.into_usage(),
            _ => failure,
        }
    }

    /// Says what failed in this lattice.
    pub(crate) fn failed(&self, message: &str, hint: Option<&str>) -> Failure {
        Failure::in_lattice(message, &self.note(), hint)
    }

    /// Lists the hosts; there is at least one.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) async fn hosts(&self) -> Result<Vec<Host>, Failure> {
        let hosts = self.client.hosts().await;
        let mut hosts = self.gathered(hosts)?;
        if hosts.is_empty() {
            let message = format!("no host is in lattice {}", self.resolved.lattice.value);
            let hint = "`trellis up` starts one; `--lattice NAME` or `--context NAME` choose another lattice";
            return Err(self.failed(&message, Some(hint)));
        }
        hosts.sort_by(|a, b| (&a.friendly_name, &a.id).cmp(&(&b.friendly_name, &b.id)));
        hosts.dedup_by(|a, b| a.id == b.id);
        Ok(hosts)
    }

    /// Takes the answers of many hosts; what one of them failed at is told on standard error.
    ///
    /// # Errors
    /// When nobody could be asked.
    pub(crate) fn gathered<T>(
        &self,
        gathered: Result<Gathered<T>, ClientError>,
    ) -> Result<Vec<T>, Failure> {
        let gathered = gathered.map_err(|error| self.failure(&error))?;
        for failure in &gathered.failures {
            eprintln!("warning: {}", with_causes(failure));
        }
        Ok(gathered.answers)
    }
}

/// Says which of several embedded lattices is meant where nobody named one.
fn note_others(name: &str) {
    let others = Contexts::open().other_embedded(name);
    if !others.is_empty() {
        eprintln!(
            "note: context {name} is used, of the host that started last; `--context NAME` chooses {}",
            others.join(" or ")
        );
    }
}

/// Returns the settings with which a host joins a lattice; `None` where nobody named one.
///
/// # Errors
/// When a file that is named cannot be read.
pub(crate) fn lattice_settings(resolved: &Resolved) -> Result<Option<Settings>, Failure> {
    if resolved.servers.origin == Origin::Default {
        return Ok(None);
    }
    let mut settings = settings(resolved)?;
    "trellis host".clone_into(&mut settings.name);
    Ok(Some(settings))
}

/// Returns the settings of the connection.
fn settings(resolved: &Resolved) -> Result<Settings, Failure> {
    let lattice = resolved.lattice.value.clone();
    let mut settings = Settings::new(lattice, resolved.servers.value.clone());
    CONNECTION_NAME.clone_into(&mut settings.name);
    settings.jetstream_domain = resolved.js_domain.clone().map(|it| it.value);
    if !matches!(resolved.timeout.origin, Origin::Default) {
        settings.connect_timeout = resolved.timeout.value;
    }
    if let Some(login) = &resolved.login {
        let ready: credentials::Ready = login.value.read()?;
        settings.credentials = ready.credentials;
        settings.inbox_prefix = ready.inbox_prefix;
    } else {
        settings.credentials = Credentials::None;
    }
    settings.tls = tls(resolved);
    Ok(settings)
}

fn tls(resolved: &Resolved) -> Option<Tls> {
    let identity = match (&resolved.tls_cert, &resolved.tls_key) {
        (Some(certificate), Some(key)) => Some(TlsIdentity {
            certificate: certificate.value.clone(),
            key: key.value.clone(),
        }),
        _ => None,
    };
    let authorities = resolved.tls_ca.clone().map(|it| it.value);
    let first = resolved.tls_first.value;
    (identity.is_some() || authorities.is_some() || first).then_some(Tls {
        authorities,
        identity,
        first,
    })
}

/// Returns the waits. One that was chosen holds for every answer; work has at least its own time.
fn timing(resolved: &Resolved) -> Timing {
    let mut timing = Timing::default();
    if !matches!(resolved.timeout.origin, Origin::Default) {
        let chosen = resolved.timeout.value;
        timing.request = chosen;
        timing.ping = chosen;
        timing.work = timing.work.max(chosen);
        timing.auction = timing.auction.max(chosen);
    }
    if resolved.is_embedded() {
        timing.ping_silence = PING_SILENCE_EMBEDDED;
    }
    timing
}

/// Says which lattice the settings mean, and where that was found.
fn note(resolved: &Resolved) -> String {
    let servers: Vec<String> = resolved
        .servers
        .value
        .iter()
        .map(|it| redacted(it))
        .collect();
    let context = match &resolved.context {
        Some((name, choice)) => format!("context {} ({})", name.value, choice.origin(&name.origin)),
        None => "no context".to_owned(),
    };
    format!(
        "lattice {}{} at {}{}, {context}",
        resolved.lattice.value,
        found(&resolved.lattice.origin),
        servers.join(", "),
        found(&resolved.servers.origin)
    )
}

/// Says where a setting was found; the context, which follows, need not be named for each.
fn found(origin: &Origin) -> String {
    match origin {
        Origin::Context(_) => String::new(),
        origin => format!(" ({origin})"),
    }
}

fn not_reached(resolved: &Resolved, error: &ConnectError) -> Failure {
    let lattice = &resolved.lattice.value;
    let message = format!("cannot reach lattice {lattice}: {}", words(error));
    let of_embedded = embedded_hint(error, &resolved.servers.value);
    let hint = match (error, &resolved.servers.origin) {
        (ConnectError::Refused { .. }, Origin::Default) => {
            "`trellis up` starts a lattice here; `--nats URL` or `--context NAME` name another"
        }
        (ConnectError::Authentication { .. }, _) => {
            "`trellis config show` says which credentials are used and where they come from"
        }
        _ => {
            "`trellis config show` says where each setting comes from; `trellis doctor` looks closer"
        }
    };
    let hint = of_embedded.as_deref().unwrap_or(hint);
    Failure::in_lattice(&message, &note(resolved), Some(hint))
}

/// Says why a lattice that is to be joined cannot be.
pub(crate) fn not_joined(servers: &[String], error: &ConnectError) -> Failure {
    let hint = embedded_hint(error, servers);
    Failure::message(&words(error), hint.as_deref())
}

/// What the client said adds nothing where we know what it means.
fn words(error: &ConnectError) -> String {
    match error {
        ConnectError::Refused { .. }
        | ConnectError::Name { .. }
        | ConnectError::Timeout { .. }
        | ConnectError::Authentication { .. } => error.to_string(),
        error => with_causes(error),
    }
}

/// Says whose server this is, where it is the embedded one of a host that runs here.
fn embedded_hint(error: &ConnectError, servers: &[String]) -> Option<String> {
    if !matches!(error, ConnectError::Authentication { .. }) {
        return None;
    }
    let context = Contexts::open().embedded_at(servers)?;
    Some(format!(
        "that is the embedded lattice of another host, which is for this host alone: ask it with `--context \
         {context}`; hosts join one another over a NATS server"
    ))
}
