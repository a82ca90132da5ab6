//! Contexts and settings, as a person uses them.

use crate::environment::Environment;

#[test]
fn a_context_is_written_shown_selected_and_removed() {
    let environment = Environment::new();
    let put = [
        "context",
        "put",
        "shop",
        "--nats",
        "nats://me:pw@shop:4222",
        "--lattice",
        "shop",
    ];
    assert_eq!(environment.run(&put).code, Some(0));
    let list = environment
        .run(&["context", "list", "--output", "json"])
        .json();
    insta::assert_snapshot!(
        list,
        @r#"{"contexts":[{"lattice":"shop","name":"shop","servers":["nats://…@shop:4222"],"state":""}],"current":null}"#
    );
    assert_eq!(
        environment.run(&["context", "select", "shop"]).stdout,
        "selected shop\n"
    );
    let shown = environment.run(&["context", "show"]);
    insta::assert_snapshot!(shown.stdout, @r"
    SETTING  VALUE
    context  shop
    servers  nats://…@shop:4222
    lattice  shop
    ");
    let list = environment.run(&["context", "list"]);
    insta::assert_snapshot!(list.stdout, @r"
       CONTEXT  STATE     LATTICE  SERVERS
    *  shop     selected  shop     nats://…@shop:4222
    ");
    assert_eq!(environment.run(&["context", "del", "shop"]).code, Some(0));
    let list = environment
        .run(&["context", "list", "--output", "json"])
        .json();
    assert_eq!(list["current"], serde_json::Value::Null);
}

#[test]
fn config_show_says_where_each_value_comes_from() {
    let environment = Environment::new()
        .variable("TRELLIS_LATTICE", "red")
        .variable("TRELLIS_CONFIG", "conf");
    let put = [
        "context",
        "put",
        "shop",
        "--nats",
        "nats://shop:4222",
        "--js-domain",
        "hub",
        "--http-body-max",
        "1GiB",
    ];
    assert_eq!(environment.run(&put).code, Some(0));
    assert!(environment.home().join("conf/contexts/shop.json").is_file());
    let shown = environment.run(&["config", "show", "--context", "shop", "--timeout", "5s"]);
    insta::assert_snapshot!(shown.stdout, @r"
    SETTING               VALUE             FROM
    context               shop              flag --context
    servers               nats://shop:4222  context shop
    lattice               red               environment TRELLIS_LATTICE
    credentials           -                 default
    tls-ca                -                 default
    tls-cert              -                 default
    tls-key               -                 default
    tls-first             false             default
    js-domain             hub               context shop
    timeout               5s                flag --timeout
    config-folder         conf              environment TRELLIS_CONFIG
    http-body-max         1GiB              context shop
    http-header-max       32KiB             default
    http-header-timeout   10s               default
    http-idle-timeout     75s               default
    http-connections-max  8192              default
    http-requests-max     4096              default
    http-trust            -                 default
    drain-timeout         30s               default
    ");
}

#[test]
fn settings_of_the_gateway_are_shown_as_a_host_would_have_them() {
    let environment = Environment::new()
        .variable("TRELLIS_HTTP_IDLE_TIMEOUT", "5m")
        .variable("TRELLIS_HTTP_REQUESTS_MAX", "none");
    let put = ["context", "put", "shop", "--http-trust", "10.0.0.0/8"];
    assert_eq!(environment.run(&put).code, Some(0));
    assert_eq!(
        environment.run(&["context", "select", "shop"]).code,
        Some(0)
    );
    let shown = environment.run(&["context", "show"]);
    assert!(
        shown.stdout.contains("http-trust  10.0.0.0/8"),
        "{}",
        shown.stdout
    );

    let wrong = environment.run(&["config", "show"]);
    assert_eq!(wrong.code, Some(2), "{}", wrong.stdout);
    let expected = "http-requests-max: \"none\" is no number between 1 and 1000000 \
                    (environment TRELLIS_HTTP_REQUESTS_MAX)";
    assert!(wrong.stderr.contains(expected), "{}", wrong.stderr);

    let line = [
        "config",
        "show",
        "--http-requests-max",
        "7",
        "--http-body-max",
        "2MiB",
    ];
    let of = |more: &[&str], name: &str| {
        let shown = environment
            .run(&[&line[..], more, &["--output", "json"]].concat())
            .json();
        let settings = shown["settings"].as_array().unwrap().clone();
        let found = settings.into_iter().find(|it| it["name"] == name).unwrap();
        (found["value"].clone(), found["origin"].clone())
    };
    assert_eq!(
        of(&[], "http-requests-max"),
        ("7".into(), "flag --http-requests-max".into())
    );
    assert_eq!(
        of(&[], "http-idle-timeout"),
        ("5m".into(), "environment TRELLIS_HTTP_IDLE_TIMEOUT".into())
    );
    // A host takes no context that is only selected.
    assert_eq!(of(&[], "http-trust").1, "default");
    assert_eq!(
        of(&["--context", "shop"], "http-trust"),
        ("10.0.0.0/8".into(), "context shop".into())
    );
}

#[test]
fn what_cannot_be_a_context_is_refused() {
    let environment = Environment::new();
    for (arguments, code, words) in [
        (
            &["context", "put", "a/b", "--nats", "nats://x"][..],
            2,
            "cannot name a context",
        ),
        (
            &["context", "put", "embedded", "--nats", "nats://x"],
            2,
            "are written by `trellis up`",
        ),
        (
            &["context", "put", "x", "--creds", "no.creds"],
            1,
            "cannot use no.creds",
        ),
        (
            &["context", "put", "x", "--timeout", "1s"],
            2,
            "neither `--context` nor `--timeout`",
        ),
        (&["context", "select", "x"], 1, "there is no context x"),
        (&["context", "del", "x"], 1, "there is no context x"),
        (&["context", "show"], 1, "no context is in use"),
        (
            &["get", "hosts", "--context", "x"],
            1,
            "there is no context x",
        ),
    ] {
        let ended = environment.run(arguments);
        assert_eq!(ended.code, Some(code), "{arguments:?}: {}", ended.stderr);
        assert!(
            ended.stderr.contains(words),
            "{arguments:?}: {}",
            ended.stderr
        );
        assert!(
            ended.stderr.contains("\nhint: "),
            "{arguments:?}: {}",
            ended.stderr
        );
    }
}
