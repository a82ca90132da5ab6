//! What manifests mean: where paths start, and how applications share an address.

use serde_json::json;
use trellis_tests::{Application, Entry, Trellis, get, get_from, guest};

#[test]
fn images_are_found_from_the_folder_of_the_manifest_whatever_the_working_directory() {
    let trellis = Trellis::new();
    let folder = trellis.home().join("project");
    let elsewhere = trellis.home().join("elsewhere");
    for folder in [&folder, &elsewhere, &folder.join("build")] {
        std::fs::create_dir_all(folder).unwrap();
    }
    std::fs::copy(guest("http_hello"), folder.join("build/app.wasm")).unwrap();
    let manifest = Application::new("app")
        .component(Entry::of("plain", "./build/app.wasm"))
        .component(Entry::of("file", "file://./build/app.wasm"))
        .http("plain", json!({}))
        .http("file", json!({ "path": "/file" }))
        .write(&folder);
    std::fs::rename(&manifest, folder.join("trellis.yaml")).unwrap();
    for (working, path) in [
        (&elsewhere, "../project"),
        (&folder, "."),
        (&folder, "trellis.yaml"),
    ] {
        let host = Trellis::new().in_folder(working).arg(path).up();
        for path in ["/", "/file"] {
            assert_eq!(
                get(host.address(), path).text(),
                "Hello from Trellis!\n",
                "{working:?}"
            );
        }
    }
}

#[test]
fn applications_share_one_port_by_host_and_path() {
    let trellis = Trellis::new();
    let hello = |name: &str, guest: &str, config| {
        Application::new(name)
            .component(Entry::new("web", guest))
            .http("web", config)
            .write(trellis.home())
    };
    let manifests = [
        hello("hello", "http_hello", json!({})),
        hello("count", "misbehaver", json!({ "host": "count.test" })),
        hello("deep", "unsatisfied", json!({ "path": "/deep" })),
    ];
    let trellis = Trellis::new().args(manifests);
    let host = trellis.up();
    let address = host.address();
    assert_eq!(get(address, "/").text(), "Hello from Trellis!\n");
    assert_eq!(get(address, "/deep/down").text(), "ok\n");
    assert_eq!(get_from(address, "count.test", "/state").text(), "1\n");
    assert_eq!(
        get_from(address, "other.test", "/state").text(),
        "Hello from Trellis!\n"
    );
}

#[test]
fn a_component_needs_no_manifest() {
    let host = Trellis::new().arg(guest("http_hello")).up();
    assert_eq!(get(host.address(), "/").text(), "Hello from Trellis!\n");
}
