//! The machines that decide what is delivered when, driven by hand and at random over a model of the store.
#![forbid(unsafe_code)]

mod random;
mod rng;
mod store;
mod world;
