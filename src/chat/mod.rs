//! The hub: OpenAI bytes on one side, vendor-neutral chat events on the other.
