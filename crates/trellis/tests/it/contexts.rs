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
    ];
    assert_eq!(environment.run(&put).code, Some(0));
    assert!(environment.home().join("conf/contexts/shop.json").is_file());
    let shown = environment.run(&["config", "show", "--context", "shop", "--timeout", "5s"]);
    insta::assert_snapshot!(shown.stdout, @r"
    SETTING        VALUE             FROM
    context        shop              flag --context
    servers        nats://shop:4222  context shop
    lattice        red               environment TRELLIS_LATTICE
    credentials    -                 default
    tls-ca         -                 default
    tls-cert       -                 default
    tls-key        -                 default
    tls-first      false             default
    js-domain      hub               context shop
    timeout        5s                flag --timeout
    config-folder  conf              environment TRELLIS_CONFIG
    ");
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
