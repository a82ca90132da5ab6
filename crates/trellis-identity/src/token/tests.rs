//! Tests of tokens: what is signed is read again, and everything else has an error of its own.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

struct Lattice {
    operator: Keys,
    account: Keys,
    user: Keys,
}

impl Lattice {
    fn new() -> Self {
        Self {
            operator: Keys::generate(KeyKind::Operator).unwrap(),
            account: Keys::generate(KeyKind::Account).unwrap(),
            user: Keys::generate(KeyKind::User).unwrap(),
        }
    }

    fn operator_token(&self) -> String {
        let statement = Statement::Operator(OperatorStatement::new());
        sign(&self.operator.public_key(), statement, &self.operator, None)
    }

    fn account_token(&self, change: impl FnOnce(&mut AccountStatement)) -> String {
        let mut statement = AccountStatement::unlimited();
        change(&mut statement);
        sign(
            &self.account.public_key(),
            Statement::Account(Box::new(statement)),
            &self.operator,
            None,
        )
    }

    fn trust(&self) -> Trust {
        Trust::new(&self.operator_token(), &self.account_token(|_| ()), now()).unwrap()
    }

    fn user_token(&self, issuer: &Keys, change: impl FnOnce(&mut UserStatement)) -> String {
        let mut statement = UserStatement::new(some_permissions());
        change(&mut statement);
        sign(
            &self.user.public_key(),
            Statement::User(Box::new(statement)),
            issuer,
            None,
        )
    }
}

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(2_000_000_000)
}

fn later(seconds: u64) -> SystemTime {
    now() + Duration::from_secs(seconds)
}

fn sign(
    subject: &PublicKey,
    statement: Statement,
    issuer: &Keys,
    lifetime: Option<Duration>,
) -> String {
    let issue = Issue {
        subject,
        name: "someone",
        now: now(),
        lifetime,
    };
    issue.sign(statement, issuer)
}

fn some_permissions() -> Permissions {
    Permissions {
        publish: crate::SubjectRules::only(["a.>"]),
        subscribe: crate::SubjectRules {
            allow: vec!["b".into()],
            deny: vec!["b.secret".into()],
        },
        responses: Some(crate::Responses {
            messages_max: 3,
            nanoseconds: 5,
        }),
    }
}

