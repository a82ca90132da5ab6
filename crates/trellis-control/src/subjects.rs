//! Every subject of the control interface: building them, reading them, and who listens where.
//!
//! Shapes: `{prefix}.v1.{lattice}.{noun}.{verb}[.{host or config}]` for what wasmCloud 1.x knows,
//! with the prefix `wasmbus.ctl` unless changed; `trellis.v1.{lattice}.{verb}.{host}` for what only
//! we have; `wasmbus.evt.{lattice}.{name}` for events, which no prefix changes.

use trellis_core::{ComponentId, LatticeName};

use crate::events::EventKind;
use crate::names::{ConfigName, HostId, NameError};

/// The prefix that hosts and tools of 1.x use unless configured otherwise.
pub const PREFIX_DEFAULT: &str = "wasmbus.ctl";

/// Longest prefix, in bytes.
const PREFIX_LENGTH_MAX: usize = 255;

/// What stands in place of a component id where a host logs for itself; no component id has a `$`.
const HOST_LOG: &str = "$host";

/// What one subject asks for. One variant for each request of the control interface.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    /// Who is there? Every host answers.
    HostPing,
    /// The inventory of one host.
    HostGet(HostId),
    /// Stop one host.
    HostStop(HostId),
    /// Set a label of one host.
    LabelPut(HostId),
    /// Remove a label of one host.
    LabelDelete(HostId),
    /// Who could run this component? Hosts that could answer, the others are silent.
    ComponentAuction,
    /// Who could run this provider? Hosts that could answer, the others are silent.
    ProviderAuction,
    /// Start, scale or stop a component on one host.
    ComponentScale(HostId),
    /// Replace the image of a component on one host.
    ComponentUpdate(HostId),
    /// Start a provider on one host.
    ProviderStart(HostId),
    /// Stop a provider on one host.
    ProviderStop(HostId),
    /// Set a link; any one host does it.
    LinkPut,
    /// Remove a link; any one host does it.
    LinkDelete,
    /// All links; any one host answers.
    LinkGet,
    /// All claims; any one host answers.
    ClaimsGet,
    /// Set a config entry; any one host does it.
    ConfigPut(ConfigName),
    /// Read a config entry; any one host answers.
    ConfigGet(ConfigName),
    /// Remove a config entry; any one host does it.
    ConfigDelete(ConfigName),
    /// Registry credentials for every host.
    RegistryPut,
    /// Ours: mode and detailed inventory of one host.
    Status(HostId),
    /// Ours: take one host out of service, or back in.
    Drain(HostId),
    /// Ours: what one host finds wrong with itself.
    Doctor(HostId),
    /// Ours: call an exported function on one host.
    Call(HostId),
    /// Ours: the exported functions of a component on one host.
    Describe(HostId),
    /// Ours: the latest log lines of one host, and to keep publishing new ones.
    Tail(HostId),
}

impl Route {
    /// Returns the host that the subject addresses, where it addresses one.
    pub fn host(&self) -> Option<&HostId> {
        match self.parts().1 {
            Operand::Host(host) => Some(host),
            _ => None,
        }
    }

    /// Tells whether the route is one that 1.x does not have.
    pub fn is_ours(&self) -> bool {
        !self.parts().0.contains('.')
    }

    /// The fixed tokens after the lattice, and what follows them. Ours have one token, those of 1.x
    /// two.
    fn parts(&self) -> (&'static str, Operand<'_>) {
        match self {
            Self::HostPing => ("host.ping", Operand::None),
            Self::HostGet(host) => ("host.get", Operand::Host(host)),
            Self::HostStop(host) => ("host.stop", Operand::Host(host)),
            Self::LabelPut(host) => ("label.put", Operand::Host(host)),
            Self::LabelDelete(host) => ("label.del", Operand::Host(host)),
            Self::ComponentAuction => ("component.auction", Operand::None),
            Self::ProviderAuction => ("provider.auction", Operand::None),
            Self::ComponentScale(host) => ("component.scale", Operand::Host(host)),
            Self::ComponentUpdate(host) => ("component.update", Operand::Host(host)),
            Self::ProviderStart(host) => ("provider.start", Operand::Host(host)),
            Self::ProviderStop(host) => ("provider.stop", Operand::Host(host)),
            Self::LinkPut => ("link.put", Operand::None),
            Self::LinkDelete => ("link.del", Operand::None),
            Self::LinkGet => ("link.get", Operand::None),
            Self::ClaimsGet => ("claims.get", Operand::None),
            Self::ConfigPut(name) => ("config.put", Operand::Config(name)),
            Self::ConfigGet(name) => ("config.get", Operand::Config(name)),
            Self::ConfigDelete(name) => ("config.del", Operand::Config(name)),
            Self::RegistryPut => ("registry.put", Operand::None),
            Self::Status(host) => ("status", Operand::Host(host)),
            Self::Drain(host) => ("drain", Operand::Host(host)),
            Self::Doctor(host) => ("doctor", Operand::Host(host)),
            Self::Call(host) => ("call", Operand::Host(host)),
            Self::Describe(host) => ("describe", Operand::Host(host)),
            Self::Tail(host) => ("tail", Operand::Host(host)),
        }
    }
}

