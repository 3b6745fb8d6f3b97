//! What a run is mostly about: drawn from its seed, so that the seed says it all.

use std::time::Duration;

use postrider_core::breaker::BreakerConfig;
use postrider_core::node::NodeConfig;

use crate::rng::Rng;
use crate::world::{Habits, secs};

/// What makes a run another one. Chances are in thousandths; those of acts are asked in this order.
#[derive(Clone, Debug)]
pub struct Options {
    /// That an act is a crash.
    pub crashes: u64,
    /// That the clock shows another time after it.
    pub jumps: u64,
    /// That an act is an edit.
    pub edits: u64,
    /// That it is work by hand: a retry, a withdrawal, a test.
    pub by_hand: u64,
    /// That it is a replay.
    pub replays: u64,
    /// That receivers, store or network change how they behave.
    pub faults: u64,
    /// That an endpoint is ordered.
    pub ordered: u64,
    /// That the operator is told what happens.
    pub told: bool,
    /// Endpoints at the beginning.
    pub endpoints: u64,
    /// Events of one burst, at most.
    pub burst: u64,
    /// Ordering keys.
    pub keys: u64,
    /// Pending work expires early.
    pub expires: bool,
    /// Tenants have quotas.
    pub quotas: bool,
    /// How store and network behave at first.
    pub habits: Habits,
    /// The bounds of the node.
    pub node: NodeConfig,
}

/// Work that stays pending for so long expires, where it expires early.
const EARLY: Duration = secs(900);

impl Options {
    /// Those of a seed.
    pub fn drawn(seed: u64) -> Self {
        let rng = &mut Rng::new(seed ^ 0x5EED);
        let expires = rng.chance(150);
        let often = |rng: &mut Rng, permille| if rng.chance(600) { permille } else { 0 };
        Self {
            crashes: often(rng, 50),
            jumps: rng.pick(&[0, 200]),
            edits: often(rng, 150),
            by_hand: often(rng, 150),
            replays: often(rng, 100),
            faults: rng.pick(&[50, 120, 200]),
            ordered: rng.pick(&[0, 600, 600, 1_000]),
            told: rng.chance(500),
            endpoints: rng.between(1, 4),
            burst: rng.pick(&[2, 5, 40, 90]),
            keys: rng.pick(&[1, 3, 12]),
            expires,
            quotas: rng.chance(150),
            habits: Habits {
                read_us: rng.pick(&[300, 1_000, 20_000]),
                commit_us: rng.pick(&[500, 2_000, 30_000]),
                commit_unknown: 600,
                ..Habits::default()
            },
            node: NodeConfig {
                window_entries: rng.pick(&[64, 64, 128, 1_024]),
                undurable_max: rng.pick(&[8, 4_096, 4_096]),
                max_in_flight: rng.pick(&[4, 16, 2_048]),
                backlog_max: rng.pick(&[60, 100_000, 100_000]),
                group_rows: rng.pick(&[16, 4_096]),
                breaker: BreakerConfig { probe_max: secs(60), ..BreakerConfig::default() },
                pending_max: if expires { EARLY } else { NodeConfig::default().pending_max },
                ..NodeConfig::default()
            },
        }
    }
}
