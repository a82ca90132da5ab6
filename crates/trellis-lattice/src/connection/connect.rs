//! Connecting: credentials, TLS and back-off.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{ConnectOptions, ServerAddr};
use nkeys::KeyPair;

use super::connect_error::{Cause, ConnectError, cause};
use super::settings::{Credentials, Settings, Tls};
use super::state::Shared;
use crate::lattice::{Lattice, Parts};

/// The first wait between two attempts to connect again.
const RECONNECT_DELAY_MIN: Duration = Duration::from_millis(50);
/// The wait that later ones grow to, before jitter: a server that is back is found within 3 s.
const RECONNECT_DELAY_MAX: Duration = Duration::from_secs(2);
/// Attempts before [`connect`] gives up as a whole, however many addresses the servers have.
const CONNECT_TIMEOUTS_MAX: u32 = 4;
/// The largest credentials file that is read; real ones have 2 KiB.
const CREDENTIALS_BYTES_MAX: u64 = 64 << 10;

/// Connects to the lattice of `settings` and keeps the connection: when it is lost, it is sought
/// again until the handle is dropped.
///
/// # Errors
/// When no server can be reached at the first attempt; each error names the servers and what to do.
///
/// # Cancel safety
/// Cancelling leaves nothing behind.
pub async fn connect(settings: Settings) -> Result<Lattice, ConnectError> {
    let plan = Plan::new(&settings)?;
    let after = settings.connect_timeout * CONNECT_TIMEOUTS_MAX;
    let attempt = plan.options.clone().connect(plan.addresses.clone());
    match tokio::time::timeout(after, attempt).await {
        Ok(Ok(client)) => Ok(plan.lattice(settings, client)),
        Ok(Err(source)) => Err(plan.failure(&settings, source)),
        Err(_) => Err(ConnectError::Timeout {
            servers: plan.servers,
            after,
        }),
    }
}

/// Returns a handle at once and connects behind it, again and again until that succeeds. Its state
/// tells when; until then operations fail as disconnected.
///
/// # Errors
/// When the settings themselves are wrong, so that no attempt could succeed.
pub async fn connect_in_background(settings: Settings) -> Result<Lattice, ConnectError> {
    let plan = Plan::new(&settings)?;
    let options = plan.options.clone().retry_on_initial_connect();
    match options.connect(plan.addresses.clone()).await {
        Ok(client) => Ok(plan.lattice(settings, client)),
        Err(source) => Err(plan.failure(&settings, source)),
    }
}

/// Settings that were checked and read.
struct Plan {
    addresses: Vec<ServerAddr>,
    servers: String,
    credentials: String,
    options: ConnectOptions,
    shared: Arc<Shared>,
}

impl Plan {
    fn new(settings: &Settings) -> Result<Self, ConnectError> {
        check_token("inbox prefix", &settings.inbox_prefix)?;
        if let Some(domain) = &settings.jetstream_domain {
            check_token("JetStream domain", domain)?;
        }
        let servers = addresses(settings)?;
        let mut credentials = settings.credentials.clone();
        if let (Credentials::None, Some((user, password))) = (&credentials, servers.login) {
            credentials = Credentials::UserAndPassword {
                user,
                password: password.as_str().into(),
            };
        }
        let shared = Arc::new(Shared::new());
        let options = base_options(settings, &shared);
        let options = with_credentials(options, &credentials)?;
        let options = match &settings.tls {
            Some(tls) => with_tls(options, tls)?,
            None => options,
        };
        Ok(Self {
            servers: list(&servers.addresses),
            addresses: servers.addresses,
            credentials: credentials.to_string(),
            options,
            shared,
        })
    }

    fn lattice(self, settings: Settings, client: async_nats::Client) -> Lattice {
        self.shared.count_from(client.statistics());
        Lattice::new(Parts {
            name: settings.lattice,
            servers: self.servers,
            jetstream_domain: settings.jetstream_domain,
            client,
            shared: self.shared,
        })
    }

    fn failure(self, settings: &Settings, source: async_nats::ConnectError) -> ConnectError {
        let (servers, credentials) = (self.servers, self.credentials);
        match cause(&source) {
            Cause::Refused => ConnectError::Refused { servers, source },
            Cause::Name => ConnectError::Name { servers, source },
            Cause::Timeout => ConnectError::Timeout {
                servers,
                after: settings.connect_timeout,
            },
            Cause::Tls => ConnectError::Tls { servers, source },
            Cause::Authentication => ConnectError::Authentication {
                servers,
                credentials,
                source,
            },
            Cause::Other => ConnectError::Other { servers, source },
        }
    }
}