/// A token with any header and claims, signed as it should be.
fn forge(header: &Value, claims: &Value, issuer: &Keys) -> String {
    let signed = format!(
        "{}.{}",
        BASE64.encode(header.to_string()),
        BASE64.encode(claims.to_string())
    );
    let signature = BASE64.encode(issuer.sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

fn claims_of(token: &str) -> Value {
    let body = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&BASE64.decode(body).unwrap()).unwrap()
}

fn header() -> Value {
    json!({"typ": "JWT", "alg": "ed25519-nkey"})
}

#[test]
fn a_user_is_read_as_it_was_signed() {
    let lattice = Lattice::new();
    let token = lattice.user_token(&lattice.account, |_| ());
    let user = lattice.trust().verify_user(&token, now()).unwrap();
    assert_eq!(user.name, "someone");
    assert_eq!(user.public_key, lattice.user.public_key());
    assert_eq!(user.permissions, some_permissions());
    assert_eq!(user.expires, None);
}

#[test]
fn the_claims_have_the_names_of_nats() {
    let lattice = Lattice::new();
    let token = lattice.user_token(&lattice.account, |_| ());
    let mut claims = claims_of(&token);
    assert!(claims["jti"].as_str().is_some_and(|id| id.len() == 43));
    claims["jti"] = Value::Null;
    let expected = json!({
        "jti": null,
        "iat": 2_000_000_000_u64,
        "iss": lattice.account.public_key().as_str(),
        "sub": lattice.user.public_key().as_str(),
        "name": "someone",
        "nats": {
            "type": "user",
            "version": 2,
            "pub": {"allow": ["a.>"]},
            "sub": {"allow": ["b"], "deny": ["b.secret"]},
            "resp": {"max": 3, "ttl": 5},
            "subs": -1, "data": -1, "payload": -1,
        },
    });
    assert_eq!(claims, expected);
}

#[test]
fn a_token_ends_when_its_lifetime_does() {
    let lattice = Lattice::new();
    let statement = || Statement::User(Box::new(UserStatement::new(some_permissions())));
    let sign = |lifetime| {
        sign(
            &lattice.user.public_key(),
            statement(),
            &lattice.account,
            Some(lifetime),
        )
    };
    let token = sign(Duration::from_secs(60));
    let trust = lattice.trust();
    let user = trust.verify_user(&token, later(59)).unwrap();
    assert_eq!(user.expires, Some(later(60)));
    let error = trust.verify_user(&token, later(100)).unwrap_err();
    assert_eq!(error.to_string(), "the token expired 40 s ago");
    // The shortest lifetime is not read as none at all.
    let error = trust
        .verify_user(&sign(Duration::ZERO), later(1))
        .unwrap_err();
    assert!(matches!(error, TokenError::Expired { .. }));
}

#[test]
fn a_token_can_begin_later() {
    let lattice = Lattice::new();
    let mut claims = claims_of(&lattice.user_token(&lattice.account, |_| ()));
    claims["nbf"] = json!(2_000_000_060_u64);
    let token = forge(&header(), &claims, &lattice.account);
    let error = lattice.trust().verify_user(&token, now()).unwrap_err();
    assert!(matches!(error, TokenError::NotYetValid { until } if until == Duration::from_secs(60)));
    assert!(lattice.trust().verify_user(&token, later(60)).is_ok());
}

#[test]
fn only_the_account_vouches_for_its_users() {
    let (lattice, other) = (Lattice::new(), Lattice::new());
    for issuer in [&other.account, &lattice.operator, &lattice.user] {
        let token = lattice.user_token(issuer, |_| ());
        let error = lattice.trust().verify_user(&token, now()).unwrap_err();
        assert!(matches!(error, TokenError::Issuer { .. }), "{error}");
    }
    // A user of this account that claims to be of another.
    let token = lattice.user_token(&lattice.account, |user| {
        user.issuer_account = other.account.public_key().to_string();
    });
    let error = lattice.trust().verify_user(&token, now()).unwrap_err();
    assert!(matches!(error, TokenError::Issuer { .. }), "{error}");
}

#[test]
fn a_signing_key_vouches_in_the_name_of_its_account() {
    let (lattice, other) = (Lattice::new(), Lattice::new());
    let signing = Keys::generate(KeyKind::Account).unwrap();
    let template = Keys::generate(KeyKind::Account).unwrap();
    let account = lattice.account_token(|account| {
        account.signing_keys = vec![
            json!(signing.public_key().as_str()),
            json!({"kind": "user_scope", "key": template.public_key().as_str()}),
        ];
    });
    let trust = Trust::new(&lattice.operator_token(), &account, now()).unwrap();
    let named = |issuer: &Keys, account: &Keys| {
        let account = account.public_key().to_string();
        lattice.user_token(issuer, |user| user.issuer_account = account)
    };
    assert!(
        trust
            .verify_user(&named(&signing, &lattice.account), now())
            .is_ok()
    );
    for refused in [
        named(&signing, &other.account),
        named(&template, &lattice.account),
        lattice.user_token(&signing, |_| ()),
    ] {
        let error = trust.verify_user(&refused, now()).unwrap_err();
        assert!(matches!(error, TokenError::Issuer { .. }), "{error}");
    }
}

#[test]
fn only_the_operator_vouches_for_accounts() {
    let (lattice, other) = (Lattice::new(), Lattice::new());
    let error = Trust::new(
        &other.operator_token(),
        &lattice.account_token(|_| ()),
        now(),
    )
    .unwrap_err();
    assert!(matches!(error, TokenError::Issuer { .. }), "{error}");
    // An operator whom somebody else signed is none.
    let statement = Statement::Operator(OperatorStatement::new());
    let operator = sign(
        &lattice.operator.public_key(),
        statement,
        &other.operator,
        None,
    );
    let error = Trust::new(&operator, &lattice.account_token(|_| ()), now()).unwrap_err();
    assert!(matches!(error, TokenError::Issuer { .. }), "{error}");
    // Nor does a user's token stand for an account, or an account's for a user.
    let user = lattice.user_token(&lattice.operator, |_| ());
    let error = Trust::new(&lattice.operator_token(), &user, now()).unwrap_err();
    assert!(matches!(error, TokenError::Kind { .. }), "{error}");
    let error = lattice
        .trust()
        .verify_user(&lattice.account_token(|_| ()), now())
        .unwrap_err();
    assert!(matches!(error, TokenError::Kind { .. }), "{error}");
}

#[test]
fn a_revoked_token_is_refused_and_a_newer_one_is_not() {
    let lattice = Lattice::new();
    let token = lattice.user_token(&lattice.account, |_| ());
    for (user, until, revoked) in [
        (lattice.user.public_key().to_string(), 2_000_000_000, true),
        ("*".to_owned(), 2_000_000_000, true),
        (lattice.user.public_key().to_string(), 1_999_999_999, false),
        (
            lattice.account.public_key().to_string(),
            3_000_000_000,
            false,
        ),
    ] {
        let account = lattice.account_token(|account| {
            account.revocations.insert(user, until);
        });
        let trust = Trust::new(&lattice.operator_token(), &account, now()).unwrap();
        let verified = trust.verify_user(&token, now());
        assert_eq!(matches!(verified, Err(TokenError::Revoked { .. })), revoked);
        assert_eq!(verified.is_ok(), !revoked);
    }
}

#[test]
fn a_restriction_that_would_be_ignored_is_refused() {
    let lattice = Lattice::new();
    type Change = fn(&mut UserStatement);
    let changes: [(&str, Change); 8] = [
        ("bearer_token", |user| user.bearer_token = true),
        ("subs", |user| user.subscriptions_max = 5),
        ("data", |user| user.data_bytes_max = 0),
        ("payload", |user| user.payload_bytes_max = 5),
        ("src", |user| user.src = json!(["10.0.0.0/8"])),
        ("src", |user| user.src = json!("10.0.0.0/8")),
        ("times", |user| {
            user.times = vec![json!({"start": "08:00:00"})]
        }),
        ("allowed_connection_types", |user| {
            user.allowed_connection_types = vec!["MQTT".into()]
        }),
    ];
    for (expected, change) in changes {
        let token = lattice.user_token(&lattice.account, change);
        let error = lattice.trust().verify_user(&token, now()).unwrap_err();
        assert!(
            matches!(error, TokenError::Unenforced { field } if field == expected),
            "{error}"
        );
    }
}

#[test]
fn a_user_without_permissions_has_those_of_the_account() {
    let lattice = Lattice::new();
    let account = lattice.account_token(|account| {
        account.default_permissions.publish = crate::SubjectRules::only(["x"]);
    });
    let trust = Trust::new(&lattice.operator_token(), &account, now()).unwrap();
    let token = lattice.user_token(&lattice.account, |user| {
        *user = UserStatement::new(Permissions::default());
    });
    let user = trust.verify_user(&token, now()).unwrap();
    assert!(user.permissions.allows_publish("x") && !user.permissions.allows_publish("y"));
}

#[test]
fn an_unsigned_token_is_refused() {
    let lattice = Lattice::new();
    let token = lattice.user_token(&lattice.account, |_| ());
    let unsigned = format!("{}.", token.rsplit_once('.').unwrap().0);
    assert!(matches!(
        decode(&unsigned, now()),
        Err(TokenError::Unsigned)
    ));
    let none = forge(
        &json!({"typ": "JWT", "alg": "none"}),
        &claims_of(&token),
        &lattice.account,
    );
    assert!(matches!(decode(&none, now()), Err(TokenError::Unsigned)));
    let other = forge(
        &json!({"typ": "JWT", "alg": "HS256"}),
        &claims_of(&token),
        &lattice.account,
    );
    assert!(matches!(
        decode(&other, now()),
        Err(TokenError::Algorithm { .. })
    ));
}

#[test]
fn a_changed_token_is_refused() {
    let lattice = Lattice::new();
    let token = lattice.user_token(&lattice.account, |_| ());
    let mut claims = claims_of(&token);
    claims["nats"]["pub"]["allow"] = json!([">"]);
    let forged = forge(&header(), &claims, &lattice.user);
    assert!(matches!(
        decode(&forged, now()),
        Err(TokenError::Signature { .. })
    ));
}

#[test]
fn a_token_cut_anywhere_is_refused() {
    let lattice = Lattice::new();
    let token = lattice.user_token(&lattice.account, |_| ());
    for length in 0..token.len() {
        assert!(decode(&token[..length], now()).is_err(), "{length}");
    }
    assert!(decode(&format!("{token}.x"), now()).is_err());
}

#[test]
fn a_huge_token_is_refused_unread() {
    let error = decode(&"x".repeat(TOKEN_BYTES_MAX + 1), now()).unwrap_err();
    assert!(matches!(error, TokenError::TooLong { .. }));
    let nested = BASE64.encode("[".repeat(40_000));
    let token = format!(
        "{}.{nested}.{}",
        BASE64.encode(header().to_string()),
        BASE64.encode([0; 64])
    );
    assert!(matches!(decode(&token, now()), Err(TokenError::Claims(_))));
}

#[test]
fn claims_of_other_kinds_and_versions_are_refused() {
    let lattice = Lattice::new();
    let good = claims_of(&lattice.user_token(&lattice.account, |_| ()));
    let with = |path: &str, value: Value| {
        let mut claims = good.clone();
        *claims.pointer_mut(path).unwrap() = value;
        decode(&forge(&header(), &claims, &lattice.account), now())
    };
    assert!(matches!(
        with("/nats/type", json!("activation")),
        Err(TokenError::Claims(_))
    ));
    assert!(matches!(
        with("/nats/version", json!(1)),
        Err(TokenError::Version { found: 1 })
    ));
    assert!(matches!(
        with("/nats/version", json!(-1)),
        Err(TokenError::Claims(_))
    ));
    assert!(matches!(with("/iss", json!("UX")), Err(TokenError::Key(_))));
    let account = lattice.account.public_key();
    assert!(matches!(
        with("/sub", json!(account.as_str())),
        Err(TokenError::Key(KeyError::Kind { .. }))
    ));
    assert!(with("/name", json!("another")).is_ok());
}

proptest! {
    #[test]
    fn any_text_is_an_error_and_no_panic(text in ".{0,200}", body in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(decode(&text, now()).is_err());
        let token = format!("{}.{}.{}", BASE64.encode(HEADER), BASE64.encode(&body), BASE64.encode(&body));
        prop_assert!(decode(&token, now()).is_err());
    }

    #[test]
    fn one_changed_character_is_noticed(position in 0_usize..600, replacement in "[A-Za-z0-9_.-]") {
        let lattice = Lattice::new();
        let token = lattice.user_token(&lattice.account, |_| ());
        let position = position % token.len();
        let mut changed = token.clone();
        changed.replace_range(position..=position, &replacement);
        prop_assume!(changed != token);
        prop_assert!(lattice.trust().verify_user(&changed, now()).is_err());
    }
}
