//! The server as a whole: what is published against what arrives, one module for each promise.

mod access;
mod batches;
mod breaker;
mod crashes;
mod delivery;
mod disk;
mod durability;
mod endpoint_fields;
mod events;
mod feed;
mod filters;
mod idempotency;
mod layouts;
mod lifecycle;
mod limits;
mod log;
mod memory;
mod ordering;
mod overview;
mod own_network;
mod quotas;
mod receivers;
mod retries;
mod rotation;
mod secrets;
mod start;
mod tls;

mod abuse_callers;
mod abuse_cards;
mod abuse_connections;
mod abuse_endpoints;
mod abuse_input;
mod abuse_receivers;
