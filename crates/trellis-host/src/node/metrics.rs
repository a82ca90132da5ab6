//! What a host tells of itself to who watches it: metrics in the text format of OpenMetrics.

mod components;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use tokio::task::JoinHandle;
use trellis_control::HostMode;
use trellis_core::ErrorClass;
use trellis_engine::ComponentHandle;
use trellis_gateway::{
    BindError, Config, DrainReport, Handler, HandlerFuture, Refusal, RequestBody, ResponseBody,
    Route, RouteTable, ShutdownTrigger, shutdown_channel,
};

use self::components::{Component, Components};
use super::Node;

/// The path of the metrics.
const PATH: &str = "/metrics";
/// The content type of the text format, as its specification has it.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Why metrics are not served.
#[derive(Debug, thiserror::Error)]
#[error("cannot serve metrics")]
pub struct MetricsError(#[source] BindError);

/// The address that serves the metrics of a host, for as long as this value lives.
pub struct Metrics {
    figures: Arc<ArcSwap<Figures>>,
    address: SocketAddr,
    _trigger: ShutdownTrigger,
    task: JoinHandle<DrainReport>,
}

/// What is told at one time.
pub(super) struct Figures {
    pub(super) mode: HostMode,
    pub(super) mode_for: Duration,
    pub(super) is_connected: bool,
    pub(super) connects: u64,
    pub(super) messages_dropped: u64,
    pub(super) refusals: u64,
    pub(super) components: usize,
    /// Those components whose counters are read when somebody asks.
    pub(super) handles: Vec<Arc<ComponentHandle>>,
    pub(super) providers: usize,
    pub(super) calls_open: usize,
}

impl Figures {
    /// What is so before a host runs.
    const NONE: Self = Self {
        mode: HostMode::Detached,
        mode_for: Duration::ZERO,
        is_connected: false,
        connects: 0,
        messages_dropped: 0,
        refusals: 0,
        components: 0,
        handles: Vec::new(),
        providers: 0,
        calls_open: 0,
    };
}

impl Metrics {
    /// Serves the metrics of a host on `address`, at the path `/metrics`.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub async fn serve(address: SocketAddr) -> Result<Self, MetricsError> {
        let gateway = Config::new(address).bind().await.map_err(MetricsError)?;
        let figures = Arc::new(ArcSwap::from_pointee(Figures::NONE));
        let route = Route {
            name: "metrics".to_owned(),
            host: None,
            path_prefix: PATH.to_owned(),
            handler: Arc::new(Scrape(figures.clone())),
        };
        let routes = RouteTable::new(vec![route]).expect("one route collides with no other");
        let address = gateway.local_addr();
        let (trigger, signal) = shutdown_channel();
        let task = tokio::spawn(gateway.run(Arc::new(ArcSwap::from_pointee(routes)), signal));
        Ok(Self {
            figures,
            address,
            _trigger: trigger,
            task,
        })
    }

    /// Returns where they are, such as `http://127.0.0.1:9464/metrics`.
    pub fn url(&self) -> String {
        format!("http://{}{PATH}", self.address)
    }

    /// Tells these figures from now on.
    pub(super) fn tell(&self, figures: Figures) {
        self.figures.store(Arc::new(figures));
    }
}

impl Node {
    /// Tells who watches how this host is now.
    pub(super) fn tell_figures(&self) {
        let Some(metrics) = &self.metrics else {
            return;
        };
        let connection = self.lattice.state().borrow().clone();
        let machine = &self.machine;
        metrics.tell(Figures {
            mode: machine.mode(),
            mode_for: Duration::from_millis(self.now().0.saturating_sub(machine.mode_since().0)),
            is_connected: connection.is_connected(),
            connects: connection.connects,
            messages_dropped: connection.messages_dropped,
            refusals: connection.refusals,
            components: machine.components().count(),
            handles: self.host.catalog.handles(),
            providers: machine.providers().count(),
            calls_open: self.transport.calls_open(),
        });
    }
}

impl Drop for Metrics {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Answers who asks for the metrics.
struct Scrape(Arc<ArcSwap<Figures>>);

impl Handler for Scrape {
    fn call(&self, request: Request<RequestBody>) -> HandlerFuture {
        let figures = self.0.load_full();
        Box::pin(async move {
            if !matches!(*request.method(), Method::GET | Method::HEAD) {
                let mut response = Response::new(ResponseBody::empty());
                *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
                return Ok(response);
            }
            let text = text(&figures).map_err(|error| {
                tracing::error!(%error, "the metrics cannot be written");
                Refusal::new(ErrorClass::Unavailable, "the metrics cannot be written")
            })?;
            let mut response = Response::new(ResponseBody::from(text));
            let kind = HeaderValue::from_static(CONTENT_TYPE);
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
            Ok(response)
        })
    }
}

/// Reads the counters of the components that run.
fn read(handles: &[Arc<ComponentHandle>]) -> Components {
    let running = handles.iter().filter_map(|handle| {
        let generation = handle.generation()?;
        Some(Component {
            id: handle.id().to_string(),
            read: generation.figures().read(),
            waiting: generation.calls_waiting(),
        })
    });
    Components(running.collect())
}

fn text(figures: &Figures) -> Result<String, std::fmt::Error> {
    let mut registry = Registry::with_prefix("trellis");
    let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
    registry.register("build", "The version of Trellis", version);
    let modes = Family::<[(&'static str, &'static str); 1], Gauge>::default();
    for mode in HostMode::ALL {
        let gauge = modes.get_or_create(&[("mode", mode.name())]);
        gauge.set(i64::from(mode == figures.mode));
    }
    registry.register(
        "host_mode",
        "The mode of the host: 1 for the one it is in",
        modes,
    );
    registry.register_with_unit(
        "host_mode_age",
        "How long the host has been in its mode",
        Unit::Seconds,
        ConstGauge::new(figures.mode_for.as_secs_f64()),
    );
    let gauges = [
        (
            "lattice_connected",
            "Whether messages reach the lattice",
            i64::from(figures.is_connected),
        ),
        (
            "components",
            "Components that run",
            count(figures.components),
        ),
        ("providers", "Providers that run", count(figures.providers)),
        (
            "lattice_calls_open",
            "Calls from and to other hosts that are under way",
            count(figures.calls_open),
        ),
    ];
    for (name, help, value) in gauges {
        registry.register(name, help, ConstGauge::new(value));
    }
    let counters = [
        (
            "lattice_connects",
            "How often the connection to the lattice was established",
            figures.connects,
        ),
        (
            "lattice_messages_dropped",
            "Messages of the lattice that this host was too slow for",
            figures.messages_dropped,
        ),
        (
            "lattice_refusals",
            "What the lattice's server did not permit this host",
            figures.refusals,
        ),
    ];
    for (name, help, value) in counters {
        registry.register(name, help, ConstCounter::new(value));
    }
    registry.register_collector(Box::new(read(&figures.handles)));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mode_that_the_host_is_in_is_the_one_that_is_one() {
        let figures = Figures {
            mode: HostMode::StoreRewound,
            mode_for: Duration::from_millis(1_500),
            connects: 3,
            ..Figures::NONE
        };
        let text = text(&figures).unwrap_or_default();
        for line in [
            "trellis_host_mode{mode=\"store_rewound\"} 1",
            "trellis_host_mode{mode=\"joined\"} 0",
            "trellis_host_mode_age_seconds 1.5",
            "trellis_lattice_connects_total 3",
            "trellis_build_info{version=",
            "# EOF",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
    }
}
