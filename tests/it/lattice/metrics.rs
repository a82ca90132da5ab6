//! What a host tells of its components to who watches it.

use std::net::SocketAddr;

use trellis_tests::{Application, Client, Entry, Site, get, guest, wait_until};

use super::{is_answered, metrics_of};

/// The value of one line, by its name and labels.
pub(super) fn value(text: &str, line: &str) -> Option<f64> {
    let found = text
        .lines()
        .find_map(|it| it.strip_prefix("trellis_component_")?.strip_prefix(line));
    found.map(|value| value.trim().parse().unwrap())
}

pub(super) fn metrics(address: SocketAddr) -> String {
    get(address, "/metrics").text()
}

#[test]
fn a_component_is_counted_as_long_as_it_runs() {
    let mut site = Site::of(0);
    let command = site.host_command('a').args(["--metrics", "127.0.0.1:0"]);
    site.hosts.push(command.up());
    let watched = metrics_of(&site.hosts[0]);
    site.start("misbehaver", "web", &[]);
    let address = site.serve(0, "web");
    wait_until("it answers", || is_answered(address, "/"));
    let calls = |outcome: &str| {
        let line = format!("calls_total{{component=\"web\",outcome=\"{outcome}\"}}");
        value(&metrics(watched), &line).unwrap()
    };
    let before = calls("ok");
    assert!(before >= 1.0, "{}", metrics(watched));
    for path in ["/", "/big?mib=1", "/drip?n=3&ms=1"] {
        assert_eq!(get(address, path).status, 200, "{path}");
    }
    assert_eq!(get(address, "/trap").status, 500);
    wait_until("all of them have ended", || {
        calls("ok") == before + 3.0 && calls("trap") == 1.0
    });
    let mut client = Client::connect(address, "any").unwrap();
    let waiting = std::thread::spawn(move || client.get("/sleep?ms=3000").map(|it| it.status));
    let in_flight = "calls_in_flight{component=\"web\"}";
    wait_until("one is under way", || {
        let text = metrics(watched);
        let instances = value(&text, "instances{component=\"web\"}");
        value(&text, in_flight) == Some(1.0) && instances == Some(1.0)
    });
    assert_eq!(waiting.join().unwrap().unwrap(), 200);
    wait_until("it has ended", || {
        value(&metrics(watched), in_flight) == Some(0.0)
    });

    let text = metrics(watched);
    let ended = before + 5.0;
    let duration = |part: &str| value(&text, &format!("call_duration_seconds_{part}"));
    assert_eq!(duration("count{component=\"web\"}"), Some(ended), "{text}");
    let all = duration("bucket{le=\"+Inf\",component=\"web\"}");
    let quick = duration("bucket{le=\"1.0\",component=\"web\"}");
    assert_eq!((all, quick), (Some(ended), Some(ended - 1.0)), "{text}");
    assert!(duration("sum{component=\"web\"}").unwrap() >= 3.0, "{text}");
    assert!(value(&text, "cpu_seconds_total{component=\"web\"}").unwrap() > 0.0);
    // An instance for each request, and the one that showed that it starts.
    let made = value(&text, "instances_made_total{component=\"web\"}");
    assert_eq!(made, Some(ended + 1.0), "{text}");

    site.ask(&["stop", "component", "web"]);
    wait_until("it is told of no more", || {
        !metrics(watched).contains("component=\"web\"")
    });
}

#[test]
fn refusals_are_counted_and_an_update_counts_on() {
    let mut site = Site::of(0);
    let command = site.host_command('a').args(["--metrics", "127.0.0.1:0"]);
    let limits = serde_json::json!({ "instances": 1, "queue": 1 });
    let manifest = Application::new("shop")
        .component(Entry::new("web", "misbehaver").limits(limits))
        .write(command.home());
    site.hosts.push(command.arg(manifest).up());
    let watched = metrics_of(&site.hosts[0]);
    let address = site.serve(0, "shop-web");
    wait_until("it answers", || is_answered(address, "/"));
    let report = trellis_tests::at_once(address, "any", 6, 6, |_| "/sleep?ms=500".to_owned());
    let (ok, refused) = (report.count(200), report.count(503));
    assert!(ok + refused == 6 && refused > 0, "{report}");
    let counted = |outcome: &str| {
        let line = format!("calls_total{{component=\"shop-web\",outcome=\"{outcome}\"}}");
        value(&metrics(watched), &line).unwrap()
    };
    wait_until("all of them have ended", || {
        counted("overloaded") == refused as f64 && counted("ok") >= ok as f64
    });
    let before = counted("ok");
    let image = guest("misbehaver").display().to_string();
    site.ask(&["update", "shop-web", &image]);
    assert_eq!(get(address, "/").status, 200);
    wait_until("it counts on", || counted("ok") == before + 1.0);
    assert_eq!(counted("overloaded"), refused as f64);
}
