//! The distribution of a value's numbers, and the range that integers should cover.
//!
//! Numbers are counted in bins of equal width, as many below 0 as above. If a number is beyond the
//! last bin, the width doubles and bins join in pairs. So the counts do not depend on the order in
//! which numbers arrive.

/// How the range of a value follows from the numbers that it has had. Zero is always in it, and
/// numbers beyond it become its ends.
///
/// ```
/// # use sepconv::network::RangeRule;
/// assert_eq!(RangeRule::default(), RangeRule::MeanSquare);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub enum RangeRule {
    /// From the least to the largest number.
    MinMax,
    /// The same without the most distant numbers: this share of them, in percent, is inside, and
    /// half of the others on each side beyond.
    Percentile(f64),
    /// The range whose integers have the least mean square error.
    #[default]
    MeanSquare,
}

/// Bins on each side of 0. A step of the range's integers has 8 or more.
const HALF: usize = 2048;

/// The numbers that a value has had.
#[derive(Debug, Clone)]
pub(super) struct Observer {
    least: f32,
    largest: f32,
    count: u64,
    /// Numbers that are 0, which every quantization has exactly.
    zeros: u64,
    /// Bins end at −limit and limit, a power of two.
    limit: f64,
    bins: Vec<u64>,
}

impl Observer {
    pub(super) fn new() -> Self {
        let limit = f64::from(f32::MIN_POSITIVE);
        let (least, largest) = (f32::INFINITY, f32::NEG_INFINITY);
        Self { least, largest, count: 0, zeros: 0, limit, bins: vec![0; 2 * HALF] }
    }

    /// Counts finite numbers. None if one is not: its index.
    pub(super) fn add(&mut self, numbers: &[f32]) -> Result<(), usize> {
        if let Some(i) = numbers.iter().position(|x| !x.is_finite()) {
            return Err(i);
        }
        for &x in numbers {
            self.least = self.least.min(x);
            self.largest = self.largest.max(x);
        }
        self.count += numbers.len() as u64;
        let magnitude = f64::from(self.least.abs().max(self.largest.abs()));
        while !numbers.is_empty() && magnitude > self.limit {
            self.widen();
        }
        let per_bin = HALF as f64 / self.limit;
        for &x in numbers {
            let bin = (f64::from(x) * per_bin).floor() + HALF as f64;
            self.bins[(bin as usize).min(2 * HALF - 1)] += 1;
            self.zeros += u64::from(x == 0.0);
        }
        Ok(())
    }

    /// Doubles the width of the bins.
    fn widen(&mut self) {
        self.limit *= 2.0;
        let mut bins = vec![0; 2 * HALF];
        for (i, count) in self.bins.iter().enumerate() {
            bins[(i + HALF) / 2] += count;
        }
        self.bins = bins;
    }

    /// The range, with 0.
    pub(super) fn range(&self, rule: RangeRule) -> [f32; 2] {
        let all = [self.least.min(0.0), self.largest.max(0.0)];
        match rule {
            _ if self.count == 0 => [0.0; 2],
            RangeRule::MinMax => all,
            RangeRule::Percentile(percent) => self.percentile(percent, all),
            RangeRule::MeanSquare => self.mean_square(all),
        }
    }

    /// Where bin i begins.
    fn edge(&self, i: usize) -> f64 {
        (i as f64 - HALF as f64) * self.limit / HALF as f64
    }

    fn percentile(&self, percent: f64, [least, largest]: [f32; 2]) -> [f32; 2] {
        let beyond = (1.0 - percent / 100.0).clamp(0.0, 1.0) * self.count as f64 / 2.0;
        let [lo, hi] = [false, true].map(|from_above| {
            let mut left = beyond;
            let is_end = |&i: &usize| {
                left -= self.bins[i] as f64;
                left < 0.0
            };
            let last = 2 * HALF - 1;
            let bin = (0..=last).map(|i| if from_above { last - i } else { i }).find(is_end);
            self.edge(bin.unwrap_or(HALF) + usize::from(from_above)) as f32
        });
        [lo.clamp(least, 0.0), hi.clamp(0.0, largest)]
    }

