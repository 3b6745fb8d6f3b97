//! Connections: accepted within bounds, framed strictly, cut off when they idle or drip.

mod framing;
mod guarded;
mod serve;

#[cfg(feature = "fuzzing")]
pub(crate) use framing::differential::check as check_framing;
pub use serve::ServerConfig;
pub(crate) use serve::serve_with;
