//! What shells are offered.

use std::time::{Duration, Instant};

use crate::environment::{Ended, Environment};

/// Far more than the 300 ms that a shell is kept waiting, for a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// Completes the last of `words` as bash would.
fn complete(environment: Environment, words: &[&str]) -> Ended {
    let environment = environment
        .variable("TRELLIS_COMPLETE", "bash")
        .variable("_CLAP_IFS", "\n")
        .variable("_CLAP_COMPLETE_INDEX", &(words.len() - 1).to_string());
    let mut arguments = vec!["--"];
    arguments.extend(words);
    environment.run(&arguments)
}

#[test]
fn each_shell_has_its_script() {
    for (shell, words) in [
        ("bash", "complete -o"),
        ("zsh", "#compdef trellis"),
        ("fish", "complete --keep-order"),
    ] {
        let script = Environment::new().run(&["completions", shell]);
        assert_eq!(script.code, Some(0), "{}", script.stderr);
        assert!(script.stdout.contains(words), "{shell}:\n{}", script.stdout);
        assert!(script.stdout.contains("TRELLIS_COMPLETE"), "{shell}");
    }
}

#[test]
fn commands_options_and_contexts_are_offered() {
    let offered = complete(Environment::new(), &["trellis", "get", "co"]);
    assert_eq!(offered.stdout, "components\nconfig");
    let offered = complete(
        Environment::new(),
        &["trellis", "start", "component", "--sp"],
    );
    assert_eq!(offered.stdout, "--spread");
    let offered = complete(
        Environment::new(),
        &["trellis", "events", "--type", "provider_st"],
    );
    assert_eq!(
        offered.stdout,
        "provider_started\nprovider_start_failed\nprovider_stopped"
    );
    let environment = Environment::new();
    let put = ["context", "put", "shop", "--nats", "nats://shop:4222"];
    assert_eq!(environment.run(&put).code, Some(0));
    assert_eq!(
        complete(environment, &["trellis", "ping", "--context", "s"]).stdout,
        "shop"
    );
}

#[test]
fn a_lattice_that_does_not_answer_offers_nothing_and_keeps_nobody_waiting() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("nats://{}", listener.local_addr().unwrap());
    let environment = Environment::new().variable("NATS_URL", &url);
    let begin = Instant::now();
    let offered = complete(environment, &["trellis", "scale", ""]);
    assert!(begin.elapsed() < PATIENCE);
    assert!(!offered.stdout.contains("cart"), "{}", offered.stdout);
    assert_eq!(offered.code, Some(0), "{}", offered.stderr);
}