    /// Tries shares of both ends by turns.
    fn mean_square(&self, all: [f32; 2]) -> [f32; 2] {
        let [mut lo, mut hi] = all.map(f64::from);
        // From the whole end to 1/16 of it.
        let shares = || (0..=64).map(|i| 2.0_f64.powf(f64::from(-i) / 16.0));
        let best = |of: &dyn Fn(f64) -> [f64; 2]| {
            let pairs = shares().map(|share| (self.error(of(share)), share));
            pairs.min_by(|a, b| a.0.total_cmp(&b.0)).map_or(1.0, |(_, share)| share)
        };
        let [least, largest] = [lo, hi];
        for _ in 0..3 {
            hi = largest * best(&|share| [lo, largest * share]);
            lo = least * best(&|share| [least * share, hi]);
        }
        [lo as f32, hi as f32]
    }

    /// The sum of square errors of integers that cover this range.
    fn error(&self, [lo, hi]: [f64; 2]) -> f64 {
        let step = (hi - lo) / 255.0;
        // Of a number anywhere between two integers.
        let rounding = step * step / 12.0;
        let mut sum = -(self.zeros as f64) * rounding;
        for (i, &count) in self.bins.iter().enumerate().filter(|(_, count)| **count > 0) {
            let x = (self.edge(i) + self.edge(i + 1)) / 2.0;
            let beyond = x - x.clamp(lo, hi);
            sum += count as f64 * if beyond == 0.0 { rounding } else { beyond * beyond };
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::synthetic::uniform;

    fn observed(numbers: &[f32]) -> Observer {
        let mut observer = Observer::new();
        numbers.chunks(7).for_each(|numbers| observer.add(numbers).unwrap());
        observer
    }

    #[test]
    fn rules() {
        let mut numbers: Vec<f32> = uniform("numbers").take(10_000).map(|u| u as f32).collect();
        numbers[17] = 40.0;
        let observer = observed(&numbers);
        let [least, largest] = observer.range(RangeRule::MinMax);
        assert!(least > -1.0 && least < -0.99 && largest == 40.0, "{least} {largest}");
        let [lo, hi] = observer.range(RangeRule::Percentile(99.9));
        assert!((-1.0..-0.95).contains(&lo) && (0.95..1.05).contains(&hi), "{lo} {hi}");
        assert_eq!(observer.range(RangeRule::Percentile(100.0)), [least, largest]);
        let [lo, hi] = observer.range(RangeRule::MeanSquare);
        assert!((-1.0..-0.9).contains(&lo) && (2.5..=40.0).contains(&hi), "{lo} {hi}");
        assert!(observer.error([lo.into(), hi.into()]) < observer.error([-1.0, 40.0]));

        // Zeros are exact: the error is that of one number.
        let zeros = observed(&[&[0.0; 1000][..], &[0.5]].concat());
        assert!(zeros.error([0.0, 1.0]) < 2e-6);

        let positive = observed(&numbers.iter().map(|x| x.abs()).collect::<Vec<_>>());
        for rule in [RangeRule::MinMax, RangeRule::Percentile(99.0), RangeRule::MeanSquare] {
            assert_eq!(positive.range(rule)[0], 0.0, "{rule:?}");
            assert_eq!(Observer::new().range(rule), [0.0; 2]);
            assert_eq!(observed(&[0.0; 9]).range(rule), [0.0; 2]);
        }
    }

    #[test]
    fn the_order_of_numbers_makes_no_difference() {
        let mut numbers: Vec<f32> = (1..2000).map(|i| (i as f32).powi(3) * 1e-3).collect();
        numbers.extend([f32::MAX, f32::MIN, 1e-40, 0.0, -0.0]);
        let forwards = observed(&numbers);
        numbers.reverse();
        let backwards = observed(&numbers);
        assert_eq!(forwards.bins, backwards.bins);
        assert_eq!((forwards.zeros, forwards.limit), (2, 2.0_f64.powi(128)));
        assert_eq!(Observer::new().add(&[0.0, f32::NAN]), Err(1));
    }
}
