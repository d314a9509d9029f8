//! A second opinion on JSON: serde's, without a tree and without a limit of depth.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// Is it one JSON text?
pub(super) fn is_json(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok() && serde_json::from_slice::<IgnoredAny>(text).is_ok()
}

/// How deep brackets nest, outside of strings.
pub(super) fn depth(json: &str) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// An object whose keys are all different, with its values as they are spelt.
#[derive(Debug)]
pub(super) struct Unique<'j>(pub(super) BTreeMap<String, &'j RawValue>);

impl<'de: 'j, 'j> Deserialize<'de> for Unique<'j> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = BTreeMap<String, &'de RawValue>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = BTreeMap::new();
                while let Some((key, value)) = map.next_entry::<&'de RawValue, &'de RawValue>()? {
                    // One with half a surrogate is no text to serde, and stays as it is spelt.
                    let key = serde_json::from_str(key.get()).unwrap_or_else(|_| key.to_string());
                    let before = members.insert(key, value);
                    assert!(before.is_none(), "a key stands twice: {members:?}");
                }
                Ok(members)
            }
        }

        deserializer.deserialize_map(Members).map(Self)
    }
}

/// The members of an object in their order, keys and values as they are spelt. A key may stand
/// twice.
#[derive(Debug)]
pub(super) struct Members<'j>(pub(super) Vec<(&'j str, &'j str)>);

impl<'j> Members<'j> {
    /// Of a text that is known to be an object.
    pub(super) fn of(text: &'j str) -> Self {
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// All with this name, however that is spelt.
    pub(super) fn named(&self, name: &str) -> impl Iterator<Item = &'j str> {
        self.0.iter().filter(move |(key, _)| is_named(key, name)).map(|(_, value)| *value)
    }
}

/// Does this key, with its quotes, mean that name? One with half a surrogate means none of ours.
pub(super) fn is_named(key: &str, name: &str) -> bool {
    serde_json::from_str::<String>(key).is_ok_and(|key| key == name)
}

impl<'de: 'j, 'j> Deserialize<'de> for Members<'j> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Vec<(&'de str, &'de str)>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((key, value)) = map.next_entry::<&'de RawValue, &'de RawValue>()? {
                    members.push((key.get(), value.get()));
                }
                Ok(members)
            }
        }

        deserializer.deserialize_map(InOrder).map(Self)
    }
}