/// The last token of a subject.
enum Operand<'a> {
    None,
    Host(&'a HostId),
    Config(&'a ConfigName),
}

/// Why a subject asks for nothing that exists.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubjectError {
    /// The subject belongs to another lattice, prefix or version, or its verb does not exist.
    #[error("unsupported subject {subject:?}")]
    Unsupported {
        /// The subject.
        subject: String,
    },
    /// The verb exists, but the name at the end is none.
    #[error("unsupported subject {subject:?}")]
    Name {
        /// The subject.
        subject: String,
        /// What is wrong with the name.
        #[source]
        source: NameError,
    },
}

/// Why a text cannot be the prefix of the control interface.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{prefix:?} cannot begin a subject: it is one or more tokens joined by dots, such as `wasmbus.ctl`, \
     without spaces and wildcards"
)]
pub struct PrefixError {
    /// The text as it was given.
    pub prefix: String,
}

/// Whose log a line belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LogSource {
    /// The host itself.
    Host,
    /// One of its components or providers.
    Component(ComponentId),
}

/// Which auctions a host takes part in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Auctions {
    /// Whether it bids for components.
    pub component: bool,
    /// Whether it bids for providers.
    pub provider: bool,
}

/// One subscription that a host makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// The subject, maybe with wildcards.
    pub subject: String,
    /// The queue group, where one host is to answer for all. Hosts of 1.x share these exact names.
    pub queue_group: Option<String>,
}

/// The subjects of one lattice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subjects {
    lattice: LatticeName,
    /// `wasmbus.ctl.v1.{lattice}.`
    control: String,
    /// `trellis.v1.{lattice}.`
    ours: String,
    /// `wasmbus.evt.{lattice}.`
    events: String,
}

impl Subjects {
    /// Returns the subjects of `lattice` under the usual prefix.
    pub fn new(lattice: &LatticeName) -> Self {
        Self::build(lattice, PREFIX_DEFAULT)
    }

    /// Returns the subjects of `lattice` under another prefix than [`PREFIX_DEFAULT`].
    ///
    /// # Errors
    /// When `prefix` cannot begin a subject.
    pub fn with_prefix(lattice: &LatticeName, prefix: &str) -> Result<Self, PrefixError> {
        let is_token = |token: &str| {
            !token.is_empty()
                && token
                    .chars()
                    .all(|c| c.is_ascii_graphic() && !matches!(c, '*' | '>'))
        };
        if prefix.len() > PREFIX_LENGTH_MAX || !prefix.split('.').all(is_token) {
            return Err(PrefixError {
                prefix: prefix.chars().take(PREFIX_LENGTH_MAX).collect(),
            });
        }
        Ok(Self::build(lattice, prefix))
    }

    fn build(lattice: &LatticeName, prefix: &str) -> Self {
        Self {
            lattice: lattice.clone(),
            control: format!("{prefix}.v1.{lattice}."),
            ours: format!("trellis.v1.{lattice}."),
            events: format!("wasmbus.evt.{lattice}."),
        }
    }

    /// Returns the lattice whose subjects these are.
    pub fn lattice(&self) -> &LatticeName {
        &self.lattice
    }

    /// Returns the subject of a request.
    pub fn subject(&self, route: &Route) -> String {
        let (tokens, operand) = route.parts();
        let base = if route.is_ours() {
            &self.ours
        } else {
            &self.control
        };
        match operand {
            Operand::None => format!("{base}{tokens}"),
            Operand::Host(host) => format!("{base}{tokens}.{host}"),
            Operand::Config(name) => format!("{base}{tokens}.{name}"),
        }
    }

