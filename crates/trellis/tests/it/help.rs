//! What every command says of itself: in 80 columns, with an example.

use crate::environment::Environment;

/// Everything fits a terminal of this width.
const COLUMNS: usize = 80;

/// Every command that does something, as it is typed.
const VERBS: [&str; 38] = [
    "get hosts",
    "get inventory",
    "get components",
    "get providers",
    "get links",
    "get config",
    "start component",
    "start provider",
    "scale",
    "update",
    "stop component",
    "stop provider",
    "stop host",
    "drain",
    "resume",
    "link put",
    "link del",
    "config put",
    "config get",
    "config del",
    "config list",
    "config show",
    "label put",
    "label del",
    "events",
    "logs",
    "call",
    "ping",
    "doctor",
    "context list",
    "context show",
    "context select",
    "context put",
    "context del",
    "completions",
    "inspect",
    "up",
    "",
];

/// The commands that have commands.
const NOUNS: [&str; 7] = ["get", "start", "stop", "link", "config", "label", "context"];

fn help(command: &str) -> String {
    let mut arguments: Vec<&str> = command.split_whitespace().collect();
    arguments.push("--help");
    let ended = Environment::new().run(&arguments);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let long = ended
        .stdout
        .lines()
        .find(|line| line.chars().count() > COLUMNS);
    assert_eq!(long, None, "longer than {COLUMNS} columns");
    ended.stdout
}

/// The options of a connection are the same everywhere: they are looked at once.
fn without_connection(help: &str) -> &str {
    match help.split_once("\nConnection:\n") {
        Some((before, _)) => before,
        None => help,
    }
}

#[test]
fn every_command_has_its_help() {
    for command in VERBS.iter().chain(&NOUNS) {
        // `up` and `inspect` are looked at in the package `trellis-tests`.
        if ["up", "inspect"].contains(command) {
            continue;
        }
        let help = help(command);
        let name = match *command {
            "" => "trellis".to_owned(),
            command => command.replace(' ', "-"),
        };
        insta::assert_snapshot!(format!("help-{name}"), without_connection(&help));
    }
}

#[test]
fn every_verb_has_an_example() {
    for verb in VERBS.iter().filter(|it| !it.is_empty()) {
        let help = help(verb);
        assert!(
            help.contains("\nExample:\n") || help.contains("\nExamples:\n"),
            "{verb} has no example"
        );
        let example = format!("  trellis {verb}");
        let is_piped = help.contains(&format!("(trellis {verb}"));
        assert!(
            help.contains(&example) || is_piped,
            "{verb}: the example is of another verb"
        );
    }
}

#[test]
fn help_of_the_connection() {
    let help = help("get hosts");
    let (_, connection) = help.split_once("\nConnection:\n").unwrap();
    insta::assert_snapshot!("help-connection", connection);
}

#[test]
fn what_is_not_known_is_a_usage_error() {
    for arguments in [
        &["get"][..],
        &["get", "hsots"],
        &["scale", "cart"],
        &["scale", "cart", "0"],
        &["start", "component"],
        &["events", "--type", "nothing"],
        &["link", "put", "a", "b", "wasi", "keyvalue"],
        &["ping", "--timeout", "2"],
        &["completions", "ksh"],
    ] {
        let ended = Environment::new().run(arguments);
        assert_eq!(ended.code, Some(2), "{arguments:?}: {}", ended.stderr);
        assert!(ended.stdout.is_empty() && !ended.stderr.is_empty());
    }
}
