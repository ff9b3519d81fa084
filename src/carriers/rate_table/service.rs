//! What one service of a table asks for a shipment, in whole minor units, or why it does not carry it.

use std::fmt;

use crate::domain::carrier::{CarrierName, MINOR_MAX, Parcel, ServiceName, Shipment};

/// Basis points in a whole: percent with two digits.
const BASIS: i64 = 10_000;

/// One service of one carrier.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) carrier: CarrierName,
    pub(super) service: ServiceName,
    /// Which of the table's zone maps.
    pub(super) zone_map: usize,
    /// Which of the table's calendars.
    pub(super) calendar: usize,
    pub(super) is_guaranteed: bool,
    pub(super) limits: Limits,
    pub(super) charges: Charges,
    /// By zone, in order.
    pub(super) zones: Box<[ServedZone]>,
}

/// What a parcel may be at most; None: whatever the steps allow.
#[derive(Debug, Clone, Default)]
pub(super) struct Limits {
    pub(super) weight_g_max: Option<u32>,
    /// The longest first.
    pub(super) sides_mm_max: Option<[u32; 3]>,
    /// The longest side, and once around the other two.
    pub(super) length_plus_girth_mm_max: Option<u32>,
    /// A parcel weighs at least its volume divided by this.
    pub(super) volumetric_cm3_per_kg: Option<u32>,
}

/// What comes on top of the steps' prices, in minor units and basis points.
#[derive(Debug, Clone, Default)]
pub(super) struct Charges {
    pub(super) price_minor_min: i64,
    /// At most 100,000.
    pub(super) fuel_basis_points: i64,
    /// None: the carrier collects nothing at the door.
    pub(super) collect_fee_minor: Option<i64>,
    /// Of the value beyond the free part; at most 100,000.
    pub(super) insurance_basis_points: i64,
    pub(super) insurance_free_minor: i64,
}

/// A zone a service carries to.
#[derive(Debug)]
pub(super) struct ServedZone {
    pub(super) zone: u16,
    /// Working days after the day of dispatch.
    pub(super) transit_days: usize,
    /// By weight, in order; at least one.
    pub(super) steps: Box<[Step]>,
}

/// The price of a parcel up to a weight.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    pub(super) weight_g_max: u32,
    pub(super) price_minor: i64,
}

/// Why a service does not carry a shipment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// No zone lies between the places.
    NoZone,
    /// The service does not carry to the zone.
    ZoneNotServed,
    /// A parcel weighs more than the limit or the last step.
    TooHeavy { weight_g: u64, weight_g_max: u32 },
    /// A parcel is too large.
    TooLarge,
    /// The sum is no amount of money any more.
    TooDear,
    /// No working days within a year.
    NeverWorks,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoZone => f.write_str("no zone has these places"),
            Self::ZoneNotServed => f.write_str("does not carry to this zone"),
            Self::TooHeavy { weight_g, weight_g_max } => {
                write!(f, "a parcel counts {weight_g} g, {weight_g_max} at most")
            }
            Self::TooLarge => f.write_str("a parcel is too large"),
            Self::TooDear => write!(f, "costs more than {MINOR_MAX} minor units"),
            Self::NeverWorks => f.write_str("too few working days within a year"),
        }
    }
}

impl Service {
    /// The price of all parcels with everything, in minor units, and the working days they take. Cost: the logarithm of the zones, and
    /// for each parcel that of the steps.
    pub(super) fn price(&self, zone: Option<u16>, shipment: &Shipment) -> Result<(i64, usize), Refusal> {
        let zone = zone.ok_or(Refusal::NoZone)?;
        let at = self.zones.binary_search_by_key(&zone, |served| served.zone);
        let served = at.map(|at| &self.zones[at]).map_err(|_| Refusal::ZoneNotServed)?;
        let prices = shipment.parcels.as_slice().iter().map(|parcel| {
            let weight_g = self.limits.counted_weight_g(parcel)?;
            served.price_minor(weight_g)
        });
        // 20 parcels of 10^12 at most: far inside 64 bits, as are all products below.
        let parcels_minor = prices.sum::<Result<i64, Refusal>>()?;
        let minor = self.charges.with_all(parcels_minor, shipment);
        if minor > MINOR_MAX { Err(Refusal::TooDear) } else { Ok((minor, served.transit_days)) }
    }
}

impl ServedZone {
    fn price_minor(&self, weight_g: u64) -> Result<i64, Refusal> {
        let at = self.steps.partition_point(|step| u64::from(step.weight_g_max) < weight_g);
        let too_heavy = || {
            let weight_g_max = self.steps.last().map(|step| step.weight_g_max).unwrap_or(0);
            Refusal::TooHeavy { weight_g, weight_g_max }
        };
        self.steps.get(at).map(|step| step.price_minor).ok_or_else(too_heavy)
    }
}

impl Limits {
    /// What the carrier counts for a parcel: its weight, or that of its volume when that is more.
    fn counted_weight_g(&self, parcel: &Parcel) -> Result<u64, Refusal> {
        let weight_g = u64::from(parcel.weight_g());
        if let Some(weight_g_max) = self.weight_g_max.filter(|max| parcel.weight_g() > *max) {
            return Err(Refusal::TooHeavy { weight_g, weight_g_max });
        }
        let mut sides_mm = parcel.sides_mm();
        sides_mm.sort_unstable_by(|one, other| other.cmp(one));
        let [length, width, height] = sides_mm;
        let is_within = |max: &[u32; 3]| sides_mm.iter().zip(max).all(|(side, max)| side <= max);
        let girth_fits = |max: u32| length + 2 * (width + height) <= max;
        if !self.sides_mm_max.as_ref().is_none_or(is_within)
            || !self.length_plus_girth_mm_max.is_none_or(girth_fits)
        {
            return Err(Refusal::TooLarge);
        }
        // mm³ by cm³/kg is grams.
        let volume_mm3 = sides_mm.into_iter().map(u64::from).product::<u64>();
        let volumetric_g = |divisor: u32| volume_mm3.div_ceil(u64::from(divisor.max(1)));
        Ok(weight_g.max(self.volumetric_cm3_per_kg.map(volumetric_g).unwrap_or(0)))
    }
}

impl Charges {
    /// The least price, then fuel on it, then the fees.
    fn with_all(&self, parcels_minor: i64, shipment: &Shipment) -> i64 {
        let carriage = parcels_minor.max(self.price_minor_min);
        let fuel = share(carriage, self.fuel_basis_points);
        let fee = self.collect_fee_minor.filter(|_| shipment.collect.is_some()).unwrap_or(0);
        // In the currency of the shipment. When that is not the table's, the rule drops the quote whatever it says.
        let value = shipment.value.map(|value| value.minor()).unwrap_or(0);
        let insured = (value - self.insurance_free_minor).max(0);
        carriage + fuel + fee + share(insured, self.insurance_basis_points)
    }
}

/// Rounded up: a price must not look lower than it is.
fn share(minor: i64, basis_points: i64) -> i64 {
    (minor * basis_points + BASIS - 1) / BASIS
}
