//! Who gets a message, and how often.

use std::collections::BTreeMap;

use crate::raw_client::{CONNECT, RawClient, check_all};
use crate::servers::{Server, Settings};

const BAD: &str = "-ERR 'Invalid Subject'\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn wildcards_and_bad_subjects() {
    let cases = [
        (
            "SUB a.* 1\r\nPUB a.b 1\r\nx\r\nPUB a 1\r\ny\r\nPUB a.b.c 1\r\nz\r\n",
            "MSG a.b 1 1\r\nx\r\n",
        ),
        (
            "SUB a.> 1\r\nPUB a.b.c 1\r\nx\r\nPUB a 1\r\ny\r\n",
            "MSG a.b.c 1 1\r\nx\r\n",
        ),
        (
            "SUB *.b 1\r\nPUB a.b 1\r\nx\r\nPUB a.c 1\r\ny\r\n",
            "MSG a.b 1 1\r\nx\r\n",
        ),
        ("SUB a..b 1\r\n", BAD),
        ("SUB .a 1\r\n", BAD),
        ("SUB a. 1\r\n", BAD),
        ("SUB a.>.b 1\r\n", BAD),
        (
            "SUB a*b 1\r\nPUB a*b 1\r\nx\r\nPUB axb 1\r\ny\r\n",
            "MSG a*b 1 1\r\nx\r\n",
        ),
        ("SUB a.>b 1\r\nPUB a.>b 1\r\nx\r\n", "MSG a.>b 1 1\r\nx\r\n"),
        ("SUB a.* 1\r\nPUB a.> 1\r\nx\r\n", "MSG a.> 1 1\r\nx\r\n"),
        (
            "SUB x.> 1\r\nPUB x..b 1\r\nx\r\nPUB x. 1\r\nx\r\nPUB . 1\r\nx\r\n",
            "",
        ),
        ("SUB a id-!x 1\r\nPUB a 1\r\nx\r\n", "MSG a 1 1\r\nx\r\n"),
        (
            "SUB a abc-!x\r\nPUB a 1\r\nx\r\n",
            "MSG a abc-!x 1\r\nx\r\n",
        ),
        (
            "SUB \u{e9} 1\r\nPUB \u{e9} 1\r\nx\r\n",
            "MSG \u{e9} 1 1\r\nx\r\n",
        ),
    ];
    check_all(&Settings::default(), CONNECT, &cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_begin_and_end() {
    let cases = [
        (
            "SUB a 1\r\nSUB b 1\r\nPUB a 1\r\nx\r\nPUB b 1\r\ny\r\n",
            "MSG a 1 1\r\nx\r\n",
        ),
        (
            "SUB a 1\r\nUNSUB 1\r\nPUB a 1\r\nx\r\nSUB b 1\r\nPUB b 1\r\ny\r\n",
            "MSG b 1 1\r\ny\r\n",
        ),
        (
            "SUB a 1\r\nUNSUB 1 2\r\nPUB a 1\r\n1\r\nPUB a 1\r\n2\r\nPUB a 1\r\n3\r\n",
            "MSG a 1 1\r\n1\r\nMSG a 1 1\r\n2\r\n",
        ),
        (
            "SUB a 1\r\nPUB a 1\r\n1\r\nPUB a 1\r\n2\r\nUNSUB 1 2\r\nPUB a 1\r\n3\r\n",
            "MSG a 1 1\r\n1\r\nMSG a 1 1\r\n2\r\n",
        ),
        (
            "SUB a 1\r\nUNSUB 1 1\r\nUNSUB 1 2\r\nPUB a 1\r\n1\r\nPUB a 1\r\n2\r\nPUB a 1\r\n3\r\n",
            "MSG a 1 1\r\n1\r\nMSG a 1 1\r\n2\r\n",
        ),
        ("SUB a 1\r\nUNSUB 1 0\r\nPUB a 1\r\n1\r\n", ""),
        ("SUB a 1\r\nUNSUB 1 x\r\nPUB a 1\r\n1\r\n", ""),
        (
            "SUB a 1\r\nUNSUB 1 1\r\nPUB a 1\r\n1\r\nSUB b 1\r\nPUB b 1\r\n2\r\n",
            "MSG a 1 1\r\n1\r\nMSG b 1 1\r\n2\r\n",
        ),
    ];
    check_all(&Settings::default(), CONNECT, &cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_nobody_serves_is_answered_at_once() {
    let answer = |subject: &str, reply: &str| {
        let headers = format!("NATS/1.0 503\r\nNats-Subject: {subject}\r\n\r\n");
        format!("HMSG {reply} 1 {0} {0}\r\n{headers}\r\n", headers.len())
    };
    let cases = [
        (
            "SUB r.* 1\r\nPUB nobody r.s 1\r\nx\r\n",
            answer("nobody", "r.s"),
        ),
        (
            "SUB r.* 1\r\nHPUB nobody r.s 12 13\r\nNATS/1.0\r\n\r\nx\r\n",
            answer("nobody", "r.s"),
        ),
        ("PUB nobody r.s 1\r\nx\r\n", String::new()),
        ("SUB r.* q 1\r\nPUB nobody r.s 1\r\nx\r\n", String::new()),
        (
            "SUB r.* 1\r\nUNSUB 1 1\r\nPUB nobody r.a 1\r\nx\r\nPUB nobody r.b 1\r\nx\r\n",
            answer("nobody", "r.a") + &answer("nobody", "r.b"),
        ),
        (
            "SUB a 1\r\nPUB a r 1\r\nx\r\n",
            "MSG a 1 r 1\r\nx\r\n".to_owned(),
        ),
    ];
    let cases = cases
        .each_ref()
        .map(|(script, expected)| (*script, expected.as_str()));
    check_all(&Settings::default(), CONNECT, &cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_echo_a_client_is_not_its_own_audience() {
    for server in Server::both(&Settings::default()).await {
        let mut quiet = RawClient::open(&server).await;
        quiet.send("CONNECT {\"verbose\":false,\"echo\":false,\"headers\":true,\"no_responders\":true}\r\nSUB a 1\r\nSUB r 2\r\nPUB a r 1\r\nx\r\nPING\r\n").await;
        let headers = "NATS/1.0 503\r\nNats-Subject: a\r\n\r\n";
        let expected = format!("HMSG r 2 33 33\r\n{headers}\r\nPONG\r\n");
        assert_eq!(quiet.until("PONG\r\n").await, expected, "{}", server.name);
        let mut other = RawClient::connect(&server, None).await;
        other.send("PUB a 1\r\ny\r\n").await;
        assert_eq!(
            quiet.until("y\r\n").await,
            "MSG a 1 1\r\ny\r\n",
            "{}",
            server.name
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_member_of_each_group_gets_a_message() {
    const MESSAGES: usize = 300;
    for server in Server::both(&Settings::default()).await {
        let mut members = Vec::new();
        for (pattern, queue) in [
            ("a.b", "q"),
            ("a.*", "q"),
            ("a.>", "q"),
            ("a.b", "p"),
            ("a.b", ""),
        ] {
            let mut member = RawClient::connect(&server, None).await;
            member.talk(&format!("SUB {pattern} {queue} 1\r\n")).await;
            members.push((queue, member));
        }
        let mut publisher = RawClient::connect(&server, None).await;
        let script: String = (0..MESSAGES)
            .map(|it| format!("PUB a.b 4\r\n{it:04}\r\n"))
            .collect();
        publisher.talk(&script).await;
        let mut got: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (queue, member) in &mut members {
            let received = member.talk("").await;
            let payloads = received.split("\r\n").skip(1).step_by(2).map(str::to_owned);
            let before = got.entry(queue).or_default().len();
            got.entry(queue).or_default().extend(payloads);
            assert!(
                got[queue].len() > before,
                "{}: a member of {queue} got nothing",
                server.name
            );
        }
        for (queue, mut payloads) in got {
            payloads.sort();
            let expected: Vec<_> = (0..MESSAGES).map(|it| format!("{it:04}")).collect();
            assert_eq!(payloads, expected, "{}: {queue:?}", server.name);
        }
    }
}
