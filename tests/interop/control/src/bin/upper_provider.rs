//! A provider on the published SDK: it answers `trellis-examples:text/upper` for whoever is linked to it.
//!
//! A host of 1.x would start it; the tests do, with the same data on its standard input. A link must come before it
//! serves: its prefix, of the link's target config, begins each answer. Linked as the source, it calls the other end.

use std::sync::{Arc, RwLock};

use anyhow::{Context as _, Result};
use wasmcloud_provider_sdk::{
    Context, LinkConfig, LinkDeleteInfo, Provider, get_connection, run_provider,
    serve_provider_exports,
};

mod provides {
    wit_bindgen_wrpc::generate!({
        world: "provides-upper",
        path: "../../../examples/http-to-upper/wit",
    });
}
mod needs {
    wit_bindgen_wrpc::generate!({
        world: "needs-upper",
        path: "../../../examples/http-to-upper/wit",
    });
}

/// The answer for a source that is not linked.
const NOT_LINKED: &str = "not linked";

#[derive(Clone, Default)]
struct Upper {
    /// The source of the link and the prefix of its config.
    link: Arc<RwLock<Option<(String, String)>>>,
}

impl Upper {
    fn set(&self, link: Option<(String, String)>) {
        *self.link.write().unwrap_or_else(|it| it.into_inner()) = link;
    }
}

impl Provider for Upper {
    async fn receive_link_config_as_source(&self, link: LinkConfig<'_>) -> Result<()> {
        let client = get_connection().get_wrpc_client(link.target_id).await?;
        let text = link.config.get("text").context("no text")?;
        let answer = needs::trellis_examples::text::upper::upper(&client, None, text).await?;
        println!("answered {answer}");
        Ok(())
    }

    async fn receive_link_config_as_target(&self, link: LinkConfig<'_>) -> Result<()> {
        let prefix = link.config.get("prefix").context("no prefix")?;
        self.set(Some((link.source_id.to_owned(), prefix.clone())));
        println!("linked {}", link.source_id);
        Ok(())
    }

    async fn delete_link_as_target(&self, link: impl LinkDeleteInfo) -> Result<()> {
        self.set(None);
        println!("unlinked {}", link.get_source_id());
        Ok(())
    }
}

impl provides::exports::trellis_examples::text::upper::Handler<Option<Context>> for Upper {
    async fn upper(&self, context: Option<Context>, text: String) -> Result<String> {
        let context = context.context("no headers")?;
        let source = context.component.clone().context("no source")?;
        let link = self.link.read().unwrap_or_else(|it| it.into_inner());
        let answer = match &*link {
            Some((linked, prefix)) if *linked == source => {
                format!("{prefix} {} {}", context.link_name(), text.to_uppercase())
            }
            _ => NOT_LINKED.to_owned(),
        };
        Ok(answer)
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let provider = Upper::default();
    let shutdown = run_provider(provider.clone(), "upper-provider").await?;
    let connection = get_connection();
    let client = connection
        .get_wrpc_client(connection.provider_key())
        .await?;
    println!("ready");
    serve_provider_exports(&client, provider, shutdown, provides::serve).await
}
