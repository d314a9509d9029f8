//! Shares of traffic as whole numbers.

use super::model::Share;

/// The largest weight of a target.
const WEIGHT_MAX: f64 = 1_000_000.0;

/// The weights of a group's deployments, as `LiteLLM` draws them: by `weight` where one has it,
/// else by requests or tokens per minute, else alike. 0 is for those that are not drawn.
pub(super) fn weights(shares: &[Share]) -> Vec<u64> {
    let all = |of: fn(&Share) -> Option<f64>| -> Option<Vec<f64>> {
        let found: Vec<f64> = shares.iter().map(|share| of(share).unwrap_or(0.0)).collect();
        found.iter().any(|weight| *weight > 0.0).then_some(found)
    };
    let said = all(|share| share.weight)
        .or_else(|| all(|share| share.requests))
        .or_else(|| all(|share| share.tokens));
    let Some(said) = said else { return vec![1; shares.len()] };
    let most = said.iter().copied().fold(0.0, f64::max);
    let fraction = said.iter().any(|weight| weight.fract() > 0.0);
    let scale = if most > WEIGHT_MAX {
        WEIGHT_MAX / most
    } else if fraction {
        (WEIGHT_MAX / most).min(1000.0)
    } else {
        1.0
    };
    let whole: Vec<u64> = said.iter().map(|weight| rounded(weight * scale, *weight)).collect();
    let divisor = whole.iter().copied().fold(0, gcd).max(1);
    whole.into_iter().map(|weight| weight / divisor).collect()
}

/// The whole number next to `number`; what was more than nothing stays that.
fn rounded(number: f64, before: f64) -> u64 {
    let text = format!("{:.0}", number.clamp(0.0, WEIGHT_MAX));
    let whole: u64 = text.parse().unwrap_or(0);
    whole.max(u64::from(before > 0.0))
}

/// The greatest common divisor.
pub(super) fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_keep_their_proportions() {
        let share = |weight, requests, tokens| Share { weight, requests, tokens };
        let none = Share::default();
        assert_eq!(weights(&[none, none]), [1, 1]);
        let (a, b) = (share(Some(0.7), None, None), share(Some(0.3), Some(5.0), None));
        assert_eq!(weights(&[a, b]), [7, 3]);
        assert_eq!(weights(&[a, none]), [1, 0], "who has no weight is not drawn");
        let (a, b) = (share(None, Some(60.0), Some(1.0)), share(None, Some(20.0), Some(9.0)));
        assert_eq!(weights(&[a, b]), [3, 1]);
        let (a, b) = (share(None, None, Some(2e9)), share(None, None, Some(1.0)));
        assert_eq!(weights(&[a, b]), [1_000_000, 1]);
        assert_eq!(weights(&[share(Some(0.0), None, None)]), [1], "nobody has a share");
    }
}
