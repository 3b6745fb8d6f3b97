//! Connections: accepted within bounds, framed strictly, cut off when they idle or drip.

mod framing;
mod guarded;
mod serve;

pub use serve::ServerConfig;
pub(crate) use serve::serve_with;
