//! All state of one core. Nothing here is touched by another core, except the board of connection
//! counts, the mailbox, the rates of clients' keys and the signatures, which are made for it.

pub mod access;
pub mod board;
pub mod buffers;
pub mod cache;
pub mod capture;
pub mod deadline;
pub mod flight;
pub mod gate;
pub mod health;
pub mod mailbox;
pub mod outbox;
pub mod packer;
pub mod permit;
pub mod rates;
pub mod signatures;
pub mod state;
pub mod token;

pub use access::{Access, AccessCell};
pub use board::Board;
pub use buffers::{BUFFER_BYTES, Buffers, PIECE_BYTES};
pub use cache::{Cache, Change, Found, Fresh, Lead};
pub use capture::{Capture, Captured, Captures, Piece, Watch};
pub use deadline::{Deadline, Deadlines, Late};
pub use flight::{Head as FlightHead, Kept, Landing, Seat, Step};
pub use gate::{Gate, Place};
pub use health::{Health, Probe, Probes, Switch};
pub use mailbox::{Ask, Deed, Errand, Letter, Order, Page, Reply, Report, TokenReport};
pub use outbox::Outbox;
pub use packer::Packer;
pub use permit::{Permit, Permits};
pub use rates::{Lending, Limit, Limited, Rates, Reserved, Told, Turn};
pub use signatures::{Mark, Marker, Signatures};
pub use state::{FixedBody, Parts, Shard, Upstream};
pub use token::{Held, News, Token, TokenSlot};
