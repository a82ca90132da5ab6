//! Ways of calling between two processes, both ends of each. The published one is a binary of its own.

mod plain;
mod wrpc;

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::caller;

/// A way of calling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Way {
    /// A request and a reply of the NATS client
    Plain,
    /// wRPC of Trellis
    Wrpc,
}

/// One end of calls, in a process of its own.
#[derive(Args)]
pub(crate) struct End {
    /// How it is called
    way: Way,

    /// The NATS server
    url: String,
}

impl End {
    /// Serves until standard input ends.
    pub(crate) fn serve(self) -> Result<()> {
        let runtime = runtime()?;
        // What is served lives as long as this value.
        let _served: Box<dyn Send> = match self.way {
            Way::Plain => Box::new(runtime.block_on(plain::serve(&self.url))?),
            Way::Wrpc => Box::new(runtime.block_on(wrpc::serve(&self.url))?),
        };
        caller::stand_by()
    }

    /// Calls as standard input says.
    pub(crate) fn call(self) -> Result<()> {
        let runtime = runtime()?;
        match self.way {
            Way::Plain => caller::obey(&runtime, &runtime.block_on(plain::connect(&self.url))?),
            Way::Wrpc => caller::obey(&runtime, &runtime.block_on(wrpc::connect(&self.url))?),
        }
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    Ok(builder.enable_all().build()?)
}
