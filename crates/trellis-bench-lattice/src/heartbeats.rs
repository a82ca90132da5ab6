//! What the signs of life of many hosts cost one host.
//!
//! The hosts are simulated; the one that hears them is real. They speak faster than hosts do, so that there is
//! something to measure, and the cost is divided by how much.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use async_nats::Client;
use bytes::Bytes;
use clap::Args;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use trellis_control::{
    CloudEvent, ComponentDescription, ComponentScaled, Event, EventKind, HostId, HostInventory,
    Subjects,
};
use trellis_core::LatticeName;

use crate::measures::{Measures, Span};
use crate::site::{Programs, Site, patiently};

/// Hosts of a large lattice.
const HOSTS: usize = 500;
/// What each of them runs.
const COMPONENTS: usize = 10;
/// Time between two heartbeats of one host.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(30);
/// How much faster than hosts these speak.
const HASTE: u32 = 20;
/// How often they speak: all that are due at once.
const TICK: Duration = Duration::from_millis(10);

/// Signs of life of many hosts.
#[derive(Args)]
pub(crate) struct Heartbeats {
    #[command(flatten)]
    span: Span,

    #[command(flatten)]
    programs: Programs,
}

/// What one host says each time: its heartbeat, and that one of its components was scaled.
struct Voice {
    heartbeat: Bytes,
    scaled: Bytes,
}

impl Heartbeats {
    /// Measures the processor time of a host in silence and in noise; prints what the noise costs.
    pub(crate) fn measure(self) -> Result<Measures> {
        let site = Site::start(&self.programs, 1)?;
        let process = site.host(0).process();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (silence, noise) = runtime.block_on(async {
            let client = async_nats::connect(site.url()).await?;
            let choir = Choir::new(client)?;
            choir.speak_once().await?; // the host knows all of them from now on
            let silence = share(process, self.span, silent(self.span)).await?;
            let noise = share(process, self.span, choir.speak(self.span.duration())).await?;
            anyhow::Ok((silence, noise))
        })?;
        patiently(|| site.ask(&["get", "hosts"])).context("the host did not survive the noise")?;
        let mut measures = Measures::default();
        let share = (noise - silence).max(0.0) / f64::from(HASTE);
        measures.put("heartbeats-500", share * 100.0);
        Ok(measures)
    }
}

/// Returns the part of one processor that a process used while `deed` was done.
async fn share(process: u32, span: Span, deed: impl Future<Output = Result<()>>) -> Result<f64> {
    let before = processor_times(process)?;
    let begin = Instant::now();
    deed.await?;
    let elapsed = begin.elapsed().max(span.duration());
    let used: u64 = processor_times(process)?
        .iter()
        .map(|(thread, after)| after - before.get(thread).unwrap_or(&0).min(after))
        .sum();
    Ok(used as f64 / elapsed.as_nanos() as f64)
}

async fn silent(span: Span) -> Result<()> {
    sleep(span.duration()).await;
    Ok(())
}

/// Reads the nanoseconds that each thread of a process has run. The process as a whole counts in hundredths of a
/// second, which is too coarse here.
fn processor_times(process: u32) -> Result<BTreeMap<String, u64>> {
    let folder = format!("/proc/{process}/task");
    let threads = fs::read_dir(&folder).with_context(|| format!("cannot list {folder}"))?;
    let mut times = BTreeMap::new();
    for thread in threads.flatten() {
        // A thread that has just ended has no time any more.
        let text = fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
        if let Some(Ok(time)) = text.split_ascii_whitespace().next().map(str::parse) {
            times.insert(thread.file_name().to_string_lossy().into_owned(), time);
        }
    }
    anyhow::ensure!(!times.is_empty(), "{folder} tells no times of threads");
    Ok(times)
}

/// All simulated hosts.
struct Choir {
    client: Client,
    voices: Vec<Voice>,
    heartbeat: String,
    scaled: String,
}