    /// Reads the subject of a request.
    ///
    /// # Errors
    /// When it is of another lattice, prefix or version, names no verb, or ends in no name.
    pub fn parse(&self, subject: &str) -> Result<Route, SubjectError> {
        let route = if let Some(rest) = subject.strip_prefix(&self.control) {
            parse_control(rest)
        } else if let Some(rest) = subject.strip_prefix(&self.ours) {
            parse_ours(rest)
        } else {
            Ok(None)
        };
        let subject = || subject.to_owned();
        match route {
            Ok(Some(route)) => Ok(route),
            Ok(None) => Err(SubjectError::Unsupported { subject: subject() }),
            Err(source) => Err(SubjectError::Name {
                subject: subject(),
                source,
            }),
        }
    }

    /// Returns what `host` subscribes to, in the order of the reference: all for requests, none for
    /// events and logs.
    pub fn host_subscriptions(&self, host: &HostId, auctions: Auctions) -> Vec<Subscription> {
        let plain = |tail: &str| (tail.to_owned(), None);
        let shared = |tail: &str, group: &str| {
            let group = format!("{}{group}", self.control);
            (tail.to_owned(), Some(group))
        };
        let mut control = vec![plain("registry.put"), plain("host.ping")];
        if auctions.component {
            control.push(plain("component.auction"));
        }
        if auctions.provider {
            control.push(plain("provider.auction"));
        }
        control.extend(
            ["component", "provider", "label", "host"]
                .map(|noun| (format!("{noun}.*.{host}"), None)),
        );
        control.push(shared("link.*", "link"));
        control.push(shared("claims.get", "claims"));
        control.push(shared("config.>", "config"));
        let control = control.into_iter().map(|(tail, queue_group)| Subscription {
            subject: format!("{}{tail}", self.control),
            queue_group,
        });
        let ours = [
            Route::Status(host.clone()),
            Route::Drain(host.clone()),
            Route::Doctor(host.clone()),
            Route::Call(host.clone()),
            Route::Describe(host.clone()),
            Route::Tail(host.clone()),
        ];
        let ours = ours.iter().map(|route| Subscription {
            subject: self.subject(route),
            queue_group: None,
        });
        control.chain(ours).collect()
    }

    /// Returns the subject on which events of `kind` are published.
    pub fn event(&self, kind: EventKind) -> String {
        if kind.is_ours() {
            format!("{}evt.{}", self.ours, kind.name())
        } else {
            format!("{}{}", self.events, kind.name())
        }
    }

    /// Returns the subjects that together carry every event, those of unknown types included.
    pub fn all_events(&self) -> [String; 2] {
        [format!("{}>", self.events), format!("{}evt.>", self.ours)]
    }

    /// Returns the subject on which `host` publishes log lines of `source`.
    pub fn log_lines(&self, host: &HostId, source: &LogSource) -> String {
        match source {
            LogSource::Host => format!("{}logs.{host}.{HOST_LOG}", self.ours),
            LogSource::Component(id) => format!("{}logs.{host}.{id}", self.ours),
        }
    }

    /// Returns the subject that carries the log lines of `source` from every host.
    pub fn log_lines_of_all_hosts(&self, source: &LogSource) -> String {
        match source {
            LogSource::Host => format!("{}logs.*.{HOST_LOG}", self.ours),
            LogSource::Component(id) => format!("{}logs.*.{id}", self.ours),
        }
    }
}

/// Reads `{noun}.{verb}[.{operand}]`. A name with a dot is one operand, so that the error is about
/// the name.
fn parse_control(rest: &str) -> Result<Option<Route>, NameError> {
    let mut tokens = rest.splitn(3, '.');
    let (noun, verb, operand) = (tokens.next(), tokens.next(), tokens.next());
    let noun_and_verb = (noun.unwrap_or_default(), verb.unwrap_or_default());
    let Some(operand) = operand else {
        return Ok(parse_unaddressed(noun_and_verb));
    };
    let host = || HostId::new(operand);
    let config = || ConfigName::new(operand);
    Ok(Some(match noun_and_verb {
        ("host", "get") => Route::HostGet(host()?),
        ("host", "stop") => Route::HostStop(host()?),
        ("label", "put") => Route::LabelPut(host()?),
        ("label", "del") => Route::LabelDelete(host()?),
        ("component", "scale") => Route::ComponentScale(host()?),
        ("component", "update") => Route::ComponentUpdate(host()?),
        ("provider", "start") => Route::ProviderStart(host()?),
        ("provider", "stop") => Route::ProviderStop(host()?),
        ("config", "put") => Route::ConfigPut(config()?),
        ("config", "get") => Route::ConfigGet(config()?),
        ("config", "del") => Route::ConfigDelete(config()?),
        _ => return Ok(None),
    }))
}

