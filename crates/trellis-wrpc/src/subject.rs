//! Subjects of wRPC over NATS: built once when a link or an export is made, never per call.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use async_nats::Subject;

/// The marker of the protocol in every invocation subject.
pub const PROTOCOL: &str = "wrpc.0.0.1";

/// The marker in the subjects of calls that are meant for one host of ours and for no other.
const AT_HOST: &str = "wrpc.trellis.1";

/// Bytes of a subject. A NATS server takes lines of 4,096 bytes with both subjects in them.
const SUBJECT_BYTES_MAX: usize = 1_024;

/// A name that cannot be part of a subject.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubjectError {
    /// Empty, or with a space, a wildcard, a control character or an empty token.
    #[error("`{0}` cannot be part of a NATS subject: no spaces, wildcards or empty parts")]
    Part(String),
    /// Longer than a server takes.
    #[error("the subject would be {0} bytes long, at most {SUBJECT_BYTES_MAX} are allowed")]
    TooLong(usize),
}

/// One function of one component or provider, as its callers address it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub(crate) subject: Subject,
    pub(crate) returns: Returns,
    /// One host of ours is meant alone.
    pub(crate) is_at_host: bool,
}

/// Whether the result of a function has at least one byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Returns {
    /// Not known: no result and an empty one look the same.
    #[default]
    Unknown,
    /// The function has a result, so an answer without bytes is the failure of a 1.x peer, which
    /// has no other way to tell.
    Value,
}

impl Target {
    /// Addresses `function` of `instance` (an interface with version; empty for a function of the
    /// world) at the component or provider `id` of `lattice`.
    ///
    /// # Errors
    /// Names that cannot be part of a subject.
    pub fn new(
        lattice: &str,
        id: &str,
        instance: &str,
        function: &str,
    ) -> Result<Self, SubjectError> {
        let subject = invocation_subject(&prefix(lattice, id)?, instance, function)?;
        Ok(Self {
            subject,
            returns: Returns::Unknown,
            is_at_host: false,
        })
    }

    /// Addresses the same function at one host: whoever else serves it does not get the call.
    ///
    /// # Errors
    /// A host id that cannot be part of a subject.
    pub fn at(&self, host: &str) -> Result<Self, SubjectError> {
        Ok(Self {
            subject: at_host(&self.subject, host)?.into(),
            returns: self.returns,
            is_at_host: true,
        })
    }

    /// States what is known of the result.
    pub fn returning(self, returns: Returns) -> Self {
        Self { returns, ..self }
    }

    /// Returns the subject of the invocation.
    pub fn subject(&self) -> &str {
        &self.subject
    }
}

/// One function that a host serves: its subject, and the group that shares the calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    pub(crate) subject: Subject,
    pub(crate) group: String,
}

impl Export {
    /// Names `function` of `instance` as served by the component or provider `id` of `lattice`.
    /// All who serve the same id share the calls.
    ///
    /// # Errors
    /// Names that cannot be part of a subject.
    pub fn new(
        lattice: &str,
        id: &str,
        instance: &str,
        function: &str,
    ) -> Result<Self, SubjectError> {
        let group = prefix(lattice, id)?;
        let subject = invocation_subject(&group, instance, function)?;
        Ok(Self { subject, group })
    }

    /// Names everything that the component `id` of `lattice` serves on one host alone: what
    /// [`Target::at`] addresses. The handler is told by the subject which function is meant.
    ///
    /// # Errors
    /// Names that cannot be part of a subject.
    pub fn all_at(lattice: &str, id: &str, host: &str) -> Result<Self, SubjectError> {
        check_token(host)?;
        let group = prefix(lattice, id)?;
        let subject = bounded(format!("{group}.{AT_HOST}.{host}.>"))?;
        Ok(Self { subject, group })
    }

    /// Returns the subject on which calls of this function come that are meant for one host alone.
    ///
    /// # Errors
    /// A host id that cannot be part of a subject.
    pub fn subject_at(&self, host: &str) -> Result<String, SubjectError> {
        at_host(&self.subject, host)
    }

    /// Returns the subject that is subscribed to.
    pub fn subject(&self) -> &str {
        &self.subject
    }
}

/// Where in the parameters or results a stream or future is: the position, then the index in each
/// record, tuple, list or stream on the way. Options, results and variants add nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IndexPath(Arc<str>);

impl IndexPath {
    /// Makes the path of these indices.
    pub fn new(indices: &[u32]) -> Self {
        let mut text = String::with_capacity(indices.len() * 2);
        for (position, index) in indices.iter().enumerate() {
            let dot = if position == 0 { "" } else { "." };
            // Writing to a string cannot fail.
            let _ = write!(text, "{dot}{index}");
        }
        Self(text.into())
    }

    /// Returns the indices joined with dots.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Tells whether this is the place of something inside of what is at `outer`.
    pub(crate) fn is_inside(&self, outer: &Self) -> bool {
        let rest = self.0.strip_prefix(&*outer.0);
        rest.is_some_and(|rest| rest.starts_with('.'))
    }

    pub(crate) fn from_wire(text: &str) -> Option<Self> {
        is_path(text).then(|| Self(text.into()))
    }
}

impl fmt::Display for IndexPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Bytes of an index path: the deepest type that has a plan, with ten digits and a dot for each level.
const PATH_BYTES_MAX: usize = 1_100;

