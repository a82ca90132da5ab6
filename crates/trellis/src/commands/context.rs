//! `trellis context`: how to reach lattices, kept by name.

mod del;
mod list;
mod put;
mod select;
mod show;

use clap::{Args, Subcommand};

use crate::failure::Failure;

/// Keep how to reach a lattice under a name, and choose one
#[derive(Args, Debug)]
pub(crate) struct Context {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    List(list::List),
    Show(show::Show),
    Select(select::Select),
    Put(Box<put::Put>),
    Del(del::Del),
}

pub(crate) fn run(context: Context) -> Result<(), Failure> {
    match context.what {
        What::List(it) => list::run(&it),
        What::Show(it) => show::run(&it),
        What::Select(it) => select::run(&it),
        What::Put(it) => put::run(&it),
        What::Del(it) => del::run(&it),
    }
}
