/// Mean and standard deviation after Welford: what is summed are squares of deviations and never those of
/// values, so numbers that are great and close to each other keep their spread.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Moments {
    count: u64,
    mean: f64,
    /// Of the deviations from the mean.
    squares: f64,
}

impl Moments {
    pub(super) fn add(&mut self, value: f64) {
        self.count += 1;
        let before = value - self.mean;
        self.mean += before / self.count as f64;
        self.squares += before * (value - self.mean);
    }

    /// After Chan, Golub and LeVeque.
    pub(super) fn join(&mut self, other: Self) {
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            *self = other;
            return;
        }
        let (ours, theirs) = (self.count as f64, other.count as f64);
        let all = ours + theirs;
        let apart = other.mean - self.mean;
        self.count += other.count;
        self.mean += apart * (theirs / all);
        self.squares += other.squares + apart * apart * (ours * theirs / all);
    }

    /// None of no values, nor where a double does not reach.
    pub(super) fn mean(&self) -> Option<f64> {
        (self.count > 0 && self.mean.is_finite()).then_some(self.mean)
    }

    /// That of a sample; none of fewer than two values, nor where a double does not reach.
    pub(super) fn standard_deviation(&self) -> Option<f64> {
        let of_sample = self.count.checked_sub(1).filter(|count| *count > 0)?;
        let deviation = (self.squares / of_sample as f64).sqrt();
        deviation.is_finite().then_some(deviation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[f64]) -> Moments {
        let mut moments = Moments::default();
        for value in values {
            moments.add(*value);
        }
        moments
    }

    #[test]
    fn great_numbers_keep_their_spread() {
        let moments = of(&[4.0, 7.0, 13.0, 16.0].map(|value| value + 1e9));
        assert_eq!(moments.mean(), Some(1e9 + 10.0));
        let deviation = moments.standard_deviation().expect("of four");
        assert!((deviation - 30_f64.sqrt()).abs() < 1e-9, "{deviation}");
    }

    #[test]
    fn few_values_have_what_they_can_have() {
        assert_eq!(of(&[]).mean(), None);
        assert_eq!(of(&[3.5]).mean(), Some(3.5));
        assert_eq!(of(&[3.5]).standard_deviation(), None);
        let equal = of(&[0.1; 100]);
        assert_eq!(equal.mean(), Some(0.1));
        assert_eq!(equal.standard_deviation(), Some(0.0));
    }

    #[test]
    fn what_a_double_does_not_reach_is_left_out() {
        let far_apart = of(&[f64::MAX, -f64::MAX, 1.0]);
        assert_eq!(far_apart.mean(), None);
        assert_eq!(far_apart.standard_deviation(), None);
        let unit = 2_f64.powi(700);
        let great = of(&[unit, 3.0 * unit]);
        assert_eq!(great.mean(), Some(2.0 * unit));
        assert_eq!(great.standard_deviation(), None);
    }

    #[test]
    fn parts_join_to_the_whole() {
        let (left, right) = ([1.0, 2.0, 4.0], [8.0, -3.0]);
        let mut joined = of(&left);
        joined.join(of(&right));
        joined.join(of(&[]));
        let whole = of(&[1.0, 2.0, 4.0, 8.0, -3.0]);
        let close = |found: Option<f64>, wanted: Option<f64>| {
            let apart = found.expect("of five") - wanted.expect("of five");
            assert!(apart.abs() < 1e-12, "{found:?} {wanted:?}");
        };
        close(joined.mean(), whole.mean());
        close(joined.standard_deviation(), whole.standard_deviation());
        let mut from_nothing = of(&[]);
        from_nothing.join(of(&[0.1]));
        assert_eq!(from_nothing.mean(), Some(0.1));
    }
}
