//! Who may come in, and what they may do there.

use std::time::Duration;

use trellis_broker::Limits;
use trellis_identity::{Permissions, Responses};

use crate::lattice::{Lattice, rules};
use crate::raw_client::RawClient;
use crate::servers::{Server, Settings};

const REFUSED: &str = "-ERR 'Authorization Violation'\r\n<closed>";

#[tokio::test(flavor = "multi_thread")]
async fn only_users_of_the_lattice_come_in() {
    let (lattice, other) = (Lattice::new(), Lattice::new());
    let anybody = lattice.anybody();
    for server in Server::both(&Settings::trusting(&lattice)).await {
        for (line, expected) in [
            ("PING\r\n", REFUSED),
            ("PUB a 1\r\nx\r\n", REFUSED),
            ("GARBAGE\r\n", REFUSED),
            ("CONNECT {}\r\n", REFUSED),
            ("CONNECT {\"user\":\"a\",\"pass\":\"b\"}\r\n", REFUSED),
            ("CONNECT {\"auth_token\":\"a\"}\r\n", REFUSED),
            ("CONNECT {\"jwt\":\"a.b.c\",\"sig\":\"d\"}\r\n", REFUSED),
            ("CONNECT {x}\r\n", "<closed>"),
        ] {
            let mut client = RawClient::open(&server).await;
            assert_eq!(client.info["auth_required"], true);
            client.send(line).await;
            assert_eq!(client.rest().await, expected, "{}: {line:?}", server.name);
        }
        // A stranger; a signature of another connection's nonce; another user's signature.
        let mut first = RawClient::open(&server).await;
        let replayed = first.connect_line(&anybody);
        first.send(first.connect_line(&other.anybody())).await;
        assert_eq!(first.rest().await, REFUSED, "{}", server.name);
        let mut second = RawClient::open(&server).await;
        second.send(replayed).await;
        assert_eq!(second.rest().await, REFUSED, "{}", server.name);
        RawClient::connect(&server, Some(&anybody)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_does_what_its_permissions_allow() {
    let lattice = Lattice::new();
    let user = lattice.user(
        Permissions {
            publish: rules(&["ok.>", "x.*"], &["ok.no"]),
            subscribe: rules(
                &["in.>", "ok.>", "q.* grp", "end.*"],
                &["in.secret", "in.deep.>"],
            ),
            responses: None,
        },
        None,
    );
    let publish =
        |subject: &str| format!("-ERR 'Permissions Violation for Publish to \"{subject}\"'\r\n");
    let subscribe = |subject: &str| {
        format!("-ERR 'Permissions Violation for Subscription to \"{subject}\"'\r\n")
    };
    let end = "PUB <done> 0\r\n\r\n";
    let cases = [
        ("PUB nope 1\r\nx\r\nPUB ok.no 1\r\nx\r\nPUB ok.yes 1\r\nx\r\n", publish("nope") + &publish("ok.no")),
        ("HPUB nope 12 13\r\nNATS/1.0\r\n\r\nx\r\n", publish("nope")),
        ("PUB a..b 1\r\nx\r\n", publish("a..b")),
        ("SUB nope 1\r\nSUB > 2\r\nSUB in.secret 3\r\n", subscribe("nope") + &subscribe(">") + &subscribe("in.secret")),
        ("SUB in.deep.* 1\r\nSUB *.a 2\r\nSUB in.* 3\r\nSUB in.> 4\r\n", subscribe("in.deep.*") + &subscribe("*.a")),
        (
            "SUB nope q 1\r\nSUB q.a grp 2\r\nSUB q.a oth 3\r\n",
            "-ERR 'Permissions Violation for Subscription to \"nope\" using queue \"q\"'\r\n-ERR 'Permissions Violation for Subscription to \"q.a\" using queue \"oth\"'\r\n".to_owned(),
        ),
        ("SUB ok.> 1\r\nPUB ok.a 1\r\nx\r\n", "MSG ok.a 1 1\r\nx\r\n".to_owned()),
    ];
    for server in Server::both(&Settings::trusting(&lattice)).await {
        for (script, expected) in &cases {
            let mut client = RawClient::connect(&server, Some(&user)).await;
            client.send(format!("{script}{end}")).await;
            let answer = client.until(&publish("<done>")).await;
            assert_eq!(
                answer,
                expected.clone() + &publish("<done>"),
                "{}: {script:?}",
                server.name
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denial_inside_a_wildcard_withholds_messages() {
    let lattice = Lattice::new();
    let user = lattice.user(
        Permissions {
            subscribe: rules(&["in.>", "end.*"], &["in.secret", "in.deep.>"]),
            ..Permissions::default()
        },
        None,
    );
    for server in Server::both(&Settings::trusting(&lattice)).await {
        let mut listener = RawClient::connect(&server, Some(&user)).await;
        listener.talk("SUB in.> 1\r\n").await;
        let mut other = RawClient::connect(&server, Some(&lattice.anybody())).await;
        let answer = other.talk("SUB r 1\r\nPUB in.secret r 1\r\nx\r\nPUB in.ok 1\r\ny\r\nPUB in.deep.a.b 1\r\nz\r\n").await;
        assert!(
            answer.starts_with("HMSG r 1 41 41\r\nNATS/1.0 503\r\n"),
            "{}: {answer}",
            server.name
        );
        assert_eq!(
            listener.talk("").await,
            "MSG in.ok 1 1\r\ny\r\n",
            "{}",
            server.name
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_answer_answers_so_often() {
    let lattice = Lattice::new();
    let user = lattice.user(
        Permissions {
            publish: rules(&["end.*"], &[]),
            subscribe: rules(&["svc", "end.*"], &[]),
            responses: Some(Responses {
                messages_max: 1,
                nanoseconds: 60_000_000_000,
            }),
        },
        None,
    );
    for server in Server::both(&Settings::trusting(&lattice)).await {
        let mut service = RawClient::connect(&server, Some(&user)).await;
        service.talk("SUB svc 1\r\n").await;
        let mut asker = RawClient::connect(&server, Some(&lattice.anybody())).await;
        asker
            .talk("SUB reply.* 1\r\nPUB svc reply.1 1\r\n?\r\n")
            .await;
        service.until("?\r\n").await;
        let complaint = service
            .talk("PUB reply.1 1\r\n1\r\nPUB reply.1 1\r\n2\r\nPUB reply.2 1\r\n3\r\n")
            .await;
        let denied =
            |it: u8| format!("-ERR 'Permissions Violation for Publish to \"reply.{it}\"'\r\n");
        assert_eq!(complaint, denied(1) + &denied(2), "{}", server.name);
        assert_eq!(
            asker.talk("").await,
            "MSG reply.1 1 1\r\n1\r\n",
            "{}",
            server.name
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn time_runs_out() {
    let lattice = Lattice::new();
    let mut settings = Settings::trusting(&lattice);
    settings.limits = Limits {
        authentication_timeout: Duration::from_millis(500),
        ..Limits::default()
    };
    for server in Server::both(&settings).await {
        let mut silent = RawClient::open(&server).await;
        assert_eq!(
            silent.rest().await,
            "-ERR 'Authentication Timeout'\r\n<closed>",
            "{}",
            server.name
        );
        let user = lattice.user(Permissions::default(), Some(Duration::from_secs(2)));
        let mut client = RawClient::connect(&server, Some(&user)).await;
        let end = client.rest().await;
        assert!(
            end.ends_with("-ERR 'User Authentication Expired'\r\n<closed>"),
            "{}: {end}",
            server.name
        );
        let mut late = RawClient::open(&server).await;
        late.send(late.connect_line(&user)).await;
        let expected = "-ERR 'User Authentication Expired'\r\n<closed>";
        assert_eq!(late.rest().await, expected, "{}", server.name);
    }
}
