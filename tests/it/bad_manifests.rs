//! Manifests that cannot be deployed: every mistake with its line, column and a hint, and exit code 1.

use std::path::PathBuf;

use trellis_tests::{Finished, Trellis, guest};

/// Deploys a manifest made of `components` that must fail, and returns what was said.
fn refuse(components: &str) -> String {
    let trellis = Trellis::new();
    let manifest = write(&trellis, "app", components);
    let ended: Finished = trellis.arg(manifest).try_up().unwrap_err();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert_eq!(ended.stdout, "");
    ended.stderr
}

fn write(trellis: &Trellis, name: &str, components: &str) -> PathBuf {
    let path = trellis.home().join(format!("{name}.yaml"));
    let head = format!(
        "apiVersion: core.oam.dev/v1beta1\nkind: Application\nmetadata: {{ name: {name} }}\n"
    );
    std::fs::write(&path, format!("{head}spec:\n  components:\n{components}")).unwrap();
    path
}

/// One component; what it links to follows as a trait.
fn component(name: &str, image: &str, link: &str) -> String {
    let image = guest(image);
    let traits = if link.is_empty() {
        String::new()
    } else {
        format!("      traits:\n        - {link}\n")
    };
    format!(
        "    - name: {name}\n      type: component\n      properties:\n        image: {}\n{traits}",
        image.display()
    )
}

fn link(target: &str, package: &str, interface: &str) -> String {
    format!(
        "{{ type: link, properties: {{ target: {{ name: {target} }}, namespace: trellis-test, package: {package}, \
         interfaces: [{interface}] }} }}"
    )
}

#[track_caller]
fn assert_says(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "does not say {part:?}:\n{said}");
    }
}

#[test]
fn a_manifest_that_is_not_yaml() {
    let trellis = Trellis::new();
    let path = trellis.home().join("broken.yaml");
    std::fs::write(&path, "kind: [Application\nmetadata: {\n").unwrap();
    let ended = trellis.arg("up").arg(path).run();
    assert_eq!(ended.code, Some(1));
    assert_says(&ended.stderr, &["error: not valid YAML", "broken.yaml:2:"]);
}

#[test]
fn a_manifest_that_is_a_text() {
    let trellis = Trellis::new();
    let path = trellis.home().join("note.txt");
    std::fs::write(&path, "hello there\n").unwrap();
    let ended = trellis.arg("up").arg(path).run();
    assert_eq!(ended.code, Some(1));
    assert_says(
        &ended.stderr,
        &[
            "a manifest must be a mapping, found a string",
            "note.txt:1:1",
            "^^^^^^^^^^^",
        ],
    );
}

#[test]
fn several_mistakes_are_reported_at_once_with_their_places() {
    let one = component("one", "http_hello", "{ type: lnik, properties: {} }");
    let two = component("two", "http_hello", &link("on", "a", "b"));
    let said = refuse(&format!(
        "{one}{two}    - name: three\n      typ: component\n"
    ));
    assert_says(
        &said,
        &[
            "app.yaml:11:",
            "did you mean `link`?",
            "app.yaml:17:",
            "the target `on` is not a component of this manifest",
            "did you mean `one`?",
            "app.yaml:19:",
            "unknown field `typ`",
            "did you mean `type`?",
        ],
    );
    let errors = said
        .lines()
        .filter(|line| line.starts_with("error: "))
        .count();
    assert!(errors >= 3, "{said}");
}

#[test]
fn mistakes_of_several_manifests_are_reported_at_once() {
    let trellis = Trellis::new();
    let first = write(&trellis, "first", "    - name: a\n      type: componnent\n");
    let second = write(&trellis, "second", "    - name: b\n      type: capabilty\n");
    let ended = trellis.arg("up").arg(first).arg(second).run();
    assert_eq!(ended.code, Some(1));
    assert_says(&ended.stderr, &["first.yaml:7:", "second.yaml:7:"]);
}

#[test]
fn a_link_that_may_be_repeated_sometimes() {
    let link = link("two", "types", "bench").replace(
        "interfaces:",
        "source: { config: [{ name: c, properties: { retry: sometimes } }] }, interfaces:",
    );
    let (one, two) = (
        component("one", "caller", &link),
        component("two", "callee", ""),
    );
    let said = refuse(&format!("{one}{two}"));
    assert_says(
        &said,
        &[
            "app.yaml:11:",
            "retry is \"sometimes\"; a link says `idempotent` or `never`",
        ],
    );
}

#[test]
fn components_that_are_linked_in_a_circle() {
    let one = component("one", "http_hello", &link("two", "a", "b"));
    let two = component("two", "http_hello", &link("one", "a", "b"));
    assert_says(
        &refuse(&format!("{one}{two}")),
        &[
            "components are linked in a circle: `one` -> `two` -> `one`",
            "app.yaml:17:",
            "hint: ",
        ],
    );
}

