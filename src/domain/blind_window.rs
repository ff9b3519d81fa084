//! Orders a shop takes blind: between two looks at the stock, each may sell what another channel has just sold.

use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How many orders come, and how they may grow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Demand {
    /// Orders on a usual day, over all channels.
    pub orders_per_day: f64,
    /// How many times as many come in a spike.
    pub spike: f64,
    /// How much the usual day grows, as a share: 0.11 is 11 %.
    pub growth: f64,
}

/// Orders that come within one window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BlindOrders {
    /// On a usual day.
    pub usual: f64,
    /// In a spike.
    pub spike: f64,
    /// On a usual day, once it has grown.
    pub grown: f64,
    /// In a spike, once the usual day has grown.
    pub grown_spike: f64,
}

impl Demand {
    /// Orders that come while a channel does not know what the others sold: `orders_per_day * window / 24 h`.
    pub fn within(&self, window: Duration) -> BlindOrders {
        let usual = self.orders_per_day * window.as_secs_f64() / DAY.as_secs_f64();
        let grown = usual * (1.0 + self.growth);
        BlindOrders { usual, spike: usual * self.spike, grown, grown_spike: grown * self.spike }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_figures_come_out() {
        let demand = Demand { orders_per_day: 500.0, spike: 10.0, growth: 0.11 };
        let quarter_of_an_hour = demand.within(Duration::from_secs(900));
        let BlindOrders { usual, spike, grown, grown_spike } = quarter_of_an_hour;
        let shown = [usual, spike, grown, grown_spike].map(|orders| format!("{orders:.1}"));
        assert_eq!(shown, ["5.2", "52.1", "5.8", "57.8"]);
    }

    #[test]
    fn no_window_no_blind_orders() {
        let demand = Demand { orders_per_day: 500.0, spike: 10.0, growth: 0.11 };
        assert_eq!(demand.within(Duration::ZERO).grown_spike, 0.0);
        assert_eq!(demand.within(DAY).usual, 500.0);
    }
}
