//! Flags go before the environment, that before the context, and that before the default.

#![allow(clippy::unwrap_used)]

use std::net::TcpListener;

use super::*;
use crate::context::Embedded;

/// A config folder of its own and a pretended environment.
struct Place {
    folder: tempfile::TempDir,
    environment: Vec<(&'static str, String)>,
}

impl Place {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            environment: Vec::new(),
        }
    }

    fn contexts(&self) -> Contexts {
        Contexts::in_folder(self.folder.path())
    }

    fn variable(mut self, name: &'static str, value: &str) -> Self {
        self.environment.push((name, value.to_owned()));
        self
    }

    fn context(self, name: &str, context: &Context) -> Self {
        self.contexts().put(name, context).unwrap();
        self
    }

    fn resolve(&self, options: &ConnectionOptions) -> Result<Resolved, Failure> {
        let lookup = |name: &str| {
            let found = self.environment.iter().find(|(it, _)| *it == name);
            found.map(|(_, value)| value.clone())
        };
        resolve(options, &lookup, &self.contexts())
    }

    fn resolved(&self, options: &ConnectionOptions) -> Resolved {
        self.resolve(options).unwrap()
    }

    fn failure(&self, options: &ConnectionOptions) -> String {
        format!("{:?}", self.resolve(options).unwrap_err())
    }
}

fn shop() -> Context {
    Context {
        servers: vec!["nats://shop:4222".to_owned()],
        lattice: Some("shop".to_owned()),
        credentials: Some("/shop.creds".into()),
        js_domain: Some("hub".to_owned()),
        ..Context::default()
    }
}

fn named(name: &str) -> ConnectionOptions {
    ConnectionOptions {
        context: Some(name.to_owned()),
        ..ConnectionOptions::default()
    }
}

fn origin<T>(setting: &Setting<T>) -> String {
    setting.origin.to_string()
}

#[test]
fn without_anything_it_is_the_default_lattice_of_this_machine() {
    let resolved = Place::new().resolved(&ConnectionOptions::default());
    assert_eq!(resolved.servers.value, ["nats://127.0.0.1:4222"]);
    assert_eq!(origin(&resolved.servers), "default");
    assert_eq!(resolved.lattice.value, LatticeName::default());
    assert!(resolved.login.is_none() && resolved.context.is_none());
    assert!(resolved.is_local() && !resolved.is_embedded());
}

#[test]
fn a_flag_goes_before_a_variable_and_that_before_a_context() {
    let place = Place::new()
        .context("shop", &shop())
        .variable("TRELLIS_LATTICE", "from-environment");
    let mut options = named("shop");
    let resolved = place.resolved(&options);
    assert_eq!(resolved.lattice.value.as_str(), "from-environment");
    assert_eq!(origin(&resolved.lattice), "environment TRELLIS_LATTICE");
    assert_eq!(origin(&resolved.servers), "context shop");
    assert_eq!(resolved.js_domain.unwrap().value, "hub");
    options.lattice = Some(LatticeName::new("typed").unwrap());
    let resolved = place.resolved(&options);
    assert_eq!(resolved.lattice.value.as_str(), "typed");
    assert_eq!(origin(&resolved.lattice), "flag --lattice");
}

#[test]
fn the_context_is_the_named_one_else_the_selected_one() {
    let other = Context {
        lattice: Some("other".to_owned()),
        ..Context::default()
    };
    let place = Place::new()
        .context("shop", &shop())
        .context("other", &other);
    place.contexts().select(Some("shop")).unwrap();
    let lattice = |options: &ConnectionOptions, place: &Place| {
        place.resolved(options).lattice.value.to_string()
    };
    assert_eq!(lattice(&ConnectionOptions::default(), &place), "shop");
    assert_eq!(lattice(&named("other"), &place), "other");
    let place = place.variable("TRELLIS_CONTEXT", "other");
    assert_eq!(lattice(&ConnectionOptions::default(), &place), "other");
    assert_eq!(lattice(&named("shop"), &place), "shop");
}

