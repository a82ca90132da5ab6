//! The clients: random requests, of few ids, so that they meet.

use bytes::Bytes;
use fastrand::Rng;
use trellis_control::{
    ComponentAuctionRequest, ConfigName, DeleteLink, DescribeCommand, DrainAction, DrainCommand,
    Label, LabelKey, Link, Request, ScaleComponentCommand, StartProviderCommand,
    StopProviderCommand, TextMap, UpdateComponentCommand, encode,
};
use trellis_node::SINGLETON_ANNOTATION;

/// Makes requests.
pub(super) struct Client {
    pub(super) links: u64,
    pub(super) configs: u64,
    /// Whether singletons are asked for.
    pub(super) singletons: bool,
}

impl Client {
    pub(super) fn request(&mut self, rng: &mut Rng) -> Request {
        match rng.u32(0..100) {
            0..30 => Request::ComponentScale(self.scale(rng)),
            30..36 => Request::ComponentUpdate(UpdateComponentCommand {
                component_id: component(rng),
                new_component_ref: image(rng),
                ..UpdateComponentCommand::default()
            }),
            36..42 => Request::ProviderStart(StartProviderCommand {
                provider_id: provider(rng),
                provider_ref: image(rng),
                annotations: self.annotations(rng),
                ..StartProviderCommand::default()
            }),
            42..47 => Request::ProviderStop(StopProviderCommand {
                provider_id: provider(rng),
                ..StopProviderCommand::default()
            }),
            47..60 => Request::LinkPut(self.link(rng)),
            60..64 => Request::LinkDelete(self.deletion(rng)),
            64..74 => self.config(rng),
            74..76 => Request::ConfigDelete(config_name(rng.u64(0..=self.configs))),
            76..80 => Request::ConfigGet(config_name(rng.u64(0..=self.configs))),
            80..84 => Request::HostGet,
            84..86 => Request::HostPing,
            86..88 => Request::LinkGet,
            88..90 => Request::ClaimsGet,
            90..93 => Request::ComponentAuction(ComponentAuctionRequest {
                component_ref: image(rng),
                component_id: component(rng),
                ..ComponentAuctionRequest::default()
            }),
            93..94 => Request::LabelPut(Label {
                key: format!("k{}", rng.u32(0..4)),
                value: "v".to_owned(),
            }),
            94..95 => Request::LabelDelete(LabelKey {
                key: format!("k{}", rng.u32(0..4)),
            }),
            95..96 => Request::Describe(DescribeCommand {
                component_id: component(rng),
            }),
            96..98 => Request::Status,
            98..99 => drain(DrainAction::Drain),
            _ => drain(DrainAction::Resume),
        }
    }

    fn scale(&self, rng: &mut Rng) -> ScaleComponentCommand {
        ScaleComponentCommand {
            component_ref: image(rng),
            component_id: component(rng),
            count: rng.u32(0..4),
            allow_update: rng.bool(),
            annotations: self.annotations(rng),
            ..ScaleComponentCommand::default()
        }
    }

    fn annotations(&self, rng: &mut Rng) -> TextMap {
        match self.singletons && rng.u32(0..4) == 0 {
            true => TextMap::from([(SINGLETON_ANNOTATION.to_owned(), "true".to_owned())]),
            false => TextMap::new(),
        }
    }

    /// A link of its own name, on one of few sources.
    fn link(&mut self, rng: &mut Rng) -> Link {
        self.links += 1;
        Link {
            source_id: component(rng),
            target: provider(rng),
            name: format!("l{}", self.links),
            wit_namespace: "wasi".to_owned(),
            wit_package: "keyvalue".to_owned(),
            interfaces: vec!["store".to_owned()],
            target_config: match rng.u32(0..3) {
                0 => vec![config_name(rng.u64(0..=self.configs)).as_str().to_owned()],
                _ => Vec::new(),
            },
            ..Link::default()
        }
    }

    fn deletion(&self, rng: &mut Rng) -> DeleteLink {
        DeleteLink {
            source_id: component(rng),
            name: format!("l{}", rng.u64(0..=self.links)),
            wit_namespace: "wasi".to_owned(),
            wit_package: "keyvalue".to_owned(),
            target: None,
        }
    }

    fn config(&mut self, rng: &mut Rng) -> Request {
        self.configs += 1;
        let values = TextMap::from([("n".to_owned(), rng.u32(..).to_string())]);
        let bytes: Bytes = encode(&values);
        Request::ConfigPut {
            name: config_name(self.configs),
            values,
            bytes,
        }
    }
}

fn config_name(number: u64) -> ConfigName {
    ConfigName::new(format!("c{number}")).unwrap()
}

fn component(rng: &mut Rng) -> String {
    format!("component-{}", rng.u32(0..5))
}

fn provider(rng: &mut Rng) -> String {
    format!("provider-{}", rng.u32(0..3))
}

fn image(rng: &mut Rng) -> String {
    format!("reg.local/image:{}", rng.u32(0..3))
}

pub(super) fn drain(action: DrainAction) -> Request {
    Request::Drain(DrainCommand {
        action,
        timeout_ms: None,
    })
}
