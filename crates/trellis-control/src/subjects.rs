//! Every subject of the control interface: building them, reading them, and who listens where.
//!
//! Shapes: `{prefix}.v1.{lattice}.{noun}.{verb}[.{host or config}]` for what wasmCloud 1.x knows,
//! with the prefix `wasmbus.ctl` unless changed; `trellis.v1.{lattice}.{verb}.{host}` for what only
//! we have; `wasmbus.evt.{lattice}.{name}` for events, which no prefix changes.

mod route;

use trellis_core::{ComponentId, LatticeName};

pub use route::Route;

use route::{Operand, parse_control, parse_ours};

use crate::events::EventKind;
use crate::names::{HostId, NameError};

/// The prefix that hosts and tools of 1.x use unless configured otherwise.
pub const PREFIX_DEFAULT: &str = "wasmbus.ctl";

/// Longest prefix, in bytes.
const PREFIX_LENGTH_MAX: usize = 255;

/// What stands in place of a component id where a host logs for itself; no component id has a `$`.
const HOST_LOG: &str = "$host";

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::ConfigName;

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