impl Choir {
    fn new(client: Client) -> Result<Self> {
        let subjects = Subjects::new(&LatticeName::new("default")?);
        Ok(Self {
            client,
            voices: (0..HOSTS).map(voice).collect::<Result<_>>()?,
            heartbeat: subjects.event(EventKind::HostHeartbeat),
            scaled: subjects.event(EventKind::ComponentScaled),
        })
    }

    async fn speak_once(&self) -> Result<()> {
        for voice in &self.voices {
            self.say(voice).await?;
        }
        Ok(self.client.flush().await?)
    }

    /// Speaks for so long, each host in its turn.
    async fn speak(&self, span: Duration) -> Result<()> {
        let rate = HOSTS as f64 / HEARTBEAT_EVERY.as_secs_f64() * f64::from(HASTE);
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut voices = self.voices.iter().cycle();
        let begin = Instant::now();
        let mut said = 0;
        while begin.elapsed() < span {
            ticks.tick().await;
            let due = (begin.elapsed().as_secs_f64() * rate) as usize;
            for voice in voices.by_ref().take(due.saturating_sub(said)) {
                self.say(voice).await?;
            }
            said = said.max(due);
        }
        Ok(self.client.flush().await?)
    }

    async fn say(&self, voice: &Voice) -> Result<()> {
        let heartbeat = voice.heartbeat.clone();
        self.client
            .publish(self.heartbeat.clone(), heartbeat)
            .await?;
        let scaled = voice.scaled.clone();
        Ok(self.client.publish(self.scaled.clone(), scaled).await?)
    }
}

fn voice(number: usize) -> Result<Voice> {
    // As long as the public key that a host has for its id.
    let id = HostId::new(format!("N{number:0>55}"))?;
    let components = (0..COMPONENTS).map(|it| ComponentDescription {
        id: format!("application-{}-component-{it}", number % 50),
        image_ref: format!("ghcr.io/example/application/component-{it}:1.4.2"),
        name: Some(format!("component-{it}")),
        annotations: [("wasmcloud.dev/managed-by".into(), "wadm".into())].into(),
        revision: 0,
        max_instances: 100,
        limits: None,
    });
    let inventory = HostInventory {
        components: components.collect(),
        host_id: id.to_string(),
        friendly_name: format!("simulated-host-{number}"),
        labels: [
            ("hostcore.os".into(), "linux".into()),
            ("hostcore.arch".into(), "x86_64".into()),
            ("zone".into(), format!("zone-{}", number % 3)),
        ]
        .into(),
        version: "1.9.2".to_owned(),
        uptime_human: "3h 12m 5s".to_owned(),
        uptime_seconds: 11_525,
        ..HostInventory::default()
    };
    let first = &inventory.components[0];
    let scaled = ComponentScaled {
        component_id: first.id.clone(),
        host_id: inventory.host_id.clone(),
        image_ref: first.image_ref.clone(),
        max_instances: first.max_instances,
        ..ComponentScaled::default()
    };
    Ok(Voice {
        scaled: CloudEvent::now(&id, Event::ComponentScaled(scaled)).encode(),
        heartbeat: CloudEvent::now(&id, Event::HostHeartbeat(inventory)).encode(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn what_simulated_hosts_say_is_understood() {
        let Voice { heartbeat, scaled } = voice(7).unwrap();
        let Event::HostHeartbeat(inventory) = CloudEvent::decode(&heartbeat).unwrap().event else {
            panic!("no heartbeat");
        };
        assert_eq!(inventory.components.len(), COMPONENTS);
        let scaled = CloudEvent::decode(&scaled).unwrap();
        assert_eq!(scaled.source, inventory.host_id);
        assert_eq!(scaled.event.kind(), Some(EventKind::ComponentScaled));
    }

    #[test]
    fn a_process_tells_its_time() {
        assert!(!processor_times(std::process::id()).unwrap().is_empty());
    }
}
