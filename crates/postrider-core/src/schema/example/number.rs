//! A number within the limits of its schemas.

use serde_json::{Number, Value};

use super::Wishes;

/// What a number is unless its schemas say otherwise.
const USUAL: f64 = 1.0;

/// A number near the usual one; `nth` tells it apart from its neighbours.
pub(super) fn of(wishes: &Wishes<'_>, whole: bool, nth: u64) -> Option<Number> {
    let all = |keyword: &'static str| {
        wishes.iter().filter_map(move |wish| wish.get(keyword).and_then(Value::as_f64))
    };
    let least = all("minimum").chain(all("exclusiveMinimum")).reduce(f64::max);
    let most = all("maximum").chain(all("exclusiveMaximum")).reduce(f64::min);
    let excluded = |number: f64| {
        all("exclusiveMinimum").any(|end| number <= end) || all("exclusiveMaximum").any(|end| number >= end)
    };
    let step = all("multipleOf").reduce(f64::max).unwrap_or(if whole { 1.0 } else { 0.0 });
    let on_step = |number: f64, round: fn(f64) -> f64| {
        if step > 0.0 { round(number / step) * step } else { number }
    };
    #[allow(clippy::cast_precision_loss, reason = "a few")]
    let apart = nth as f64 * if step > 0.0 { step } else { 1.0 };
    let mut candidates = vec![on_step(USUAL, f64::ceil)];
    if let Some(least) = least {
        candidates.extend([on_step(least, f64::ceil), on_step(least, f64::ceil) + step.max(f64::EPSILON)]);
    }
    if let Some(most) = most {
        candidates.extend([on_step(most, f64::floor), on_step(most, f64::floor) - step.max(f64::EPSILON)]);
    }
    if let (Some(least), Some(most)) = (least, most) {
        candidates.push(on_step(f64::midpoint(least, most), f64::round));
    }
    let fits = |number: &f64| {
        least.is_none_or(|least| *number >= least)
            && most.is_none_or(|most| *number <= most)
            && !excluded(*number)
    };
    let number = candidates.into_iter().find(fits)?;
    written(if fits(&(number + apart)) { number + apart } else { number })
}

/// Without a fraction where there is none: `1`, not `1.0`.
fn written(number: f64) -> Option<Number> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() <= EXACT {
        #[allow(clippy::cast_possible_truncation, reason = "whole, and below 2^53")]
        return Some((number as i64).into());
    }
    Number::from_f64(number)
}
