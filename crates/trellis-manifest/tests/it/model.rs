//! Real manifests parse, and say what they say.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use trellis_core::{Limits, Reuse};
use trellis_manifest::{Application, Origin, Source, parse, parse_all, render_all};

/// Returns the files of a folder of fixtures, in the order of their names.
pub(crate) fn fixtures(folder: &str) -> Vec<Source> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it")
        .join(folder);
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.retain(|path| path.is_file());
    paths.sort();
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    paths
        .iter()
        .map(|path| Source::from_bytes(name(path), &std::fs::read(path).unwrap()))
        .collect()
}

fn fixture(name: &str) -> Vec<Application> {
    let source = fixtures("fixtures")
        .into_iter()
        .find(|source| source.name() == name)
        .unwrap();
    parse(&source).unwrap()
}

/// Writes an application in a few lines, with the places that later errors need.
fn summary(application: &Application) -> String {
    let mut text = format!("{} {:?}\n", application.name, application.version);
    for it in &application.components {
        let place = it.span.start;
        write!(
            text,
            "  {}:{} {} = {} {:?}",
            place.line, place.column, it.name, it.id, it.kind
        )
        .unwrap();
        match &it.origin {
            Origin::Image { image, span } => {
                writeln!(
                    text,
                    "\n    {}:{} {image:?}",
                    span.start.line, span.start.column
                )
                .unwrap();
            }
            Origin::Application {
                application,
                component,
                ..
            } => {
                writeln!(text, "\n    is {component} of {application}").unwrap();
            }
        }
        for set in &it.config {
            writeln!(text, "    config {} {:?}", set.name, set.properties).unwrap();
        }
        for secret in &it.secrets {
            writeln!(text, "    secret {secret:?}").unwrap();
        }
        if let Some(scaler) = &it.scaler {
            writeln!(text, "    {:?} {}", scaler.kind, scaler.instances).unwrap();
            for spread in &scaler.spread {
                writeln!(
                    text,
                    "      {} {} {:?}",
                    spread.name, spread.weight, spread.requirements
                )
                .unwrap();
            }
        }
        for link in &it.links {
            let place = link.target_span.start;
            let interfaces: Vec<String> = link.wit_interfaces().map(|it| it.to_string()).collect();
            write!(
                text,
                "    {}:{} link {} -> ",
                place.line, place.column, link.name
            )
            .unwrap();
            writeln!(text, "{} {}", link.target, interfaces.join(" ")).unwrap();
            for (end, config, secrets) in [
                ("source", &link.source_config, &link.source_secrets),
                ("target", &link.target_config, &link.target_secrets),
            ] {
                for set in config {
                    writeln!(text, "      {end} config {} {:?}", set.name, set.properties).unwrap();
                }
                for secret in secrets {
                    writeln!(text, "      {end} secret {} {}", secret.name, secret.key).unwrap();
                }
            }
        }
    }
    text
}

#[test]
fn manifests_of_the_1_x_schema_parse() {
    for source in fixtures("fixtures") {
        let applications = parse(&source).unwrap_or_else(|findings| {
            panic!("{}", render_all(&findings, std::slice::from_ref(&source)))
        });
        let mut text: String = applications.iter().map(summary).collect();
        for application in &applications {
            text.push_str(&render_all(
                &application.warnings,
                std::slice::from_ref(&source),
            ));
        }
        insta::with_settings!({ snapshot_path => "snapshots", prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!(format!("good-{}", source.name()), text);
        });
    }
}

#[test]
fn all_fixtures_run_side_by_side() {
    let applications = parse_all(&fixtures("fixtures")).unwrap();
    assert_eq!(applications.len(), 8);
    assert!(applications.iter().any(Application::is_shared));
}

#[test]
fn limits_and_reuse_change_what_they_name_and_nothing_else() {
    let application = fixture("kvcounter.yaml").remove(0);
    let counter = application.component("counter").unwrap();
    assert_eq!(
        counter.limits.apply(Limits::default()),
        Limits {
            memory_bytes_max: 64 << 20,
            table_elements_max: 10_000,
            cpu_time_max: Duration::from_millis(100),
            deadline: Duration::from_secs(5),
            instances_max: 32,
            calls_queued_max: 64,
            hostcall_bytes_max: 1 << 20,
            outgoing_connections_max: 4,
        }
    );
    let reuse = counter.reuse.unwrap().apply(Reuse::CONCURRENT);
    assert_eq!(
        reuse,
        Reuse {
            calls_max: 1_000,
            concurrency_max: 1
        }
    );
    assert_eq!(counter.instances(), Some(100));

    let redis = application.component("kvredis").unwrap();
    assert_eq!(redis.limits.apply(Limits::default()), Limits::default());
    assert_eq!((redis.reuse, redis.instances()), (None, None));
}

#[test]
fn later_errors_point_into_the_manifest() {
    let application = fixture("hello-world.yaml").remove(0);
    let component = application.component("http-component").unwrap();
    let (image, span) = component.image().unwrap();
    assert_eq!(
        image.resolve(Path::new("/srv")),
        Some(PathBuf::from("/srv/build/http_hello_world_s.wasm"))
    );
    let error = application
        .error_at(span, "there is no such file")
        .with_hint("build it first");
    assert_eq!(
        error.to_string(),
        "hello-world.yaml:15:16: error: there is no such file"
    );
}

#[test]
fn manifests_side_by_side_must_not_share_names_or_ids() {
    let manifest = |file: &str, application: &str, rest: &str| {
        let text = format!(
            "apiVersion: core.oam.dev/v1beta1\nkind: Application\nmetadata:\n  name: {application}\n\
             spec:\n  components:\n    - name: web\n      type: component\n      \
             properties: {{ image: ./web.wasm }}\n{rest}"
        );
        Source::new(file, text)
    };
    let shared = "    - name: s\n      type: component\n      \
                  properties: { application: { name: my-app, component: wep } }\n";
    let sources = [
        manifest("a.yaml", "my-app", ""),
        manifest("b.yaml", "my_app", shared),
        manifest("c.yaml", "my-app", ""),
    ];
    assert!(sources.iter().all(|source| parse(source).is_ok()));
    let findings = parse_all(&sources).unwrap_err();
    insta::assert_snapshot!("side-by-side", render_all(&findings, &sources));
}
