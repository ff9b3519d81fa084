//! How well a carrier keeps its promises, measured from deliveries: shares that shrink towards a mean while data is thin, and
//! forget what is long ago.

/// One whole, and one delivery's weight: a million.
pub const PPM: u64 = 1_000_000;
/// Bins of the transit-day histogram: 0 to 30 days, and more.
pub const DAY_BINS: usize = 32;

/// How often parcels arrive in time, in millionths: 1 to 1,000,000, so that one may divide by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reliability(u32);

impl Reliability {
    /// Always.
    pub const ALWAYS: Self = Self(1_000_000);

    /// What is beyond the range counts as its end.
    pub fn from_ppm(ppm: u64) -> Self {
        Self(u32::try_from(ppm.clamp(1, PPM)).unwrap_or(1_000_000))
    }

    /// Millionths.
    pub fn ppm(self) -> u32 {
        self.0
    }
}

/// Deliveries of one carrier, or of one of its services on one lane. Weights are millionths of a delivery and fade with time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Deliveries {
    /// When the last one was counted, ms; the weights are of that moment until they are faded.
    pub updated_ms: i64,
    /// How many were ever counted; never fades.
    pub count: u64,
    /// Weight of all.
    pub total: u64,
    /// Weight of those that came in time.
    pub on_time: u64,
    /// Weight of those that never came.
    pub failed: u64,
    /// Weight by days from dispatch to the door; the last bin is for more.
    pub days: Vec<u64>,
}

impl Deliveries {
    /// The same with the weights of a later moment, each halved once per `half_life_ms`. Fading twice is too much.
    pub fn faded(&self, now_ms: i64, half_life_ms: i64) -> Self {
        let fade = |weight: u64| faded(weight, now_ms - self.updated_ms, half_life_ms);
        Self {
            updated_ms: self.updated_ms,
            count: self.count,
            total: fade(self.total),
            on_time: fade(self.on_time),
            failed: fade(self.failed),
            days: self.days.iter().map(|weight| fade(*weight)).collect(),
        }
    }

    /// Days within which this share of what arrived has arrived, 1 to 100 percent; None when less than `weight_min` did.
    pub fn days_within(&self, percent: u8, weight_min: u64) -> Option<u16> {
        let arrived: u64 = self.days.iter().sum();
        if arrived == 0 || arrived < weight_min {
            return None;
        }
        let wanted = u128::from(arrived) * u128::from(percent.clamp(1, 100));
        let mut so_far = 0_u128;
        for (day, weight) in (0_u16..).zip(&self.days) {
            so_far += u128::from(*weight) * 100;
            if so_far >= wanted {
                return Some(day);
            }
        }
        None
    }
}

/// A weight after `elapsed_ms`; floating point is good enough for what fades, and money never comes here.
fn faded(weight: u64, elapsed_ms: i64, half_life_ms: i64) -> u64 {
    if elapsed_ms <= 0 || half_life_ms <= 0 {
        return weight;
    }
    let share = (-(elapsed_ms as f64) / half_life_ms as f64).exp2();
    (weight as f64 * share) as u64
}

/// What is believed before anything was measured, and how soon measuring outweighs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prior {
    /// The on-time share of a carrier nobody knows.
    pub on_time: Reliability,
    /// As many deliveries' weight has what is believed.
    pub weight: u32,
}

impl Prior {
    /// The on-time share of a carrier: its own deliveries, shrunk towards the belief.
    pub fn of_carrier(&self, carrier: &Deliveries) -> Reliability {
        self.shrunk(carrier, self.on_time)
    }

    /// The on-time share of a service on a lane: its own deliveries, shrunk towards its carrier's share.
    pub fn of_lane(&self, lane: &Deliveries, carrier: &Deliveries) -> Reliability {
        self.shrunk(lane, self.of_carrier(carrier))
    }

    fn shrunk(&self, own: &Deliveries, mean: Reliability) -> Reliability {
        let belief = u128::from(self.weight) * u128::from(PPM);
        let total = u128::from(own.total) + belief;
        if total == 0 {
            return mean;
        }
        let in_time =
            u128::from(own.on_time.min(own.total)) * u128::from(PPM) + belief * u128::from(mean.ppm());
        Reliability::from_ppm(u64::try_from(in_time / total).unwrap_or(PPM))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRIOR: Prior = Prior { on_time: Reliability(900_000), weight: 20 };

    fn of(on_time: u64, total: u64) -> Deliveries {
        Deliveries { count: total, total: total * PPM, on_time: on_time * PPM, ..Deliveries::default() }
    }

    #[test]
    fn thin_data_shrinks_towards_the_mean() {
        let check = |lane: (u64, u64), carrier: (u64, u64), expected| {
            let share = PRIOR.of_lane(&of(lane.0, lane.1), &of(carrier.0, carrier.1));
            assert_eq!(share.ppm(), expected, "{lane:?} {carrier:?}");
        };
        check((0, 0), (0, 0), 900_000);
        check((0, 1), (0, 0), 857_142);
        check((1, 1), (0, 0), 904_761);
        check((0, 0), (500, 1_000), 507_843);
        check((980, 1_000), (500, 1_000), 970_742);
        check((0, 1_000_000), (0, 1_000_000), 1);
    }

    #[test]
    fn what_is_long_ago_counts_less() {
        let mut lane = of(0, 100);
        lane.days = vec![0, 40 * PPM];
        let later = lane.faded(2_000, 1_000);
        assert_eq!((later.total, later.on_time, later.days[1], later.count), (25 * PPM, 0, 10 * PPM, 100));
        assert_eq!(later.updated_ms, 0, "nothing was counted since");
        assert_eq!(lane.faded(-5, 1_000).total, lane.total, "a clock that steps back forgets nothing");
    }

    #[test]
    fn percentiles_of_the_days() {
        let lane = Deliveries { days: vec![0, 50 * PPM, 40 * PPM, 10 * PPM], ..Deliveries::default() };
        let check = |percent, expected| assert_eq!(lane.days_within(percent, PPM), expected, "{percent}");
        check(1, Some(1));
        check(50, Some(1));
        check(51, Some(2));
        check(90, Some(2));
        check(91, Some(3));
        check(100, Some(3));
        assert_eq!(lane.days_within(50, 101 * PPM), None, "too few");
        assert_eq!(Deliveries::default().days_within(50, 0), None);
    }
}
