//! Drives the core's machines with real time, a store and real connections, and offers the service functions (publish,
//! create an endpoint, read the log ...) that every surface calls.
//!
//! **Knows**: the core's machines and types, the store's trait, the dispatcher. **Must not know**: SQL, routes, profiles'
//! surfaces. Everything that decides is in the core; here bytes and time are moved in and out of it.
#![forbid(unsafe_code)]

mod access;
mod attempt;
mod card_guard;
mod catalogue;
mod challenge;
mod clock;
mod deliveries;
mod directory;
mod driver;
mod endpoints;
pub mod error;
pub mod events;
mod feed;
mod figures;
mod issued;
pub mod limits;
pub mod log;
mod master_key;
mod moved;
mod oauth;
mod operational;
pub mod overview;
mod prepared;
mod private_file;
mod publish;
mod random;
mod readiness;
mod reading;
pub mod replays;
mod screens;
mod sealed;
mod slice;
mod start;
mod subjects;
mod tenants;
mod testing;
mod tokens;
mod turns;
mod workers;
mod writer;

use std::sync::Arc;

use postrider_core::time::Timestamp;
use postrider_store::Store;

pub use access::Denied;
pub use catalogue::EventType;
pub use clock::WallClock;
pub use directory::{Endpoint, Tenant, Token};
pub use driver::{EndpointState, EndpointStatus};
pub use endpoints::{EndpointView, Ownership};
pub use feed::Waiter;
pub use figures::EndpointStats;
pub use issued::Issued;
pub use master_key::{DatabaseKey, MasterKeyError, MasterKeySource, unlock};
pub use postrider_core::tenant::OPERATOR;
pub use postrider_store::{EventRow, FeedEntry, FeedPage};
pub use readiness::Readiness;
pub use slice::Slice;
pub use start::{EngineConfig, StartError};
pub use subjects::Subject;
pub use tokens::{AdminToken, AdminTokenError, MIN_OPERATOR_TOKEN, OPERATOR_TOKEN};
pub use workers::Workers;
pub use writer::WriterConfig;

use crate::directory::Directory;
use crate::driver::Driver;
use crate::reading::Admission;

/// A running engine. Cheap to clone; stopped once, by [`Engine::stop`].
#[derive(Clone)]
pub struct Engine(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) driver: Driver,
    pub(crate) directory: Arc<Directory>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) config: EngineConfig,
    pub(crate) by_hand: limits::ByHand,
    pub(crate) challenges: challenge::Challenges,
    pub(crate) admission: Admission,
    pub(crate) writer: parking_lot::Mutex<Option<start::WriterThread>>,
}

impl Engine {
    pub(crate) fn driver(&self) -> &Driver {
        &self.0.driver
    }

    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.0.store
    }

    /// Scheduling time.
    pub(crate) fn now(&self) -> Timestamp {
        self.0.driver.0.clock.now()
    }

    /// The threads that speak HTTP.
    pub fn workers(&self) -> &Workers {
        &self.0.driver.0.workers
    }

    /// How it was configured.
    pub fn config(&self) -> &EngineConfig {
        &self.0.config
    }
}
