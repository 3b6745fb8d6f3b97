//! Postrider's domain: types that parse at the edge, and pure state machines that decide what is delivered when.
//!
//! Nothing here does I/O, reads a clock, or draws a random number: inputs and time come in, effects go out. The engine
//! drives these machines with real sockets and a real store, a simulator with invented ones.
#![forbid(unsafe_code)]

pub mod id;
pub mod key;
pub mod record;
pub mod time;
