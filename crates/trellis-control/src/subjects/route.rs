//! The closed set of requests, as the tokens of a subject name them.

use crate::names::{ConfigName, HostId, NameError};

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

    /// Tells whether a request changes the lattice's state, so that it needs an id by which its copies are
    /// known.
    pub fn changes_state(&self) -> bool {
        matches!(
            self,
            Self::LinkPut | Self::LinkDelete | Self::ConfigPut(_) | Self::ConfigDelete(_)
        )
    }

    /// Tells whether a request may be sent again: any one host answers it, and copies of it come to the
    /// same as one. What only one host hears would reach that one again, after what others asked of it
    /// meanwhile.
    pub fn may_be_repeated(&self) -> bool {
        let reads_state = matches!(self, Self::LinkGet | Self::ClaimsGet | Self::ConfigGet(_));
        reads_state || self.changes_state()
    }

    /// The fixed tokens after the lattice, and what follows them. Ours have one token, those of 1.x
    /// two.
    pub(super) fn parts(&self) -> (&'static str, Operand<'_>) {
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
pub(super) enum Operand<'a> {
    None,
    Host(&'a HostId),
    Config(&'a ConfigName),
}

/// Reads `{noun}.{verb}[.{operand}]`, what 1.x knows. A name with a dot is one operand, so that the error is about
/// the name.
pub(super) fn parse_control(rest: &str) -> Result<Option<Route>, NameError> {
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

/// Reads `{verb}.{host}`, what only we have.
pub(super) fn parse_ours(rest: &str) -> Result<Option<Route>, NameError> {
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
