//! Reads a histogram per channel from Prometheus text, and quantiles from its buckets.

use std::collections::BTreeMap;

/// A quantile of a histogram, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Quantile {
    /// Interpolated within its bucket.
    At(f64),
    /// In the last bucket, which has no end: more than this.
    MoreThan(f64),
}

/// Cumulative counts by upper bound, in order; the last bound is infinite.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Histogram {
    buckets: Vec<(f64, f64)>,
}

impl Histogram {
    /// The quantile, as Prometheus' `histogram_quantile` counts it; None when nothing was measured.
    pub(super) fn quantile(&self, q: f64) -> Option<Quantile> {
        let total = self.buckets.last().map(|(_, count)| *count).filter(|count| *count > 0.0)?;
        let rank = q * total;
        let (mut lower_bound, mut count_below) = (0.0, 0.0);
        for &(bound, count) in &self.buckets {
            if count >= rank && count > count_below {
                if bound.is_infinite() {
                    return Some(Quantile::MoreThan(lower_bound));
                }
                let share = ((rank - count_below) / (count - count_below)).clamp(0.0, 1.0);
                return Some(Quantile::At(lower_bound + (bound - lower_bound) * share));
            }
            (lower_bound, count_below) = (bound, count);
        }
        None
    }

    fn add(&mut self, bound: f64, count: f64) {
        match self.buckets.binary_search_by(|(other, _)| other.total_cmp(&bound)) {
            Ok(index) => self.buckets[index].1 += count,
            Err(index) => self.buckets.insert(index, (bound, count)),
        }
    }
}

/// The histogram `name` by its label `channel`. Lines that are something else are passed over.
pub(super) fn by_channel(text: &str, name: &str) -> BTreeMap<String, Histogram> {
    let bucket_name = format!("{name}_bucket");
    let mut histograms: BTreeMap<String, Histogram> = BTreeMap::new();
    for line in text.lines() {
        let Some((labels, value)) = line.strip_prefix(&bucket_name).and_then(split_sample) else { continue };
        let (Some(channel), Some(bound)) = (labels.get("channel"), labels.get("le")) else { continue };
        let (Ok(bound), Ok(count)) = (bound.parse::<f64>(), value.parse::<f64>()) else { continue };
        histograms.entry(channel.clone()).or_default().add(bound, count);
    }
    histograms
}

/// Splits `{a="b",c="d"} 12` into labels and value.
fn split_sample(text: &str) -> Option<(BTreeMap<String, String>, &str)> {
    let mut rest = text.strip_prefix('{')?;
    let mut labels = BTreeMap::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(value) = rest.strip_prefix('}') {
            return Some((labels, value.split_whitespace().next()?));
        }
        let (name, quoted) = rest.split_once("=\"")?;
        let (value, after) = unquote(quoted)?;
        labels.insert(name.to_owned(), value);
        rest = after;
    }
}

/// Reads to the closing quote; `\"`, `\\` and `\n` are escapes.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                escaped => value.push(escaped),
            },
            _ => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
# HELP stockgate_sync_lag_seconds time to confirmation
# TYPE stockgate_sync_lag_seconds histogram
stockgate_sync_lag_seconds_bucket{channel="web",le="0.01"} 50
stockgate_sync_lag_seconds_bucket{channel="web",le="0.1"} 90
stockgate_sync_lag_seconds_bucket{channel="web",le="1"} 100
stockgate_sync_lag_seconds_bucket{channel="web",le="+Inf"} 100
stockgate_sync_lag_seconds_sum{channel="web"} 3.5
stockgate_sync_lag_seconds_count{channel="web"} 100
stockgate_sync_lag_seconds_bucket{le="0.01",channel="sl\"ow"} 0
stockgate_sync_lag_seconds_bucket{le="1",channel="sl\"ow"} 1
stockgate_sync_lag_seconds_bucket{le="+Inf",channel="sl\"ow"} 4 1700000000
stockgate_sync_lag_seconds_bucket{channel="idle",le="+Inf"} 0
stockgate_sync_lag_seconds_bucket{channel="broken
stockgate_other_seconds_bucket{channel="web",le="+Inf"} 7
"#;

    fn check(channel: &str, q: f64, expected: Option<Quantile>) {
        let found = by_channel(TEXT, "stockgate_sync_lag_seconds")[channel].quantile(q);
        let is_near = match (found, expected) {
            (Some(Quantile::At(found)), Some(Quantile::At(expected)))
            | (Some(Quantile::MoreThan(found)), Some(Quantile::MoreThan(expected))) => {
                (found - expected).abs() < 1e-9
            }
            (None, None) => true,
            _ => false,
        };
        assert!(is_near, "{channel} {q}: {found:?}, expected {expected:?}");
    }

    #[test]
    fn quantiles_are_interpolated_within_buckets() {
        check("web", 0.25, Some(Quantile::At(0.005)));
        check("web", 0.5, Some(Quantile::At(0.01)));
        check("web", 0.7, Some(Quantile::At(0.055)));
        check("web", 0.99, Some(Quantile::At(0.91)));
        check("sl\"ow", 0.2, Some(Quantile::At(0.01 + 0.99 * 0.8)));
        check("sl\"ow", 0.5, Some(Quantile::MoreThan(1.0)));
        check("idle", 0.5, None);
    }

    #[test]
    fn other_lines_are_passed_over() {
        let channels: Vec<_> = by_channel(TEXT, "stockgate_sync_lag_seconds").into_keys().collect();
        assert_eq!(channels, ["idle", "sl\"ow", "web"]);
        assert!(by_channel("", "x").is_empty());
    }
}
