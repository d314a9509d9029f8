//! What answer an order leads to.

use crate::chat::Request;

use super::order::{Order, Vendor};

/// Which answer is expected.
#[expect(clippy::struct_excessive_bools, reason = "each is one decision of its own")]
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    /// Whose answer.
    pub vendor: Vendor,
    /// In events instead of whole.
    pub stream: bool,
    /// How many answers in one were asked for.
    pub choices: u32,
    /// Decides the ids of calls that the vendor gives none.
    pub seed: u64,
    /// Google's marks on calls stand in the ids of the calls.
    pub signature_in_id: bool,
    /// Calls behind the first one are left away.
    pub first_call_only: bool,
}

impl Expected {
    /// The plain answer of a vendor, as it is without any wish of the operator's.
    pub const fn plain(vendor: Vendor, stream: bool, choices: u32, seed: u64) -> Self {
        Self { vendor, stream, choices, seed, signature_in_id: false, first_call_only: false }
    }

    /// What answers an order.
    pub fn of(order: &Order<'_>, request: &Request<'_>, seed: u64) -> Self {
        let alone = request.tools.parallel == Some(false);
        Self {
            vendor: order.vendor,
            stream: request.stream,
            choices: request.options.n.unwrap_or(1),
            seed,
            signature_in_id: order.rules.signature_in_id,
            first_call_only: order.rules.first_call_only && alone,
        }
    }
}
