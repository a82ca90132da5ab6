//! A lattice played from a seed: several machines, a network that drops, repeats and delays, a store
//! whose notices come late or never, work that takes time and fails, hosts that are cut off or killed,
//! a store that is wiped, and clients that ask for anything at any time.
//!
//! `TRELLIS_SEED=n` plays one seed and prints every step; `TRELLIS_SEEDS=n` says how many to play.

mod checks;
mod client;
mod host;
mod store;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use self::world::World;

/// About five seconds in the dev profile.
const SEEDS_DEFAULT: u64 = 200;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn play(seed: u64, aloud: bool) {
    let mut world = World::new(seed, aloud);
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| world.play())) {
        // The same again, now with its steps.
        let mut again = World::new(seed, false);
        again.keep_steps();
        drop(catch_unwind(AssertUnwindSafe(|| again.play())));
        eprintln!("seed {seed} failed; the last steps were:");
        again.steps().for_each(|step| eprintln!("{step}"));
        eprintln!("play it again with TRELLIS_SEED={seed}");
        resume_unwind(panic);
    }
}

#[test]
fn lattices_of_many_seeds_keep_their_promises() {
    if let Some(seed) = number("TRELLIS_SEED") {
        return play(seed, true);
    }
    for seed in 0..number("TRELLIS_SEEDS").unwrap_or(SEEDS_DEFAULT) {
        play(seed, false);
    }
}

#[test]
fn a_seed_plays_the_same_way_twice() {
    let steps = |seed| {
        let mut world = World::new(seed, false);
        world.play();
        world.digest()
    };
    assert_eq!(steps(7), steps(7));
    assert_ne!(steps(7), steps(8));
}
