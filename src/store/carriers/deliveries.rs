//! Deliveries as they were measured, read for a selection: what is known of services on a lane, and of their carriers.

use std::collections::{BTreeSet, HashMap};

use redis::{Cmd, FromRedisValue};

use crate::domain::carrier::{CarrierName, DAY_BINS, Deliveries, Lane, ServiceName};

use super::{
    super::{Clock, Store, StoreError},
    ForgettingTerms,
};

/// What is known of services on one lane, and of their carriers, at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CarrierEvidence {
    /// Of services on the lane; one left out was never measured there.
    pub services: HashMap<(CarrierName, ServiceName), Deliveries>,
    /// Of carriers as wholes; one left out was never measured.
    pub carriers: HashMap<CarrierName, Deliveries>,
}

impl Store {
    /// What is known now of services on a lane, and of their carriers: one read for all.
    pub async fn carrier_deliveries(
        &self,
        lane: &Lane,
        services: &[(CarrierName, ServiceName)],
        terms: &ForgettingTerms,
    ) -> Result<CarrierEvidence, StoreError> {
        let carriers: BTreeSet<&CarrierName> = services.iter().map(|(carrier, _)| carrier).collect();
        let names: Vec<String> = services
            .iter()
            .map(|(carrier, service)| lane_name(carrier, service, lane))
            .chain(carriers.iter().map(|carrier| carrier.as_str().to_owned()))
            .collect();
        let (of_services, of_carriers) = {
            let mut known = self.deliveries_now(&names, terms).await?;
            let of_carriers = known.split_off(services.len());
            (known, of_carriers)
        };
        Ok(CarrierEvidence {
            services: services
                .iter()
                .zip(of_services)
                .filter_map(|(service, known)| Some((service.clone(), known?)))
                .collect(),
            carriers: carriers
                .into_iter()
                .zip(of_carriers)
                .filter_map(|(carrier, known)| Some((carrier.clone(), known?)))
                .collect(),
        })
    }

    /// Deliveries by their names, in order, as they count now; None where there are none, or none that parse.
    pub(super) async fn deliveries_now(
        &self,
        names: &[String],
        terms: &ForgettingTerms,
    ) -> Result<Vec<Option<Deliveries>>, StoreError> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let key = self.inner.keys.carriers().deliveries;
        let mut command = redis::cmd("HMGET");
        command.arg(&key).arg(names);
        let (now_ms, texts): (_, Vec<Option<String>>) = self.read_at_now(&key, command).await?;
        let known = names.iter().zip(texts).map(|(name, text)| {
            let text = text?;
            let known = read(&text);
            if known.is_none() {
                // It must not stop selections; who records into it is told, and changes nothing.
                tracing::error!(name, "deliveries of a carrier do not parse, and count as none");
            }
            Some(known?.faded(now_ms, terms.half_life_ms()))
        });
        Ok(known.collect())
    }

    /// Runs a command, and says when, in ms of the clock of its server: one round trip.
    async fn read_at_now<T: FromRedisValue>(&self, key: &str, command: Cmd) -> Result<(i64, T), StoreError> {
        if let Clock::Moved(_) = &self.inner.settings.clock {
            return Ok((self.clock_at(key).await?, self.query_at(key, &command).await?));
        }
        let mut both = redis::pipe();
        both.cmd("TIME").add_command(command);
        let ((seconds, micros), answer): ((i64, i64), T) = self.pipeline_at(key, &both).await?;
        Ok((seconds * 1000 + micros / 1000, answer))
    }
}

/// The name of a service on a lane. No part of it has a space, and no name sorts between a carrier's and those of its services.
pub(super) fn lane_name(carrier: &CarrierName, service: &ServiceName, lane: &Lane) -> String {
    format!("{carrier} {service} {lane}")
}

/// Reads what `lua/include/deliveries.lua` writes; None when it does not parse.
pub(super) fn read(text: &str) -> Option<Deliveries> {
    let mut words = text.split(' ');
    let updated_ms = words.next()?.parse().ok()?;
    let numbers: Vec<u64> = words.map(|word| word.parse().ok()).collect::<Option<_>>()?;
    let (&[count, total, on_time, failed], days) = numbers.split_first_chunk::<4>()?;
    let days = days.to_vec();
    (days.len() == DAY_BINS).then_some(Deliveries { updated_ms, count, total, on_time, failed, days })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deliveries_are_read_whole_or_not_at_all() {
        let bins = vec!["0"; DAY_BINS - 1].join(" ");
        let read_back = read(&format!("1000 3 2500000 1500000 1000000 {bins} 7")).expect("parses");
        assert_eq!((read_back.updated_ms, read_back.count, read_back.total), (1000, 3, 2_500_000));
        assert_eq!((read_back.on_time, read_back.failed, read_back.days[31]), (1_500_000, 1_000_000, 7));
        for bad in ["", "1000", &format!("1 2 3 4 5 {bins}"), &format!("1 2 3 4 5 {bins} x")] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