fn is_path(text: &str) -> bool {
    let is_index = |index: &str| !index.is_empty() && index.bytes().all(|b| b.is_ascii_digit());
    text.len() <= PATH_BYTES_MAX && text.split('.').all(is_index)
}

fn prefix(lattice: &str, id: &str) -> Result<String, SubjectError> {
    check(lattice)?;
    check(id)?;
    Ok(format!("{lattice}.{id}"))
}

fn invocation_subject(
    prefix: &str,
    instance: &str,
    function: &str,
) -> Result<Subject, SubjectError> {
    let function = plain_function(function);
    check(function)?;
    let subject = if instance.is_empty() {
        format!("{prefix}.{PROTOCOL}.{function}")
    } else {
        check(instance)?;
        format!("{prefix}.{PROTOCOL}.{instance}.{function}")
    };
    bounded(subject)
}

fn bounded(subject: String) -> Result<Subject, SubjectError> {
    if subject.len() > SUBJECT_BYTES_MAX {
        return Err(SubjectError::TooLong(subject.len()));
    }
    Ok(subject.into())
}

/// Turns the subject of a function into that of the same function at one host.
fn at_host(subject: &str, host: &str) -> Result<String, SubjectError> {
    check_token(host)?;
    let marker = format!(".{PROTOCOL}.");
    // The first is ours: neither a lattice nor an id has a dot in it.
    let (prefix, function) = subject
        .split_once(&marker)
        .ok_or_else(|| SubjectError::Part(subject.to_owned()))?;
    bounded(format!("{prefix}.{AT_HOST}.{host}.{function}")).map(|subject| subject.to_string())
}

/// Drops the mark that WIT puts before functions of resources: `[method]bucket.get` is `bucket.get`.
fn plain_function(function: &str) -> &str {
    match function
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
    {
        Some((_, name)) => name,
        None => function,
    }
}

fn check(part: &str) -> Result<(), SubjectError> {
    let is_plain = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '*' | '>');
    let has_empty_token = part.split('.').any(str::is_empty);
    if has_empty_token || !part.chars().all(is_plain) {
        return Err(SubjectError::Part(part.to_owned()));
    }
    Ok(())
}

fn check_token(token: &str) -> Result<(), SubjectError> {
    check(token)?;
    if token.contains('.') {
        return Err(SubjectError::Part(token.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn subjects_are_those_of_the_1_x_line() {
        let http = Target::new(
            "default",
            "shop-cart",
            "wrpc:http/incoming-handler@0.1.0",
            "handle",
        );
        assert_eq!(
            http.unwrap().subject(),
            "default.shop-cart.wrpc.0.0.1.wrpc:http/incoming-handler@0.1.0.handle"
        );
        let method = Target::new("default", "kv", "acme:kv/store@1.4.0", "[method]bucket.get");
        assert_eq!(
            method.unwrap().subject(),
            "default.kv.wrpc.0.0.1.acme:kv/store@1.4.0.bucket.get"
        );
        let world = Export::new("default", "kv", "", "run").unwrap();
        assert_eq!(world.subject(), "default.kv.wrpc.0.0.1.run");
        assert_eq!(world.group, "default.kv");
    }

    #[test]
    fn one_host_is_addressed_where_no_peer_of_1_x_listens() {
        let target = Target::new(
            "default",
            "cart",
            "acme:shop/cart@1.4.0",
            "[method]cart.add",
        );
        let at = target.unwrap().at("NHOST").unwrap();
        let subject = "default.cart.wrpc.trellis.1.NHOST.acme:shop/cart@1.4.0.cart.add";
        assert_eq!(at.subject(), subject);
        let export = Export::new("default", "cart", "acme:shop/cart@1.4.0", "cart.add").unwrap();
        assert_eq!(export.subject_at("NHOST").unwrap(), subject);
        let all = Export::all_at("default", "cart", "NHOST").unwrap();
        assert_eq!(all.subject(), "default.cart.wrpc.trellis.1.NHOST.>");
        for bad in ["", "a.b", "*", ">", "a b"] {
            assert!(Export::all_at("default", "cart", bad).is_err(), "{bad}");
            assert!(export.subject_at(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_that_would_change_the_subject_are_refused() {
        for bad in ["", "a b", "*", "a.>", ".a", "a..b", "a\r\nPUB x 0"] {
            assert!(Target::new("default", bad, "a:b/c", "f").is_err(), "{bad}");
            assert!(Target::new(bad, "id", "a:b/c", "f").is_err(), "{bad}");
            assert!(Target::new("default", "id", "a:b/c", bad).is_err(), "{bad}");
        }
        let long = "f".repeat(2_000);
        assert!(matches!(
            Target::new("default", "id", "a:b/c", &long),
            Err(SubjectError::TooLong(_))
        ));
    }

    #[test]
    fn a_path_is_indices_joined_with_dots() {
        assert_eq!(IndexPath::new(&[0, 1]).as_str(), "0.1");
        assert!(IndexPath::from_wire("0.12.3").is_some());
        let outer = IndexPath::new(&[0, 1]);
        assert!(IndexPath::new(&[0, 1, 7]).is_inside(&outer));
        for other in [&[0, 1][..], &[0, 12], &[0], &[1, 0, 1]] {
            assert!(!IndexPath::new(other).is_inside(&outer), "{other:?}");
        }
        for bad in ["", "a", "0.", "0..1", "-1", &"0.".repeat(1_000)] {
            assert!(IndexPath::from_wire(bad).is_none(), "{bad}");
        }
    }
}