fn base_options(settings: &Settings, shared: &Arc<Shared>) -> ConnectOptions {
    let events = Arc::clone(shared);
    ConnectOptions::new()
        .name(&settings.name)
        .custom_inbox_prefix(&settings.inbox_prefix)
        .connection_timeout(settings.connect_timeout)
        .ping_interval(settings.ping_interval)
        .subscription_capacity(settings.subscription_messages_max)
        .reconnect_delay_callback(reconnect_delay)
        .event_callback(move |event| {
            events.observe(&event);
            std::future::ready(())
        })
}

/// Doubles from 50 ms to 2 s and spreads each wait by half, so that a fleet does not come back in
/// step.
fn reconnect_delay(attempts: usize) -> Duration {
    if attempts <= 1 {
        return Duration::ZERO;
    }
    let doublings = u32::try_from(attempts - 2).unwrap_or(u32::MAX).min(16);
    let delay = (RECONNECT_DELAY_MIN * 2_u32.pow(doublings)).min(RECONNECT_DELAY_MAX);
    delay.mul_f32(0.5 + fastrand::f32())
}

struct Servers {
    addresses: Vec<ServerAddr>,
    login: Option<(String, String)>,
}

/// Reads the addresses and takes user and password out of them, so that neither is ever printed.
fn addresses(settings: &Settings) -> Result<Servers, ConnectError> {
    let mut servers = Servers {
        addresses: Vec::with_capacity(settings.servers.len()),
        login: None,
    };
    for text in &settings.servers {
        let failed = |source| ConnectError::Address {
            server: text.rsplit('@').next().unwrap_or_default().to_owned(),
            source,
        };
        let address: ServerAddr = text.trim().parse().map_err(failed)?;
        if !matches!(address.scheme(), "nats" | "tls") || address.host().is_empty() {
            let reason = "only nats:// and tls:// are known here";
            return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, reason)));
        }
        if let (Some(user), None) = (address.username(), &servers.login) {
            let password = address.password().unwrap_or_default();
            servers.login = Some((user.to_owned(), password.to_owned()));
        }
        let mut url = address.into_inner();
        // Both fail only for an address without a host, which was refused above.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        servers
            .addresses
            .push(ServerAddr::from_url(url).map_err(failed)?);
    }
    if servers.addresses.is_empty() {
        return Err(ConnectError::NoServer {
            lattice: settings.lattice.to_string(),
        });
    }
    Ok(servers)
}

fn list(addresses: &[ServerAddr]) -> String {
    let names: Vec<String> = addresses
        .iter()
        .map(|address| {
            let (scheme, host, port) = (address.scheme(), address.host(), address.port());
            if host.contains(':') {
                format!("{scheme}://[{host}]:{port}")
            } else {
                format!("{scheme}://{host}:{port}")
            }
        })
        .collect();
    names.join(", ")
}

fn check_token(what: &'static str, text: &str) -> Result<(), ConnectError> {
    let fits = text.split('.').all(|token| {
        !token.is_empty()
            && token
                .bytes()
                .all(|b| b.is_ascii_graphic() && !matches!(b, b'*' | b'>'))
    });
    if fits {
        Ok(())
    } else {
        Err(ConnectError::Setting {
            what,
            text: text.to_owned(),
        })
    }
}

fn with_credentials(
    options: ConnectOptions,
    credentials: &Credentials,
) -> Result<ConnectOptions, ConnectError> {
    let unusable = |reason| ConnectError::Credentials {
        credentials: credentials.to_string(),
        reason,
    };
    match credentials {
        Credentials::None => Ok(options),
        Credentials::CredsFile(path) => {
            let text = read_credentials(path)?;
            options
                .credentials(&text)
                .map_err(|_| unusable("it has no user JWT, or no seed, in the form of NATS"))
        }
        Credentials::JwtAndSeed { jwt, seed } => {
            let key = KeyPair::from_seed(seed.expose().trim())
                .map_err(|_| unusable("the seed is not one of NATS"))?;
            let key = Arc::new(key);
            Ok(options.jwt(jwt.trim().to_owned(), move |nonce| {
                let key = Arc::clone(&key);
                async move { key.sign(&nonce).map_err(async_nats::AuthError::new) }
            }))
        }
        Credentials::Nkey(seed) => {
            KeyPair::from_seed(seed.expose().trim())
                .map_err(|_| unusable("the seed is not one of NATS"))?;
            Ok(options.nkey(seed.expose().trim().to_owned()))
        }
        Credentials::UserAndPassword { user, password } => {
            Ok(options.user_and_password(user.clone(), password.expose().clone()))
        }
        Credentials::Token(token) => Ok(options.token(token.expose().clone())),
    }
}

