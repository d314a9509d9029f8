//! The virtual executor: in-memory network, virtual clock, seeded order and faults.
//!
//! A run is decided by its seed alone: the order in which ready tasks are polled, how long bytes
//! travel, how short reads are, and which connection breaks in which way. Time passes only when
//! nothing is ready, so an hour of timeouts takes microseconds. What the real backends forbid is
//! noticed here and counted as a violation: a dropped read, two reads at once, a read without
//! room.

mod net;
mod pipe;
mod world;

pub use net::{VirtConn, VirtListener, VirtPeer, VirtSocket};
pub use world::{FaultKind, Faults, Stuck, Virt, Witness};
