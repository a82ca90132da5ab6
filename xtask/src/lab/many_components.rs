//! A thousand components are started over the control interface, and all take calls.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::applications;
use super::cluster::{Cluster, Layout};
use super::command_line::words;
use super::nats_client::NatsClient;
use super::{Lab, Report, waiting};

/// How many.
const COMPONENTS: usize = 1_000;

/// From the first command until all are ready.
const LIMIT: Duration = Duration::from_secs(30);

/// After this the rest counts as never.
const PATIENCE: Duration = Duration::from_secs(120);

/// When a command that was refused is given again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The component, one file for all.
const FILE: &str = "to_upper_upper";

/// What they export.
const FUNCTION: &str = "trellis-examples:text/upper.upper";

/// Components that are started by commands, and how many commands at once.
const BY_COMMAND: usize = 24;
const AT_ONCE: usize = 8;

pub(super) fn run(lab: &Lab, report: &mut Report) -> Result<()> {
    let cluster = Cluster::start(lab, "many_components", Layout::Loopback, 3)?;
    let hosts: Vec<&str> = cluster.hosts.iter().map(|it| it.id.as_str()).collect();
    let mut client = NatsClient::connect(cluster.nats.address)?;
    let question = |number: usize| {
        let host = hosts[number % hosts.len()];
        let subject = format!("wasmbus.ctl.v1.default.component.scale.{host}");
        let command = json!({
            "component_id": format!("many-{number}"),
            "component_ref": lab.guest(FILE),
            "host_id": host,
            "count": 1,
        });
        (subject, command)
    };
    let questions: Vec<_> = (0..COMPONENTS).map(question).collect();
    let start = Instant::now();
    let refused = ask_until_accepted(&mut client, questions)?;
    let accepted = start.elapsed();
    let ready = waiting::within(PATIENCE, || {
        Ok((ready(&cluster) >= COMPONENTS).then(|| start.elapsed()))
    })?;
    let what = format!("{COMPONENTS} components accepted by 3 hosts");
    report.longest("control", &what, &[Some(accepted)], LIMIT);
    let what = "commands of these that were refused at first";
    report.remark("control", what, format!("{refused} of {COMPONENTS}"));
    let what = format!("{COMPONENTS} components ready on 3 hosts");
    let time = ready.map(|(time, _)| time);
    report.longest("control", &what, &[time], LIMIT);
    calls(&cluster, report)?;
    let doubts: usize = cluster
        .hosts
        .iter()
        .map(|it| it.times_in("store_rewound"))
        .sum();
    let what = "times that a host took the growing state for a rewound one";
    report.none_of("N6", what, doubts, COMPONENTS);
    by_command(lab, &cluster, report)
}

/// Gives every command, and those that are refused again after a while, as the refusal says: a host that is busy may
/// lose its lease for a moment. Returns how many were refused the first time.
fn ask_until_accepted(client: &mut NatsClient, questions: Vec<(String, Value)>) -> Result<usize> {
    let start = Instant::now();
    let mut first = None;
    let mut left = questions;
    loop {
        let answers = client.ask_all(&left)?;
        let refusals = answers.iter().zip(left);
        let refusals = refusals.filter(|(answer, _)| answer["success"] != true);
        let (why, again): (Vec<&Value>, Vec<_>) = refusals.unzip();
        let refused = *first.get_or_insert(again.len());
        let Some(why) = why.first() else {
            return Ok(refused);
        };
        ensure!(start.elapsed() < PATIENCE, "refused: {why}");
        left = again;
        waiting::pause(AGAIN_AFTER)?;
    }
}

/// How many components take calls, as the hosts say; none while they are too busy to say.
fn ready(cluster: &Cluster) -> usize {
    let answer = cluster.command_line.run(&["get", "components"]);
    let components = answer
        .ok()
        .and_then(|it| it["components"].as_array().cloned());
    let is_ready = |it: &&Value| it["ready"] == true;
    components.map_or(0, |it| it.iter().filter(is_ready).count())
}

/// Calls some of them.
fn calls(cluster: &Cluster, report: &mut Report) -> Result<()> {
    let chosen = [0, COMPONENTS / 2, COMPONENTS - 1];
    let mut wrong = 0;
    for number in chosen {
        let id = format!("many-{number}");
        let answer = cluster
            .command_line
            .run(&["call", &id, FUNCTION, "\"text\""])?;
        wrong += usize::from(answer["result"] != "\"TEXT\"");
    }
    let what = "calls of the first, the middle and the last that were not answered";
    report.none_of("control", what, wrong, chosen.len());
    Ok(())
}

/// Starts some more as a person would, to show what a process for each command costs.
fn by_command(lab: &Lab, cluster: &Cluster, report: &mut Report) -> Result<()> {
    let start = Instant::now();
    thread::scope(|scope| {
        let start_some = |worker: usize| {
            for number in (worker..BY_COMMAND).step_by(AT_ONCE) {
                let host = &cluster.hosts[number % cluster.hosts.len()].zone;
                let file = lab.guest(FILE);
                let command =
                    format!("start component {file} --id command-{number} --label zone={host}");
                cluster.command_line.all(vec![words(&command)])?;
            }
            Ok(())
        };
        let started: Vec<_> = (0..AT_ONCE)
            .map(|worker| scope.spawn(move || start_some(worker)))
            .collect();
        started.into_iter().try_for_each(applications::joined)
    })?;
    let each = start.elapsed().as_secs_f64() / BY_COMMAND as f64;
    let figure = format!(
        "{:.1} each second, so {COMPONENTS} in {:.0} s",
        1.0 / each,
        each * COMPONENTS as f64
    );
    let what = format!("started by `trellis start component`, {AT_ONCE} at once");
    report.remark("control", &what, figure);
    Ok(())
}