fn read_credentials(path: &Path) -> Result<String, ConnectError> {
    let read = || {
        if fs::metadata(path)?.len() > CREDENTIALS_BYTES_MAX {
            let reason = "it is far larger than a credentials file";
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        fs::read_to_string(path)
    };
    read().map_err(|source| ConnectError::File {
        what: "the credentials file",
        path: path.to_owned(),
        source,
    })
}

fn with_tls(options: ConnectOptions, tls: &Tls) -> Result<ConnectOptions, ConnectError> {
    let mut options = options.require_tls(true);
    if let Some(path) = &tls.authorities {
        check_file("the TLS authorities", path)?;
        options = options.add_root_certificates(path.clone());
    }
    if let Some(identity) = &tls.identity {
        check_file("the client certificate", &identity.certificate)?;
        check_file("the key of the client certificate", &identity.key)?;
        options =
            options.add_client_certificate(identity.certificate.clone(), identity.key.clone());
    }
    if tls.first {
        options = options.tls_first();
    }
    Ok(options)
}

/// The client reads these files at each attempt; here it is only seen whether it can.
fn check_file(what: &'static str, path: &Path) -> Result<(), ConnectError> {
    match fs::File::open(path) {
        Ok(_) => Ok(()),
        Err(source) => Err(ConnectError::File {
            what,
            path: path.to_owned(),
            source,
        }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use trellis_core::{LatticeName, with_causes};

    fn settings(server: &str) -> Settings {
        Settings::new(LatticeName::default(), [server])
    }

    #[test]
    fn the_wait_doubles_to_two_seconds_and_is_spread() {
        assert_eq!(reconnect_delay(0), Duration::ZERO);
        assert_eq!(reconnect_delay(1), Duration::ZERO);
        for _ in 0..100 {
            let first = reconnect_delay(2);
            assert!((25..=75).contains(&first.as_millis()), "{first:?}");
            let last = reconnect_delay(usize::MAX);
            assert!((1_000..=3_000).contains(&last.as_millis()), "{last:?}");
        }
        let many: std::collections::HashSet<_> = (0..20).map(|_| reconnect_delay(9)).collect();
        assert!(many.len() > 10, "hosts do not come back in step");
    }

    #[test]
    fn a_password_in_an_address_is_used_and_never_shown() {
        let plan = Plan::new(&settings("nats://ann:geheim@127.0.0.1:4222")).unwrap();
        assert_eq!(plan.servers, "nats://127.0.0.1:4222");
        assert_eq!(plan.credentials, r#"the user "ann" and its password"#);
        assert!(!format!("{:?}", plan.addresses).contains("geheim"));
        let error = Plan::new(&settings("ftp://ann:geheim@h")).err().unwrap();
        assert!(!with_causes(&error).contains("geheim"), "{error}");
    }

    #[test]
    fn wrong_settings_are_named() {
        let error = |settings: &Settings| Plan::new(settings).err().unwrap().to_string();
        let none = Settings::new(LatticeName::default(), Vec::<String>::new());
        assert!(error(&none).contains("no server of the lattice default"));
        assert!(error(&settings("http://h")).contains("write nats://host:port"));
        let mut odd = settings("nats://h");
        odd.inbox_prefix = "_INBOX.>".to_owned();
        assert!(error(&odd).contains("inbox prefix \"_INBOX.>\""));
        let mut seed = settings("nats://h");
        seed.credentials = Credentials::Nkey("SUnonsense".into());
        let text = error(&seed);
        assert!(text.contains("an nkey cannot be used") && !text.contains("nonsense"));
        let mut file = settings("nats://h");
        file.credentials = Credentials::CredsFile("/nowhere/a.creds".into());
        assert!(error(&file).contains(r#"the credentials file "/nowhere/a.creds""#));
    }
}
