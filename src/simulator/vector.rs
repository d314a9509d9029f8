//! Vectors of numbers that depend on a text alone, for all endpoints that embed.

use super::seal;

/// A vector of length one, so that its numbers are as small as real ones.
pub(super) fn embed(text: &str, dimensions: u32) -> Vec<f32> {
    let count = usize::try_from(dimensions).unwrap_or(0);
    let raw: Vec<f32> =
        seal::numbers_of(text).take(count).map(|byte| f32::from(byte) / 255.0 - 0.5).collect();
    let length = raw.iter().map(|value| value * value).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    raw.into_iter().map(|value| value / length).collect()
}

/// The vector as JSON.
pub(super) fn json(vector: &[f32]) -> String {
    let numbers: Vec<String> = vector.iter().map(|value| format!("{value:?}")).collect();
    format!("[{}]", numbers.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_have_length_one_and_depend_on_the_text() {
        let one = embed("abc", 100);
        let length: f32 = one.iter().map(|value| value * value).sum();
        assert!((length - 1.0).abs() < 1e-4 && one.len() == 100, "{length}");
        assert_eq!(one, embed("abc", 100));
        assert_ne!(one, embed("abd", 100));
        let read: Vec<f32> = serde_json::from_str(&json(&one)).unwrap();
        assert_eq!(read, one);
    }
}
