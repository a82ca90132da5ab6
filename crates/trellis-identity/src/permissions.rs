//! What a user may publish and subscribe to, in the shape of NATS user claims, judged as
//! nats-server judges it.
//!
//! In one thing we are stricter. nats-server (2.15) takes the wildcards of a subscription for plain
//! tokens, so whoever may subscribe to `a.*` may subscribe to `a.>` as well and reads far more. Here
//! an allowed pattern must cover the subscription. A denial is judged as there, where the same habit
//! errs on the safe side: who is denied `a.*` is denied `a.>`.
//!
//! Knows no roles.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::subject;

/// Which subjects a user may publish to and subscribe to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permissions {
    /// Subjects to publish to.
    #[serde(default)]
    pub publish: SubjectRules,
    /// Subjects to subscribe to. An entry `pattern queue` speaks of one queue group only.
    #[serde(default)]
    pub subscribe: SubjectRules,
    /// Whether a received message with a reply subject opens that subject, beside `publish.allow`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub responses: Option<Responses>,
}

/// Patterns of subjects that are allowed and denied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubjectRules {
    /// What is allowed; everything when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<String>,
    /// What is denied all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<String>,
}

/// How far a received reply subject may be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Responses {
    /// How many messages may be sent to one reply subject; negative: any number, 0: as the server
    /// sees fit (one).
    #[serde(rename = "max")]
    pub messages_max: i64,
    /// For how many nanoseconds after the request; negative: for ever, 0: as the server sees fit
    /// (two minutes).
    #[serde(rename = "ttl")]
    pub nanoseconds: i64,
}

impl Responses {
    /// Returns how many messages may answer one request, or none when there is no bound.
    pub fn messages_max(&self) -> Option<u64> {
        match self.messages_max {
            0 => Some(1), // DEFAULT_ALLOW_RESPONSE_MAX_MSGS of nats-server
            given => u64::try_from(given).ok(),
        }
    }

    /// Returns how long a request may be answered, or none when there is no bound.
    pub fn expiration(&self) -> Option<Duration> {
        match self.nanoseconds {
            0 => Some(Duration::from_secs(120)), // DEFAULT_ALLOW_RESPONSE_EXPIRATION of nats-server
            given => u64::try_from(given).ok().map(Duration::from_nanos),
        }
    }
}

impl Permissions {
    /// Returns whether the user may publish to `subject`, leaving replies aside.
    pub fn allows_publish(&self, subject: &str) -> bool {
        self.publish.allows(subject)
    }

    /// Returns whether the user may subscribe to `pattern`, in the queue group `queue` if there is
    /// one.
    ///
    /// A pattern that only partly falls under a denial is allowed: the messages to withhold are
    /// those of [`Permissions::allows_delivery`].
    pub fn allows_subscribe(&self, pattern: &str, queue: Option<&str>) -> bool {
        self.subscribe.allows_in(pattern, queue)
    }

    /// Returns whether a message to `subject` may be delivered to a subscription that was allowed.
    pub fn allows_delivery(&self, subject: &str) -> bool {
        !self
            .subscribe
            .deny
            .iter()
            .any(|entry| !entry.contains(' ') && subject::matches(entry, subject))
    }

    /// Returns whether messages of an allowed subscription to `pattern` must be asked about with
    /// [`Permissions::allows_delivery`], because a denial lies inside the pattern.
    pub fn filters_delivery(&self, pattern: &str) -> bool {
        subject::has_wildcard(pattern)
            && self
                .subscribe
                .deny
                .iter()
                .any(|entry| !entry.contains(' ') && subject::overlaps(entry, pattern))
    }
}

impl SubjectRules {
    /// Rules that allow `allow` and nothing else.
    ///
    /// Since an empty list allows everything, nothing at all is written as a denial of `>`.
    pub fn only<Pattern: Into<String>>(allow: impl IntoIterator<Item = Pattern>) -> Self {
        let allow: Vec<String> = allow.into_iter().map(Into::into).collect();
        let deny = if allow.is_empty() {
            vec![">".to_owned()]
        } else {
            Vec::new()
        };
        Self { allow, deny }
    }

    /// Returns whether `subject` is allowed and not denied; denial wins. A `subject` with wildcards
    /// is allowed when one allowed pattern covers it; a denied pattern matches them as plain tokens.
    pub fn allows(&self, subject: &str) -> bool {
        self.allows_in(subject, None)
    }

    /// Judges a subscription in the queue group `queue`. Entries without a group speak of all
    /// subscriptions; once a pattern has entries with a group, those decide over group members.
    fn allows_in(&self, subject: &str, queue: Option<&str>) -> bool {
        let allowed = self.allow.is_empty() || listed(&self.allow, subject, queue, subject::covers);
        allowed && !listed(&self.deny, subject, queue, subject::matches)
    }
}

