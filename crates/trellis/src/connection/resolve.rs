//! Where each setting comes from: flags, then the environment, then a context, then the default. Pure
//! but for reading the files of contexts.

use std::path::PathBuf;
use std::time::Duration;

use trellis_core::LatticeName;

use super::ConnectionOptions;
use super::credentials::{Login, choose};
use super::environment::{self, Lookup};
use crate::context::{Context, Contexts};
use crate::duration;
use crate::failure::Failure;

/// The server where nobody names one: that of 1.x.
pub(super) const SERVER_DEFAULT: &str = "nats://127.0.0.1:4222";
/// How long a host has to answer where nobody says, as tools of 1.x have it.
pub(super) const TIMEOUT_DEFAULT: Duration = Duration::from_secs(2);

/// Where a setting was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// It was typed.
    Flag(&'static str),
    /// A variable.
    Environment(&'static str),
    /// A context.
    Context(String),
    /// Nobody said.
    Default,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "flag {name}"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Context(name) => write!(f, "context {name}"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A setting and where it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting<T> {
    pub(crate) value: T,
    pub(crate) origin: Origin,
}

/// How a context came to be in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// By flag or environment.
    Named,
    /// By `trellis context select`.
    Selected,
    /// By a running embedded lattice.
    Embedded,
}

impl Choice {
    /// Says how the context came to be in use.
    pub(crate) fn origin(self, named: &Origin) -> String {
        match self {
            Self::Named => named.to_string(),
            Self::Selected => "selected".to_owned(),
            Self::Embedded => "running here".to_owned(),
        }
    }
}

/// Every setting of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Resolved {
    /// The context in use, and how it came to be.
    pub(crate) context: Option<(Setting<String>, Choice)>,
    pub(crate) servers: Setting<Vec<String>>,
    pub(crate) lattice: Setting<LatticeName>,
    pub(crate) login: Option<Setting<Login>>,
    pub(crate) tls_ca: Option<Setting<PathBuf>>,
    pub(crate) tls_cert: Option<Setting<PathBuf>>,
    pub(crate) tls_key: Option<Setting<PathBuf>>,
    pub(crate) tls_first: Setting<bool>,
    pub(crate) js_domain: Option<Setting<String>>,
    pub(crate) timeout: Setting<Duration>,
}

impl Resolved {
    /// Finds every setting for a client.
    ///
    /// # Errors
    /// When a context does not exist or cannot be read, or a variable is not what it should be.
    pub(crate) fn of_client(options: &ConnectionOptions) -> Result<Self, Failure> {
        resolve(options, &environment::of_process, &Contexts::open())
    }

    /// Tells whether the lattice lives in a host of this machine, and ends with it.
    pub(crate) fn is_embedded(&self) -> bool {
        matches!(self.context, Some((_, Choice::Embedded)))
    }

    /// Finds every setting for a host. Unlike a client it uses a context only where one is named: a host
    /// that was told nothing keeps a lattice of its own.
    ///
    /// # Errors
    /// As [`Self::of_client`].
    pub(crate) fn of_host(options: &ConnectionOptions) -> Result<Self, Failure> {
        let is_named =
            options.context.is_some() || environment::of_process("TRELLIS_CONTEXT").is_some();
        let contexts = if is_named {
            Contexts::open()
        } else {
            Contexts::none()
        };
        resolve(options, &environment::of_process, &contexts)
    }

    /// Tells whether the lattice is one of this machine: an embedded one, or a server on loopback.
    pub(crate) fn is_local(&self) -> bool {
        self.is_embedded() || self.servers.value.iter().all(|it| is_loopback(it))
    }
}

/// Returns the context that is named by flag or environment, and its name.
///
/// # Errors
/// When it does not exist or cannot be read.
pub(crate) fn named_context(
    options: &ConnectionOptions,
) -> Result<Option<(String, Context)>, Failure> {
    let told = || environment::of_process("TRELLIS_CONTEXT");
    let Some(name) = options.context.clone().or_else(told) else {
        return Ok(None);
    };
    let context = Contexts::open().load(&name)?;
    Ok(Some((name, context)))
}

fn is_loopback(server: &str) -> bool {
    let rest = server.rsplit_once("://").map_or(server, |(_, rest)| rest);
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    ["localhost", "127.", "[::1]"]
        .iter()
        .any(|it| host.starts_with(it))
}

/// Returns the address of a server without user and password.
pub(crate) fn redacted(server: &str) -> String {
    let (scheme, rest) = server.split_once("://").unwrap_or(("nats", server));
    match rest.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://…@{host}"),
        None => format!("{scheme}://{rest}"),
    }
}

