//! The query of a request's target: names and values, decoded (RFC 3986 section 2.1, with `+` for a
//! space as forms have it).

use std::collections::BTreeMap;

/// Names and their values. Of a name that comes twice, the last value counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Query(BTreeMap<String, String>);

impl Query {
    pub(super) fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        Self(pairs.map(|(name, value)| (decoded(name), decoded(value))).collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A whole number up to `most`; the error is the name of what is none.
    pub(super) fn number(
        &self,
        name: &'static str,
        most: u64,
    ) -> Result<Option<u64>, &'static str> {
        let Some(text) = self.get(name).filter(|text| !text.is_empty()) else { return Ok(None) };
        let number: u64 = text.parse().map_err(|_no_number| name)?;
        if number <= most { Ok(Some(number)) } else { Err(name) }
    }
}

/// A text without its percent signs. What is not UTF-8 then matches nothing.
pub(super) fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, tail) {
            (b'+', _) => bytes.push(b' '),
            (b'%', [high, low, behind @ ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => {
                    bytes.push(high << 4 | low);
                    rest = behind;
                }
                _ => bytes.push(b'%'),
            },
            _ => bytes.push(*first),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_decoded() {
        let query = Query::parse("q=a%20b+c%zz&limit=7&limit=8&flag&%6bey=%C3%A9&=x");
        assert_eq!(query.get("q"), Some("a b c%zz"));
        assert_eq!(query.get("flag"), Some(""));
        assert_eq!(query.get("key"), Some("é"));
        assert_eq!(query.number("limit", 8), Ok(Some(8)));
        assert_eq!(query.number("limit", 7), Err("limit"));
        assert_eq!(query.number("q", 7), Err("q"));
        assert_eq!(query.number("flag", 7), Ok(None));
        assert_eq!(Query::parse("").get("q"), None);
    }
}
