//! What entries of an allow-list grant, and what is said about bad ones.

use http::Uri;

use crate::http_client::{AllowList, Destination, ENTRIES_MAX, normal_uri};

fn grants(allow: &str, uri: &str) -> bool {
    let destination = Destination::of(&uri.parse::<Uri>().unwrap()).unwrap();
    AllowList::parse(allow).unwrap().check(&destination).is_ok()
}

#[test]
fn entries_grant_what_the_table_says() {
    let cases: &[(&str, &[&str])] = &[
        (
            "api.example.com",
            &["http://api.example.com/x", "https://API.Example.com.:443/"],
        ),
        (
            "https://api.example.com",
            &["https://api.example.com", "https://api.example.com:443"],
        ),
        (
            "api.example.com:8443",
            &[
                "http://api.example.com:8443",
                "https://api.example.com:8443",
            ],
        ),
        (
            "api.example.com:*",
            &["http://api.example.com:1", "https://api.example.com:65535"],
        ),
        (
            "*.example.org",
            &["http://a.example.org", "http://a.b.example.org"],
        ),
        (
            "*",
            &[
                "http://anything.test",
                "https://8.8.8.8",
                "https://[2606:4700::1111]",
            ],
        ),
        (
            "http://127.0.0.1:9000",
            &["http://127.0.0.1:9000", "http://[::ffff:127.0.0.1]:9000"],
        ),
        ("[::1]:9000", &["http://[::1]:9000", "http://[0:0::1]:9000"]),
        ("10.1.0.0/16:5432", &["http://10.1.255.255:5432"]),
        (
            "[fd00::/8]:443",
            &["https://[fd12:3456::1]", "http://[fdff::1]:443"],
        ),
        ("private+db.internal:8080", &["http://db.internal:8080"]),
        ("169.254.169.254", &["http://169.254.169.254/latest"]),
        ("localhost:3000", &["http://localhost:3000"]),
        (
            " a.test,,b.test\n\tc.test , ",
            &["http://a.test", "http://b.test", "http://c.test"],
        ),
        ("EXAMPLE.com.", &["http://example.com"]),
    ];
    for (allow, uris) in cases {
        for uri in *uris {
            assert!(grants(allow, uri), "{allow:?} denies {uri}");
        }
    }
    assert!(!grants("", "http://a.test"));
    assert!(!grants("*", "http://127.0.0.1"));
    assert!(!grants("*", "http://169.254.169.254"));
}

fn explain(allow: &str) -> String {
    let errors = AllowList::parse(allow).expect_err(allow);
    errors
        .iter()
        .map(|it| format!("{it}\nhint: {}\n", it.hint()))
        .collect()
}

#[test]
fn every_bad_entry_is_reported_at_once() {
    let text = "ok.test ftp://a https://a.test/v1 user@a.test a.test:0 a.test:99999 a:b:c ::1 \
                *a.test a.*.test 127.1 0x7f.1 bücher.test a_-.test 10.0.0.0/33 [::1 \
                private+* private+10.0.0.1 *.127.0.0.1 :80 https://";
    insta::assert_snapshot!(explain(text));
}

#[test]
fn a_list_without_end_is_cut() {
    let words = |count| "a.test ".repeat(count);
    assert!(AllowList::parse(&words(ENTRIES_MAX)).is_ok());
    let error = explain(&words(ENTRIES_MAX + 5));
    assert!(
        error.starts_with("allow-list entry \"a.test\": it is entry number 257"),
        "{error}"
    );
}

#[test]
fn no_text_panics() {
    let mut random = fastrand::Rng::with_seed(7);
    let alphabet: Vec<char> = "ab.*:/[]@+-%0127x, é\u{0}private+http://".chars().collect();
    for _ in 0..20_000 {
        let length = random.usize(0..24);
        let tail: String = (0..length)
            .map(|_| alphabet[random.usize(..alphabet.len())])
            .collect();
        let text = if random.bool() {
            format!("http://{tail}")
        } else {
            tail
        };
        if let Err(errors) = AllowList::parse(&text) {
            errors
                .iter()
                .for_each(|error| drop((error.to_string(), error.hint())));
        }
        if let Ok(uri) = text.parse::<Uri>()
            && let Ok(destination) = Destination::of(&uri)
        {
            let normal = normal_uri(&destination, &uri);
            assert_eq!(
                Destination::of(&normal).as_ref(),
                Ok(&destination),
                "{text}"
            );
        }
    }
}
