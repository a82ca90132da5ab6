//! The counters of components in the text format of OpenMetrics. A component is there as long as it runs
//! on this host, so that there are never more than it may run.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;
use trellis_engine::{DURATIONS, Reading};

/// What the components of a host have done.
#[derive(Debug)]
pub(super) struct Components(pub(super) Vec<Component>);

/// What one component has done.
#[derive(Debug)]
pub(super) struct Component {
    pub(super) id: String,
    pub(super) read: Reading,
    /// Calls that wait for an instance.
    pub(super) waiting: u32,
}

/// Reads one value of a component.
type Read = fn(&Component) -> u64;

type Written = Result<(), fmt::Error>;

impl Collector for Components {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Written {
        self.calls(&mut encoder)?;
        self.durations(&mut encoder)?;
        self.counters(&mut encoder)?;
        self.gauges(&mut encoder)
    }
}

impl Components {
    fn calls(&self, encoder: &mut DescriptorEncoder<'_>) -> Written {
        let help = "Calls that ended, HTTP requests included, by how they did";
        let counter = MetricType::Counter;
        let mut metric = encoder.encode_descriptor("component_calls", help, None, counter)?;
        for it in &self.0 {
            let failed = it.read.failed.iter();
            let failed = failed.map(|(class, count)| (class.name(), *count));
            for (outcome, count) in failed.chain([("ok", it.read.ok)]) {
                let labels = [("component", it.id.as_str()), ("outcome", outcome)];
                let mut metric = metric.encode_family(&labels)?;
                metric.encode_counter::<NoLabelSet, u64, u64>(&count, None)?;
            }
        }
        Ok(())
    }

    fn durations(&self, encoder: &mut DescriptorEncoder<'_>) -> Written {
        let family = Family {
            name: "component_call_duration",
            help: "How long calls took, the wait for an instance and the body of an answer included",
            unit: Some(&Unit::Seconds),
            kind: MetricType::Histogram,
        };
        self.each(encoder, family, |it, metric| {
            let bounds = DURATIONS.iter().map(|most| most.as_secs_f64());
            let bounds = bounds.chain([f64::INFINITY]);
            let groups: Vec<(f64, u64)> = bounds.zip(it.read.durations).collect();
            let count = it.read.durations.iter().sum();
            let sum = it.read.duration.as_secs_f64();
            metric.encode_histogram::<NoLabelSet>(sum, count, &groups, None)
        })
    }

    fn counters(&self, encoder: &mut DescriptorEncoder<'_>) -> Written {
        let cpu = Family {
            name: "component_cpu",
            help: "CPU time of calls, that of the components which they called on this host included",
            unit: Some(&Unit::Seconds),
            kind: MetricType::Counter,
        };
        self.each(encoder, cpu, |it, metric| {
            let seconds = it.read.cpu.as_secs_f64();
            metric.encode_counter::<NoLabelSet, f64, u64>(&seconds, None)
        })?;
        let made = Family {
            name: "component_instances_made",
            help: "Instances that were made",
            unit: None,
            kind: MetricType::Counter,
        };
        self.each(encoder, made, |it, metric| {
            metric.encode_counter::<NoLabelSet, u64, u64>(&it.read.instances_made, None)
        })
    }

    fn gauges(&self, encoder: &mut DescriptorEncoder<'_>) -> Written {
        let gauges: [(_, _, Read); 3] = [
            (
                "component_calls_in_flight",
                "Calls under way, those that wait for an instance included",
                |it| it.read.in_flight,
            ),
            (
                "component_calls_waiting",
                "Calls that wait for an instance",
                |it| u64::from(it.waiting),
            ),
            ("component_instances", "Instances that exist", |it| {
                it.read.instances
            }),
        ];
        for (name, help, value) in gauges {
            let family = Family {
                name,
                help,
                unit: None,
                kind: MetricType::Gauge,
            };
            self.each(encoder, family, |it, metric| {
                metric.encode_gauge(&i64::try_from(value(it)).unwrap_or(i64::MAX))
            })?;
        }
        Ok(())
    }

    /// Writes one value of every component.
    fn each(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        Family {
            name,
            help,
            unit,
            kind,
        }: Family,
        write: impl Fn(&Component, &mut MetricEncoder<'_>) -> Written,
    ) -> Written {
        let mut metric = encoder.encode_descriptor(name, help, unit, kind)?;
        for it in &self.0 {
            let labels = [("component", it.id.as_str())];
            let mut metric = metric.encode_family(&labels)?;
            write(it, &mut metric)?;
        }
        Ok(())
    }
}

/// What the values of one kind have in common.
struct Family {
    name: &'static str,
    help: &'static str,
    unit: Option<&'static Unit>,
    kind: MetricType,
}
