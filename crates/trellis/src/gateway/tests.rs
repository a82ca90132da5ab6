//! Where the settings of a gateway come from, and that each reaches it.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use super::*;

fn options(typed: &[&str]) -> Result<GatewayOptions, clap::Error> {
    use clap::FromArgMatches;
    let command = GatewayOptions::augment_args(clap::Command::new("up").no_binary_name(true));
    GatewayOptions::from_arg_matches(&command.try_get_matches_from(typed)?)
}

fn context(settings: &[(&str, &str)]) -> (String, Context) {
    let pair = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
    let gateway = settings.iter().map(pair).collect();
    let context = Context {
        gateway,
        ..Context::default()
    };
    ("shop".to_owned(), context)
}

#[test]
fn a_flag_goes_before_the_environment_and_that_before_the_context() {
    let typed = options(&["--http-body-max", "1GiB"]).unwrap();
    let environment = |name: &str| match name {
        "TRELLIS_HTTP_BODY_MAX" => Some("2GiB".to_owned()),
        "TRELLIS_HTTP_IDLE_TIMEOUT" => Some("5m".to_owned()),
        _ => None,
    };
    let context = context(&[
        ("http-body-max", "3GiB"),
        ("http-idle-timeout", "6m"),
        ("http-trust", "10.0.0.0/8, ::1"),
    ]);
    let found = resolve(&typed, &environment, Some(&context)).unwrap();
    let limits = &found.gateway.limits;
    assert_eq!(limits.request_body_bytes_max, 1 << 30);
    assert_eq!(limits.keep_alive_timeout, Duration::from_secs(300));
    let shown: Vec<String> = found
        .shown()
        .map(|(name, value, origin)| format!("{name} {value} {origin}"))
        .collect();
    assert_eq!(
        shown,
        [
            "http-body-max 1GiB flag --http-body-max",
            "http-header-max 32KiB default",
            "http-header-timeout 10s default",
            "http-idle-timeout 5m environment TRELLIS_HTTP_IDLE_TIMEOUT",
            "http-connections-max 8192 default",
            "http-requests-max 4096 default",
            "http-trust 10.0.0.0/8,::1/128 context shop",
            "drain-timeout 30s default",
        ]
    );
}

#[test]
fn every_setting_reaches_the_gateway_and_a_context() {
    let values = ["7MiB", "7KiB", "7s", "8s", "7", "8", "10.0.0.7/32", "9s"];
    let typed: Vec<&str> = ALL
        .iter()
        .zip(values)
        .flat_map(|(known, value)| [known.flag, value])
        .collect();
    let typed = options(&typed).unwrap();
    let kept = for_context(&typed);
    let of_context = (
        "shop".to_owned(),
        Context {
            gateway: kept,
            ..Context::default()
        },
    );
    let none = GatewayOptions::default();
    for found in [
        resolve(&typed, &|_| None, None).unwrap(),
        resolve(&none, &|_| None, Some(&of_context)).unwrap(),
    ] {
        let shown: Vec<String> = found.shown().map(|(_, value, _)| value).collect();
        assert_eq!(shown, values);
        let Gateway {
            limits,
            trusted_peers,
        } = found.gateway;
        let expected = GatewayLimits {
            request_body_bytes_max: 7 << 20,
            header_bytes_max: 7 << 10,
            header_read_timeout: Duration::from_secs(7),
            keep_alive_timeout: Duration::from_secs(8),
            connections_max: 7,
            requests_in_flight_max: 8,
            drain_deadline: Duration::from_secs(9),
            ..GatewayLimits::default()
        };
        assert_eq!(limits, expected);
        assert_eq!(trusted_peers, ["10.0.0.7".parse().unwrap()]);
    }
}

#[test]
fn the_help_says_the_defaults() {
    let command = GatewayOptions::augment_args(clap::Command::new("up"));
    for known in &ALL {
        let id = known.name().replace('-', "_");
        let option = command.get_arguments().find(|it| it.get_id() == &id);
        let help = option.unwrap().get_help().unwrap().to_string();
        let default = match (known.show)(&Gateway::default()) {
            shown if shown.is_empty() => "nobody".to_owned(),
            shown => shown,
        };
        for part in [
            format!("[default: {default}]"),
            format!("[env: {}]", known.variable),
        ] {
            assert!(help.contains(&part), "{help:?} lacks {part:?}");
        }
    }
}

#[test]
fn what_cannot_be_is_refused_with_the_place_it_came_from() {
    for (flag, wrong, why) in [
        ("--http-body-max", "0B", "is not between `1B` and `1TiB`"),
        ("--http-body-max", "2TiB", "is not between `1B` and `1TiB`"),
        ("--http-body-max", "10", "is no size; write `512B`"),
        (
            "--http-header-max",
            "2MiB",
            "is not between `1KiB` and `1MiB`",
        ),
        (
            "--http-header-timeout",
            "0s",
            "is not between `1ms` and `24h`",
        ),
        (
            "--http-idle-timeout",
            "75",
            "is no span of time; write `500ms`",
        ),
        (
            "--http-connections-max",
            "0",
            "is no number between 1 and 1000000",
        ),
        (
            "--http-requests-max",
            "1000001",
            "is no number between 1 and 1000000",
        ),
        (
            "--http-trust",
            "10.0.0.0/33",
            "is neither an address nor a range",
        ),
        ("--drain-timeout", "25h", "is not between `1ms` and `24h`"),
    ] {
        let typed = options(&[flag, wrong]).unwrap_err().to_string();
        assert!(typed.contains(flag) && typed.contains(why), "{typed}");
        let name = flag.trim_start_matches('-');
        let of_context = context(&[(name, wrong)]);
        let none = GatewayOptions::default();
        let kept = resolve(&none, &|_| None, Some(&of_context)).unwrap_err();
        let kept = kept.parts().0;
        assert!(
            kept.contains(why) && kept.contains("(context shop)") && kept.contains(name),
            "{kept}"
        );
    }
    let misspelt = context(&[("http-body-size", "1MiB")]);
    let none = GatewayOptions::default();
    let failure = resolve(&none, &|_| None, Some(&misspelt)).unwrap_err();
    assert!(
        failure
            .parts()
            .0
            .contains("no setting \"http-body-size\" (context shop)"),
        "{failure:?}"
    );
}
