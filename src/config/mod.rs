//! Text and variables to one checked `Config`; every limit with its reason.