/// Finds every setting.
pub(super) fn resolve(
    options: &ConnectionOptions,
    environment: Lookup<'_>,
    contexts: &Contexts,
) -> Result<Resolved, Failure> {
    let servers = servers(options, environment);
    let chosen = choose_context(options, environment, contexts, servers.is_some())?;
    let sources = Sources {
        environment,
        context: chosen
            .as_ref()
            .map(|it| (it.name.value.as_str(), &it.context)),
    };
    let servers = servers.or_else(|| {
        let of_context = |it: &Context| (!it.servers.is_empty()).then(|| it.servers.clone());
        sources.context(of_context)
    });
    let tls_ca = sources.path(&options.tls_ca, ("--tls-ca", "NATS_CA"), |it| &it.tls_ca);
    let tls_cert = sources.path(&options.tls_cert, ("--tls-cert", "NATS_CERT"), |it| {
        &it.tls_cert
    });
    let tls_key = sources.path(&options.tls_key, ("--tls-key", "NATS_KEY"), |it| {
        &it.tls_key
    });
    if tls_cert.is_some() != tls_key.is_some() {
        let hint = "give both `--tls-cert FILE` and `--tls-key FILE`, or neither";
        let message = "a client certificate and its key belong together";
        return Err(Failure::usage(message, Some(hint)));
    }
    Ok(Resolved {
        servers: servers.unwrap_or(Setting {
            value: vec![SERVER_DEFAULT.to_owned()],
            origin: Origin::Default,
        }),
        lattice: sources.lattice(options)?,
        login: choose(options, &sources)?,
        tls_ca,
        tls_cert,
        tls_key,
        tls_first: sources.tls_first(options),
        js_domain: sources.text(
            &options.js_domain,
            ("--js-domain", "TRELLIS_JS_DOMAIN"),
            |it| it.js_domain.clone(),
        ),
        timeout: sources.timeout(options)?,
        context: chosen.map(|it| (it.name, it.choice)),
    })
}

fn servers(options: &ConnectionOptions, environment: Lookup<'_>) -> Option<Setting<Vec<String>>> {
    if !options.nats.is_empty() {
        return Some(Setting {
            value: options.nats.clone(),
            origin: Origin::Flag("--nats"),
        });
    }
    let text = environment("NATS_URL")?;
    let parts = text.split(',').map(|it| it.trim().to_owned());
    Some(Setting {
        value: parts.filter(|it| !it.is_empty()).collect(),
        origin: Origin::Environment("NATS_URL"),
    })
}

struct Chosen {
    name: Setting<String>,
    context: Context,
    choice: Choice,
}

/// Finds the context: one that is named, else the selected one, else that of a running embedded
/// lattice. The last has nothing to say about servers that were named.
fn choose_context(
    options: &ConnectionOptions,
    environment: Lookup<'_>,
    contexts: &Contexts,
    server_named: bool,
) -> Result<Option<Chosen>, Failure> {
    let typed = options
        .context
        .clone()
        .map(|it| (it, Origin::Flag("--context")));
    let named = typed.or_else(|| {
        let origin = Origin::Environment("TRELLIS_CONTEXT");
        environment("TRELLIS_CONTEXT").map(|it| (it, origin))
    });
    let (name, origin, choice) = match (named, contexts.selected()) {
        (Some((name, origin)), _) => (name, origin, Choice::Named),
        (None, Some(name)) => (name, Origin::Default, Choice::Selected),
        (None, None) => {
            let embedded = if server_named {
                None
            } else {
                contexts.live_embedded()
            };
            return Ok(embedded.map(|(value, context)| Chosen {
                name: Setting {
                    value,
                    origin: Origin::Default,
                },
                context,
                choice: Choice::Embedded,
            }));
        }
    };
    let context = contexts.load(&name)?;
    Ok(Some(Chosen {
        name: Setting {
            value: name,
            origin,
        },
        context,
        choice,
    }))
}

