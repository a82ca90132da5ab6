//! Permissions of any shape, judged by us and by a nats-server: they must agree.

use std::time::SystemTime;

use trellis_identity::{
    AccountStatement, Credentials, Issue, KeyKind, Keys, OperatorStatement, Permissions, Statement,
    SubjectRules, UserStatement, subject,
};
use trellis_tests::NatsServer;

use crate::clients::talk;

fn sign(subject: &Keys, statement: Statement, issuer: &Keys) -> String {
    let issue = Issue {
        subject: &subject.public_key(),
        name: "someone",
        now: SystemTime::now(),
        lifetime: None,
    };
    issue.sign(statement, issuer)
}

fn rules(allow: &[&str], deny: &[&str]) -> SubjectRules {
    SubjectRules {
        allow: allow.iter().map(ToString::to_string).collect(),
        deny: deny.iter().map(ToString::to_string).collect(),
    }
}

#[tokio::test]
async fn the_server_judges_rules_as_we_do() {
    let operator = Keys::generate(KeyKind::Operator).unwrap();
    let account = Keys::generate(KeyKind::Account).unwrap();
    let system = Keys::generate(KeyKind::Account).unwrap();
    let mut statement = OperatorStatement::new();
    statement.system_account = system.public_key().to_string();
    let config = format!(
        "operator: {}\nsystem_account: {}\nresolver: MEMORY\nresolver_preload: {{ {}: {}, {}: {} }}\n",
        sign(&operator, Statement::Operator(statement), &operator),
        system.public_key(),
        account.public_key(),
        sign(
            &account,
            Statement::Account(Box::new(AccountStatement::unlimited())),
            &operator
        ),
        system.public_key(),
        sign(
            &system,
            Statement::Account(Box::new(AccountStatement::system())),
            &operator
        ),
    );
    let server = NatsServer::with(&config);
    let subjects = [
        "a", "b", "a.b", "a.b.c", "a.x", "a.x.c", "b.a", "a.*", "a.>", "*", ">", "*.b", "a.*.c",
        "a.b.*", "a.b.>", "*.>", "*.*",
    ];
    for (allow, deny) in [
        (&[][..], &[][..]),
        (&[], &["a.b"]),
        (&[], &["a.*"]),
        (&[], &["a.>"]),
        (&[], &[">"]),
        (&["a.*"], &[]),
        (&["a.>"], &["a.b"]),
        (&["a.>"], &["a.b.*"]),
        (&["a", "*.b"], &["a.b"]),
        (&["a.*.c"], &[]),
        (&["*"], &["a"]),
        (&[">"], &["*.b", "a.b.>"]),
        (&["*.*"], &["b.*"]),
    ] {
        let permissions = Permissions {
            publish: rules(allow, deny),
            subscribe: rules(allow, deny),
            responses: None,
        };
        let user = Keys::generate(KeyKind::User).unwrap();
        let statement = UserStatement::new(permissions.clone());
        let jwt = sign(&user, Statement::User(Box::new(statement)), &account);
        let credentials = Credentials::new(jwt, user.seed()).unwrap();
        compare(&server, &credentials, &permissions, &subjects);
    }
}

/// Publishes to each of `subjects` that has no wildcard, subscribes to all of them, and compares what
/// the server complains about with what `ours` says.
pub(crate) fn compare(
    server: &NatsServer,
    credentials: &Credentials,
    ours: &Permissions,
    subjects: &[&str],
) {
    let mut sent = String::new();
    let mut expected = Vec::new();
    for it in subjects.iter().filter(|it| subject::is_valid(it)) {
        sent.push_str(&format!("PUB {it} 0\r\n\r\n"));
        if !ours.allows_publish(it) {
            expected.push(format!(
                "-ERR 'Permissions Violation for Publish to \"{it}\"'"
            ));
        }
    }
    for (number, it) in subjects.iter().enumerate() {
        sent.push_str(&format!("SUB {it} {number}\r\n"));
        if !ours.allows_subscribe(it, None) && !slips_through(ours, it) {
            expected.push(format!(
                "-ERR 'Permissions Violation for Subscription to \"{it}\"'"
            ));
        }
    }
    let found = talk(server, credentials, &sent);
    assert_eq!(found, expected, "{ours:?}");
}

/// Whether the server takes a wildcard of `pattern` for a token that an allowed `*` stands for. We do
/// not; roles have no pattern where it matters.
fn slips_through(ours: &Permissions, pattern: &str) -> bool {
    let matched = |rules: &[String]| rules.iter().any(|rule| subject::matches(rule, pattern));
    pattern.ends_with('>') && matched(&ours.subscribe.allow) && !matched(&ours.subscribe.deny)
}