#[test]
fn a_missing_file_points_at_its_line() {
    let said = refuse(
        "    - name: one\n      type: component\n      properties:\n        image: ./build/gone.wasm\n",
    );
    assert_says(
        &said,
        &[
            "there is no file",
            "build/gone.wasm",
            "app.yaml:9:16",
            "^^^^^^^^^^^^^^^^^",
        ],
    );
}

#[test]
fn a_resource_cannot_cross_a_link() {
    let caller = component(
        "caller",
        "resource_caller",
        &link("callee", "resources", "api"),
    );
    let callee = component("callee", "resource_callee", "");
    assert_says(
        &refuse(&format!("{caller}{callee}")),
        &[
            "cannot be linked",
            "counter passes a",
            "resource, which cannot cross a link",
            "app.yaml:11:",
            "hint: ",
        ],
    );
}

#[test]
fn a_link_to_a_component_without_that_export() {
    let caller = component(
        "caller",
        "resource_caller",
        &link("callee", "resources", "api"),
    );
    let callee = component("callee", "stream_callee", "");
    assert_says(
        &refuse(&format!("{caller}{callee}")),
        &[
            "app-callee does not export trellis-test:resources/api@0.1.0",
            "it exports trellis-test:streams/api@0.1.0",
        ],
    );
}

#[test]
fn a_link_from_http_to_a_component_that_does_not_answer_it() {
    let callee = component("callee", "callee", "");
    let server = "    - name: http\n      type: capability\n      properties: { image: builtin:http-server }\n      \
                  traits:\n        - { type: link, properties: { target: { name: callee }, namespace: wasi, package: \
                  http, interfaces: [incoming-handler] } }\n";
    assert_says(
        &refuse(&format!("{callee}{server}")),
        &[
            "component app-callee does not answer HTTP",
            "app.yaml:14:",
            "it exports trellis-test:types/api@0.1.0",
        ],
    );
}

/// A component and the server that calls it, with `config` for the source of the link in line 15.
fn served(config: &str) -> String {
    let server = format!(
        "    - name: http\n      type: capability\n      properties: {{ image: builtin:http-server }}\n      \
         traits:\n        - type: link\n          properties: {{ target: {{ name: web }}, namespace: wasi, package: \
         http, interfaces: [incoming-handler]{config} }}\n"
    );
    format!("{}{server}", component("web", "http_hello", ""))
}

fn source(config: &str) -> String {
    format!(", source: {{ config: [{{ name: entrance, properties: {{ {config} }} }}] }}")
}

/// Starts `first` and `second`, which must fail before anything is bound or compiled.
fn refuse_both(first: &str, second: &str) -> String {
    let trellis = Trellis::new();
    let manifests = [
        write(&trellis, "first", first),
        write(&trellis, "second", second),
    ];
    let ended = trellis.args(manifests).try_up().unwrap_err();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(!ended.stderr.contains("compil"), "{}", ended.stderr);
    ended.stderr
}

#[test]
fn two_manifests_that_want_the_same_path() {
    assert_says(
        &refuse_both(&served(""), &served("")),
        &[
            "component first-web and component second-web both want path / of every\n  host at 127.0.0.1:0",
            "second.yaml:14:17",
            "        - type: link",
            "                ^^^^",
            "first.yaml:14:17;",
            "`host`",
        ],
    );
}

#[test]
fn two_manifests_that_want_the_same_path_in_other_words() {
    let first = served(&source("host: Shop.test, path: /cart"));
    let second = served(&source("host: shop.test, path: /cart/"));
    assert_says(
        &refuse_both(&first, &second),
        &[
            "both want path /cart/ of\n  shop.test at",
            "second.yaml:15:",
            "^^^^^^^^",
            "first.yaml:15:",
        ],
    );
}

#[test]
fn routes_that_are_none() {
    let first = served(&source("path: cart"));
    let second = served(&source("host: \"http://shop.test\""));
    assert_says(
        &refuse_both(&first, &second),
        &[
            "the path \"cart\" of component first-web is not a path of whole segments",
            "first.yaml:15:",
            "the host \"http://shop.test\" of component second-web is not a host name",
            "second.yaml:15:",
            "without scheme and port",
        ],
    );
}

#[test]
fn a_component_and_a_manifest_that_want_the_same_path() {
    let trellis = Trellis::new();
    let manifest = write(&trellis, "shop", &served(""));
    let ended = trellis
        .arg(guest("http_hello"))
        .arg(manifest)
        .try_up()
        .unwrap_err();
    assert_says(
        &ended.stderr,
        &["shop.yaml:14:17", "the first is", "http_hello.wasm; give"],
    );
}

#[test]
fn a_component_that_runs_nowhere_is_in_nobodys_way() {
    let trellis = Trellis::new();
    let scaler = "{ type: spreadscaler, properties: { instances: 0 } }";
    let idle = served("").replacen(
        &component("web", "http_hello", ""),
        &component("web", "http_hello", scaler),
        1,
    );
    let manifests = [
        write(&trellis, "first", &idle),
        write(&trellis, "second", &served("")),
    ];
    let host = trellis.args(manifests).up();
    assert_eq!(
        host.report["applications"][1]["urls"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}
