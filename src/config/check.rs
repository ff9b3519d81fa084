//! Settings that are each in range and contradict each other.

use std::time::Duration;

use crate::domain::Durability;

use super::{Config, Problem, layers::Origins};

/// Notes every pair of settings that contradict each other.
pub(super) fn check(config: &Config, origins: &Origins, problems: &mut Vec<Problem>) {
    let Config { holds, propagation, committer, .. } = config;
    let durations = [
        ("holds.ttl_default", holds.ttl_default, "holds.ttl_max", holds.ttl_max),
        // A record that ends before its hold would let a late repeat reserve a second time.
        ("holds.ttl_max", holds.ttl_max, "holds.retention", holds.retention),
        (
            "propagation.backoff_first",
            propagation.backoff_first,
            "propagation.backoff_cap",
            propagation.backoff_cap,
        ),
        (
            "propagation.breaker_first",
            propagation.breaker_first,
            "propagation.breaker_cap",
            propagation.breaker_cap,
        ),
        ("propagation.lag_critical", propagation.lag_critical, "propagation.lag_cost", propagation.lag_cost),
    ];
    for (setting, value, bound, most) in durations {
        if value > most {
            let detail = above(&span(value), bound, &span(most), origins);
            problems.push(origins.invalid(setting, detail));
        }
    }
    if committer.batch_max > committer.queue_max {
        let (value, most) = (committer.batch_max.to_string(), committer.queue_max.to_string());
        let detail = above(&value, "committer.queue_max", &most, origins);
        problems.push(origins.invalid("committer.batch_max", detail));
    }
    let (durability, deadline) = (&config.durability, config.grpc.default_deadline);
    // Else every call that must wait so long would be answered OUTCOME_UNKNOWN instead of what was achieved.
    if durability.level != Durability::Memory && durability.wait_timeout > deadline {
        let (value, most) = (span(durability.wait_timeout), span(deadline));
        let detail = above(&value, "grpc.default_deadline", &most, origins);
        problems.push(origins.invalid("durability.wait_timeout", detail));
    }
    if config.grpc.listen == config.http.listen && config.http.listen.port() != 0 {
        let detail = format!("is {}, the same as grpc.listen: give it another port", config.http.listen);
        problems.push(origins.invalid("http.listen", detail));
    }
}

fn above(value: &str, bound: &str, most: &str, origins: &Origins) -> String {
    let origin = origins.of(bound);
    format!("is {value}, must be at most {bound}, {most} in {origin}: lower the one or raise the other")
}

fn span(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}
