//! The virtual executor: in-memory network, virtual clock, seeded order and faults.
