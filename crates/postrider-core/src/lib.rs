//! Postrider's domain: types that parse at the edge, and pure state machines that decide what is delivered when.
//!
//! Nothing here does I/O, reads a clock, or draws a random number: inputs and time come in, effects go out. The engine
//! drives these machines with real sockets and a real store, a simulator with invented ones.
#![forbid(unsafe_code)]

pub mod breaker;
pub mod card;
pub mod challenge;
pub mod decimal;
pub mod endpoint;
pub mod event;
pub mod event_type;
pub mod fault;
pub mod fields;
pub mod filter;
pub mod id;
pub mod json;
pub mod key;
pub mod matching;
#[doc(hidden)]
pub mod mutation;
pub mod node;
pub mod oauth;
pub mod operational;
pub mod pace;
pub mod policy;
pub mod profile;
pub mod publication;
pub mod record;
pub mod replay;
pub mod retry;
pub mod schema;
pub mod seal;
pub mod secret;
mod shard;
pub mod signature;
pub mod subject;
pub mod subscription;
pub mod tenant;
pub mod time;
pub mod token;
pub mod wire;
