//! One pure file per vendor: a chat request goes out, events come in.
