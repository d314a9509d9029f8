//! What several gateways share, over Redis or Valkey. Everything here that asks the store blocks,
//! so nothing of it is called on a core, and no request waits for it.

mod budgets;
mod parcels;
mod round;
mod server;

pub use budgets::{Budgets, Question};
pub use parcels::Received;
pub use round::{Ear, LeaseWatch, News, Outgoing, Sharing, SharingError};
pub use server::{Asked, ServerError, Store, Told};
