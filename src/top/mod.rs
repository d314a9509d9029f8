//! `vertex-bridge top`: the dashboard in a terminal. It asks the admin API as a browser does, of
//! this machine or another one, and knows nothing that the API does not tell.

mod ask;
mod figures;
mod lists;
mod run;
mod screen;
mod sight;
mod words;

pub use ask::Gateway;
pub use run::{let_go, once, watch};
