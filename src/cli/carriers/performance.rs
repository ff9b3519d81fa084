//! What was measured of a carrier, or of one of its services on a lane, as it is shown.

use serde::Serialize;

use super::{
    super::{moment, output::Row},
    words,
};
use crate::proto::CarrierPerformance;

/// One row of measures.
#[derive(Debug, Serialize)]
pub(super) struct PerformanceRow {
    carrier: String,
    service: String,
    lane: String,
    delivery_count: i64,
    sample_milli: i64,
    on_time_ppm: i64,
    reliability_ppm: i64,
    failed_ppm: i64,
    days_p50: Option<i32>,
    days_p90: Option<i32>,
    days_p99: Option<i32>,
    update_time: Option<String>,
}

impl From<CarrierPerformance> for PerformanceRow {
    fn from(performance: CarrierPerformance) -> Self {
        Self {
            carrier: performance.carrier,
            service: performance.service,
            lane: performance.lane,
            delivery_count: performance.delivery_count,
            sample_milli: performance.sample_milli,
            on_time_ppm: performance.on_time_ppm,
            reliability_ppm: performance.reliability_ppm,
            failed_ppm: performance.failed_ppm,
            days_p50: performance.days_p50,
            days_p90: performance.days_p90,
            days_p99: performance.days_p99,
            update_time: moment::show(performance.update_time),
        }
    }
}

impl PerformanceRow {
    /// Parcels that still count, in tenths, rounded down.
    fn sample(&self) -> String {
        format!("{}.{}", self.sample_milli / 1_000, self.sample_milli.rem_euclid(1_000) / 100)
    }
}

impl Row for PerformanceRow {
    const HEAD: &'static [&'static str] = &[
        "carrier",
        "service",
        "lane",
        "parcels",
        "count now",
        "in time",
        "counts as",
        "failed",
        "days p50",
        "p90",
        "p99",
        "last",
    ];

    fn cells(&self) -> Vec<String> {
        // Shares of nothing say nothing.
        let if_any = |ppm| if self.sample_milli > 0 { words::share(ppm) } else { String::new() };
        let days = |days: Option<i32>| days.map(|days| days.to_string()).unwrap_or_default();
        vec![
            self.carrier.clone(),
            self.service.clone(),
            self.lane.clone(),
            self.delivery_count.to_string(),
            self.sample(),
            if_any(self.on_time_ppm),
            words::share(self.reliability_ppm),
            if_any(self.failed_ppm),
            days(self.days_p50),
            days(self.days_p90),
            days(self.days_p99),
            self.update_time.clone().unwrap_or_default(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_nothing_are_not_shown() {
        let none = PerformanceRow::from(CarrierPerformance {
            carrier: "dhl".to_owned(),
            reliability_ppm: 900_000,
            ..CarrierPerformance::default()
        });
        let shown = ["dhl", "", "", "0", "0.0", "", "90.0 %", "", "", "", "", ""];
        assert_eq!(none.cells(), shown.map(str::to_owned));
        let some = PerformanceRow::from(CarrierPerformance {
            sample_milli: 12_390,
            on_time_ppm: 958_333,
            days_p90: Some(3),
            ..CarrierPerformance::default()
        });
        assert_eq!(some.cells()[4..=9], ["12.3", "95.8 %", "0.0 %", "0.0 %", "", "3"].map(str::to_owned));
    }
}