#[test]
fn a_context_that_is_missing_is_an_error_that_suggests() {
    let place = Place::new().context("shop", &shop());
    let failure = place.failure(&named("shpo"));
    assert!(
        failure.contains("there is no context shpo; did you mean shop?"),
        "{failure}"
    );
}

#[test]
fn a_running_embedded_lattice_is_found_unless_a_server_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let context = Context {
        servers: vec![format!("nats://{}", listener.local_addr().unwrap())],
        credentials: Some("/operator.creds".into()),
        embedded: Some(Embedded {
            pid: std::process::id(),
            started: "2026-01-05T10:11:12Z".to_owned(),
        }),
        ..Context::default()
    };
    let place = Place::new().context("embedded", &context);
    let resolved = place.resolved(&ConnectionOptions::default());
    assert!(resolved.is_embedded());
    assert_eq!(resolved.servers.value, context.servers);
    assert!(matches!(resolved.login.unwrap().value, Login::CredsFile(_)));
    // Credentials of one lattice are not shown to another.
    let place = place.variable("NATS_URL", "nats://elsewhere:4222, nats://also:4222");
    let resolved = place.resolved(&ConnectionOptions::default());
    assert_eq!(
        resolved.servers.value,
        ["nats://elsewhere:4222", "nats://also:4222"]
    );
    assert!(resolved.login.is_none() && !resolved.is_embedded());
}

#[test]
fn credentials_come_from_the_first_place_that_has_any() {
    let seed = format!("SUA{}", "B".repeat(55));
    let place = Place::new()
        .context("shop", &shop())
        .variable("NATS_JWT", "eyJ0.eyJ1.abc")
        .variable("NATS_SEED", &seed);
    let login = place.resolved(&named("shop")).login.unwrap();
    assert!(matches!(login.value, Login::JwtAndSeed { .. }));
    assert_eq!(origin(&login), "environment NATS_JWT");
    assert!(!format!("{login:?}").contains(&seed), "the seed is printed");
    let typed = ConnectionOptions {
        creds: Some("/mine.creds".into()),
        ..named("shop")
    };
    let login = place.resolved(&typed).login.unwrap();
    assert_eq!(origin(&login), "flag --creds");
}

#[test]
fn a_secret_that_is_typed_is_refused_and_not_repeated() {
    let seed = format!("SUA{}", "B".repeat(55));
    let options = ConnectionOptions {
        seed: Some(seed.clone().into()),
        ..ConnectionOptions::default()
    };
    let failure = Place::new().failure(&options);
    assert!(failure.contains("--seed takes a file"), "{failure}");
    assert!(!failure.contains(&seed));
    let options = ConnectionOptions {
        jwt: Some("/user.jwt".into()),
        ..ConnectionOptions::default()
    };
    assert!(Place::new().failure(&options).contains("has no seed"));
}

#[test]
fn wrong_variables_are_named() {
    let options = ConnectionOptions::default();
    let failure = Place::new()
        .variable("TRELLIS_LATTICE", "a.b")
        .failure(&options);
    assert!(failure.contains("environment TRELLIS_LATTICE"), "{failure}");
    let failure = Place::new()
        .variable("TRELLIS_TIMEOUT", "2")
        .failure(&options);
    assert!(failure.contains("TRELLIS_TIMEOUT"), "{failure}");
    let failure = Place::new()
        .variable("NATS_CERT", "/c.pem")
        .failure(&options);
    assert!(failure.contains("belong together"), "{failure}");
}

#[test]
fn passwords_in_addresses_are_not_shown() {
    assert_eq!(redacted("nats://me:secret@shop:4222"), "nats://…@shop:4222");
    assert_eq!(redacted("shop:4222"), "nats://shop:4222");
    for (server, local) in [
        ("nats://me:x@127.0.0.1:4222", true),
        ("localhost:4222", true),
        ("tls://[::1]:4222", true),
        ("nats://10.0.0.1:4222", false),
    ] {
        assert_eq!(is_loopback(server), local, "{server}");
    }
}