/// Returns whether `entries` speak of `subject` in `queue`, as nats-server decides it: of entries
/// with a group, those that speak of the subject decide for members of any group.
fn listed(
    entries: &[String],
    subject: &str,
    queue: Option<&str>,
    speaks_of: fn(&str, &str) -> bool,
) -> bool {
    let mut plain = false;
    let mut grouped = None;
    for entry in entries {
        match (entry.split_once(' '), queue) {
            (None, _) => plain |= speaks_of(entry, subject),
            (Some((pattern, group)), Some(queue)) if speaks_of(pattern, subject) => {
                grouped = Some(grouped.unwrap_or(false) || queue_matches(group, queue));
            }
            _ => {}
        }
    }
    grouped.unwrap_or(plain)
}

/// Returns whether the group `queue` is `group`, which may be a pattern of dotted names.
fn queue_matches(group: &str, queue: &str) -> bool {
    group == queue || subject::covers(group, queue)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn rules(allow: &[&str], deny: &[&str]) -> SubjectRules {
        SubjectRules {
            allow: allow.iter().map(ToString::to_string).collect(),
            deny: deny.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn nothing_said_allows_everything() {
        assert!(SubjectRules::default().allows("a.b"));
        assert!(SubjectRules::default().allows(">"));
        assert!(!rules(&[], &["a.>"]).allows("a.b"));
        assert!(rules(&[], &["a.>"]).allows("b"));
    }

    #[test]
    fn only_nothing_allows_nothing() {
        let nothing = SubjectRules::only::<&str>([]);
        assert!(!nothing.allows("a") && !nothing.allows(">") && !nothing.allows("_INBOX.x"));
    }

    #[test]
    fn denial_wins() {
        let rules = rules(&["a.>"], &["a.b.*"]);
        assert!(rules.allows("a.b"));
        assert!(rules.allows("a.b.c.d"));
        assert!(!rules.allows("a.b.c"));
        assert!(!rules.allows("b"));
    }

    #[test]
    fn a_wildcard_is_allowed_only_under_a_pattern_that_covers_it() {
        let rules = rules(&["a.*", "b.>"], &[]);
        assert!(rules.allows("a.*") && rules.allows("b.>") && rules.allows("b.*.c"));
        assert!(!rules.allows("a.>") && !rules.allows("*.a") && !rules.allows(">"));
        let denied = self::rules(&[], &["a.*"]);
        assert!(!denied.allows("a.>") && !denied.allows("a.*") && denied.allows("*.a"));
    }

    #[test]
    fn a_subscription_around_a_denial_stands_and_its_messages_are_filtered() {
        let permissions = Permissions {
            subscribe: rules(&["a.>"], &["a.secret"]),
            ..Permissions::default()
        };
        assert!(permissions.allows_subscribe("a.>", None));
        assert!(permissions.filters_delivery("a.>") && permissions.filters_delivery("a.*"));
        assert!(!permissions.filters_delivery("a.b.*") && !permissions.filters_delivery("a.b"));
        assert!(permissions.allows_delivery("a.b") && !permissions.allows_delivery("a.secret"));
        assert!(!permissions.allows_subscribe("a.secret", None));
    }

    #[test]
    fn an_entry_with_a_group_speaks_of_that_group() {
        let permissions = Permissions {
            subscribe: rules(&["a workers", "b", "b v1.*"], &["c g"]),
            ..Permissions::default()
        };
        assert!(permissions.allows_subscribe("a", Some("workers")));
        assert!(!permissions.allows_subscribe("a", Some("others")));
        assert!(!permissions.allows_subscribe("a", None));
        assert!(permissions.allows_subscribe("b", None));
        assert!(permissions.allows_subscribe("b", Some("v1.x")));
        assert!(!permissions.allows_subscribe("b", Some("v2.x")));
    }

    #[test]
    fn unsaid_bounds_of_responses_are_those_of_the_server() {
        let unsaid = Responses {
            messages_max: 0,
            nanoseconds: 0,
        };
        assert_eq!(unsaid.messages_max(), Some(1));
        assert_eq!(unsaid.expiration(), Some(Duration::from_secs(120)));
        let unbounded = Responses {
            messages_max: -1,
            nanoseconds: -1,
        };
        assert_eq!(
            (unbounded.messages_max(), unbounded.expiration()),
            (None, None)
        );
    }

    proptest! {
        #[test]
        fn what_is_allowed_is_covered_and_not_denied(
            allow in prop::collection::vec("[ab*](\\.[ab*]){0,2}(\\.>)?", 0..3),
            deny in prop::collection::vec("[ab*](\\.[ab*]){0,2}(\\.>)?", 0..3),
            subject in "[abz](\\.[abz]){0,3}",
        ) {
            let rules = SubjectRules { allow: allow.clone(), deny: deny.clone() };
            let expected = (allow.is_empty() || allow.iter().any(|entry| subject::matches(entry, &subject)))
                && !deny.iter().any(|entry| subject::matches(entry, &subject));
            prop_assert_eq!(rules.allows(&subject), expected);
        }
    }
}
