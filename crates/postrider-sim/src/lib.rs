//! The deterministic simulator: the core's own machines under a virtual clock, with a store, receivers, tenants and a
//! network that do what they should not, by seed.
//!
//! A [`World`](world::World) is all that is around a node, and checks after every step what was promised. Tests of the core
//! drive one by hand.

#![forbid(unsafe_code)]

pub mod campaign;
pub mod guarantee;
pub mod mutant;
pub mod options;
pub mod rng;
pub mod run;
mod scenario;
pub mod situation;
pub mod store;
pub mod told;
pub mod world;