/// Where settings are looked for after the flags.
pub(super) struct Sources<'a> {
    environment: Lookup<'a>,
    context: Option<(&'a str, &'a Context)>,
}

/// The names of one setting: its flag and its variable.
type Names = (&'static str, &'static str);

impl Sources<'_> {
    /// Returns a variable.
    pub(super) fn variable(&self, name: &'static str) -> Option<Setting<String>> {
        Some(Setting {
            value: (self.environment)(name)?,
            origin: Origin::Environment(name),
        })
    }

    /// Returns a setting of the context.
    pub(super) fn context<T>(&self, get: impl Fn(&Context) -> Option<T>) -> Option<Setting<T>> {
        let (name, context) = self.context?;
        Some(Setting {
            value: get(context)?,
            origin: Origin::Context(name.to_owned()),
        })
    }

    fn text(
        &self,
        typed: &Option<String>,
        (flag, variable): Names,
        get: impl Fn(&Context) -> Option<String>,
    ) -> Option<Setting<String>> {
        let typed = typed.clone().map(|value| Setting {
            value,
            origin: Origin::Flag(flag),
        });
        typed
            .or_else(|| self.variable(variable))
            .or_else(|| self.context(get))
    }

    fn path(
        &self,
        typed: &Option<PathBuf>,
        (flag, variable): Names,
        get: impl Fn(&Context) -> &Option<PathBuf>,
    ) -> Option<Setting<PathBuf>> {
        let typed = typed.clone().map(|value| Setting {
            value,
            origin: Origin::Flag(flag),
        });
        let told = || {
            let told = self.variable(variable)?;
            Some(Setting {
                value: PathBuf::from(told.value),
                origin: told.origin,
            })
        };
        typed
            .or_else(told)
            .or_else(|| self.context(|it| get(it).clone()))
    }

    fn lattice(&self, options: &ConnectionOptions) -> Result<Setting<LatticeName>, Failure> {
        let typed = options.lattice.as_ref().map(ToString::to_string);
        let names = ("--lattice", "TRELLIS_LATTICE");
        let Some(found) = self.text(&typed, names, |it| it.lattice.clone()) else {
            return Ok(Setting {
                value: LatticeName::default(),
                origin: Origin::Default,
            });
        };
        match LatticeName::new(&found.value) {
            Ok(value) => Ok(Setting {
                value,
                origin: found.origin,
            }),
            Err(error) => Err(Failure::usage(&format!("{error} ({})", found.origin), None)),
        }
    }

    fn tls_first(&self, options: &ConnectionOptions) -> Setting<bool> {
        if options.tls_first {
            return Setting {
                value: true,
                origin: Origin::Flag("--tls-first"),
            };
        }
        let of_context = self.context(|it| it.tls_first.then_some(true));
        of_context.unwrap_or(Setting {
            value: false,
            origin: Origin::Default,
        })
    }

    fn timeout(&self, options: &ConnectionOptions) -> Result<Setting<Duration>, Failure> {
        if let Some(value) = options.timeout {
            return Ok(Setting {
                value,
                origin: Origin::Flag("--timeout"),
            });
        }
        let Some(told) = self.variable("TRELLIS_TIMEOUT") else {
            return Ok(Setting {
                value: TIMEOUT_DEFAULT,
                origin: Origin::Default,
            });
        };
        match duration::parse(&told.value) {
            Ok(value) => Ok(Setting {
                value,
                origin: told.origin,
            }),
            Err(error) => Err(Failure::usage(&format!("TRELLIS_TIMEOUT: {error}"), None)),
        }
    }
}

#[cfg(test)]
mod tests;