fn parse_unaddressed(noun_and_verb: (&str, &str)) -> Option<Route> {
    Some(match noun_and_verb {
        ("host", "ping") => Route::HostPing,
        ("component", "auction") => Route::ComponentAuction,
        ("provider", "auction") => Route::ProviderAuction,
        ("link", "put") => Route::LinkPut,
        ("link", "del") => Route::LinkDelete,
        ("link", "get") => Route::LinkGet,
        ("claims", "get") => Route::ClaimsGet,
        ("registry", "put") => Route::RegistryPut,
        _ => return None,
    })
}

fn parse_ours(rest: &str) -> Result<Option<Route>, NameError> {
    let Some((verb, operand)) = rest.split_once('.') else {
        return Ok(None);
    };
    let host = || HostId::new(operand);
    Ok(Some(match verb {
        "status" => Route::Status(host()?),
        "drain" => Route::Drain(host()?),
        "doctor" => Route::Doctor(host()?),
        "call" => Route::Call(host()?),
        "describe" => Route::Describe(host()?),
        "tail" => Route::Tail(host()?),
        _ => return Ok(None),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subjects() -> Subjects {
        Subjects::new(&LatticeName::new("shop").expect("a lattice name"))
    }

    fn host() -> HostId {
        HostId::new("NCEX").expect("a host id")
    }

    fn all_routes() -> Vec<Route> {
        let config = ConfigName::new("kv-settings").expect("a config name");
        vec![
            Route::HostPing,
            Route::HostGet(host()),
            Route::HostStop(host()),
            Route::LabelPut(host()),
            Route::LabelDelete(host()),
            Route::ComponentAuction,
            Route::ProviderAuction,
            Route::ComponentScale(host()),
            Route::ComponentUpdate(host()),
            Route::ProviderStart(host()),
            Route::ProviderStop(host()),
            Route::LinkPut,
            Route::LinkDelete,
            Route::LinkGet,
            Route::ClaimsGet,
            Route::ConfigPut(config.clone()),
            Route::ConfigGet(config.clone()),
            Route::ConfigDelete(config),
            Route::RegistryPut,
            Route::Status(host()),
            Route::Drain(host()),
            Route::Doctor(host()),
            Route::Call(host()),
            Route::Describe(host()),
            Route::Tail(host()),
        ]
    }

    #[test]
    fn subjects_are_those_of_the_reference() {
        let subjects = subjects();
        let all: Vec<String> = all_routes().iter().map(|it| subjects.subject(it)).collect();
        assert_eq!(
            all,
            [
                "wasmbus.ctl.v1.shop.host.ping",
                "wasmbus.ctl.v1.shop.host.get.NCEX",
                "wasmbus.ctl.v1.shop.host.stop.NCEX",
                "wasmbus.ctl.v1.shop.label.put.NCEX",
                "wasmbus.ctl.v1.shop.label.del.NCEX",
                "wasmbus.ctl.v1.shop.component.auction",
                "wasmbus.ctl.v1.shop.provider.auction",
                "wasmbus.ctl.v1.shop.component.scale.NCEX",
                "wasmbus.ctl.v1.shop.component.update.NCEX",
                "wasmbus.ctl.v1.shop.provider.start.NCEX",
                "wasmbus.ctl.v1.shop.provider.stop.NCEX",
                "wasmbus.ctl.v1.shop.link.put",
                "wasmbus.ctl.v1.shop.link.del",
                "wasmbus.ctl.v1.shop.link.get",
                "wasmbus.ctl.v1.shop.claims.get",
                "wasmbus.ctl.v1.shop.config.put.kv-settings",
                "wasmbus.ctl.v1.shop.config.get.kv-settings",
                "wasmbus.ctl.v1.shop.config.del.kv-settings",
                "wasmbus.ctl.v1.shop.registry.put",
                "trellis.v1.shop.status.NCEX",
                "trellis.v1.shop.drain.NCEX",
                "trellis.v1.shop.doctor.NCEX",
                "trellis.v1.shop.call.NCEX",
                "trellis.v1.shop.describe.NCEX",
                "trellis.v1.shop.tail.NCEX",
            ]
        );
    }

    #[test]
    fn every_subject_reads_back() {
        let lattice = LatticeName::new("shop").expect("a lattice name");
        let other = Subjects::with_prefix(&lattice, "my.own").expect("a prefix");
        for subjects in [subjects(), other] {
            for route in all_routes() {
                assert_eq!(subjects.parse(&subjects.subject(&route)), Ok(route));
            }
        }
    }

    #[test]
    fn every_request_reaches_exactly_one_subscription_of_its_host() {
        let auctions = Auctions {
            component: true,
            provider: true,
        };
        let subscriptions = subjects().host_subscriptions(&host(), auctions);
        for route in all_routes() {
            let subject = subjects().subject(&route);
            let heard = subscriptions
                .iter()
                .filter(|it| matches(&it.subject, &subject))
                .count();
            assert_eq!(heard, 1, "{subject}");
        }
    }

    /// A naive matcher of NATS wildcards.
    fn matches(pattern: &str, subject: &str) -> bool {
        let (pattern, subject): (Vec<_>, Vec<_>) =
            (pattern.split('.').collect(), subject.split('.').collect());
        let open = pattern.last() == Some(&">") && subject.len() >= pattern.len();
        (open || pattern.len() == subject.len())
            && pattern
                .iter()
                .zip(&subject)
                .all(|(p, s)| p == s || matches!(*p, "*" | ">"))
    }

    #[test]
    fn queue_groups_are_those_that_hosts_of_1_x_use() {
        let none = Auctions {
            component: false,
            provider: false,
        };
        let subscriptions = subjects().host_subscriptions(&host(), none);
        assert!(
            !subscriptions
                .iter()
                .any(|it| it.subject.ends_with("auction"))
        );
        let groups: Vec<_> = subscriptions
            .iter()
            .filter_map(|it| Some((it.subject.as_str(), it.queue_group.as_deref()?)))
            .collect();
        assert_eq!(
            groups,
            [
                ("wasmbus.ctl.v1.shop.link.*", "wasmbus.ctl.v1.shop.link"),
                (
                    "wasmbus.ctl.v1.shop.claims.get",
                    "wasmbus.ctl.v1.shop.claims"
                ),
                ("wasmbus.ctl.v1.shop.config.>", "wasmbus.ctl.v1.shop.config"),
            ]
        );
    }

    #[test]
    fn other_subjects_are_refused() {
        for subject in [
            "",
            "wasmbus.ctl.v1.shop",
            "wasmbus.ctl.v1.shop.",
            "wasmbus.ctl.v1.shop.host",
            "wasmbus.ctl.v1.shop.host.ping.extra",
            "wasmbus.ctl.v1.shop.host.get",
            "wasmbus.ctl.v2.shop.host.ping",
            "wasmbus.ctl.v1.other.host.ping",
            "wasmbus.ctl.v1.shop.component.explode.NCEX",
            "trellis.v1.shop.status",
            "trellis.v1.shop.explode.NCEX",
        ] {
            assert!(
                matches!(
                    subjects().parse(subject),
                    Err(SubjectError::Unsupported { .. })
                ),
                "{subject}"
            );
        }
    }

    #[test]
    fn a_name_with_a_dot_is_told_as_such() {
        let error = subjects()
            .parse("wasmbus.ctl.v1.shop.config.put.kv.settings")
            .expect_err("a dot in the name");
        assert_eq!(
            trellis_core::with_causes(&error),
            "unsupported subject \"wasmbus.ctl.v1.shop.config.put.kv.settings\": the config name has only \
             letters, digits and `-`, `_`, `/`, `=`; '.' is none of them"
        );
    }

    #[test]
    fn a_prefix_is_tokens() {
        let lattice = LatticeName::new("shop").expect("a lattice name");
        for prefix in ["", ".", "a.", "a..b", "a b", "a.*", ">"] {
            assert!(
                Subjects::with_prefix(&lattice, prefix).is_err(),
                "{prefix:?}"
            );
        }
    }

    #[test]
    fn events_and_logs_have_subjects_of_their_own() {
        let subjects = subjects();
        assert_eq!(
            subjects.event(EventKind::HostHeartbeat),
            "wasmbus.evt.shop.host_heartbeat"
        );
        assert_eq!(
            subjects.event(EventKind::HostModeChanged),
            "trellis.v1.shop.evt.host_mode_changed"
        );
        assert_eq!(
            subjects.all_events(),
            ["wasmbus.evt.shop.>", "trellis.v1.shop.evt.>"]
        );
        let cart = LogSource::Component(ComponentId::new("shop-cart").expect("an id"));
        assert_eq!(
            subjects.log_lines(&host(), &cart),
            "trellis.v1.shop.logs.NCEX.shop-cart"
        );
        assert_eq!(
            subjects.log_lines_of_all_hosts(&LogSource::Host),
            "trellis.v1.shop.logs.*.$host"
        );
    }
}
