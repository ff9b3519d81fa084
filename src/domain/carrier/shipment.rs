//! What is to be carried: parcels, from where, to where. All that a price depends on, and nothing else.

use super::{Currency, Money, Place};

/// The most parcels of one shipment.
pub const PARCELS_MAX: usize = 20;
/// The heaviest parcel, in grams: a tonne.
pub const WEIGHT_G_MAX: i64 = 1_000_000;
/// The longest side of a parcel, in millimetres: ten metres.
pub const SIDE_MM_MAX: i64 = 10_000;

/// Why a parcel or their number was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParcelProblem {
    /// None were given.
    #[error("must have at least one parcel")]
    NoParcels,
    /// More than a shipment may have.
    #[error("must have at most {PARCELS_MAX} parcels, has {0}: split the shipment")]
    TooManyParcels(usize),
    /// A measure out of range.
    #[error("must be 1 to {max}, is {given}")]
    OutOfRange {
        /// The field: `weight_g`, `length_mm`, `width_mm` or `height_mm`.
        field: &'static str,
        /// The most allowed.
        max: i64,
        /// The number given.
        given: i64,
    },
}

/// One parcel: 1 g to 1 t, each side 1 mm to 10 m.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Parcel {
    weight_g: u32,
    sides_mm: [u32; 3],
}

impl Parcel {
    /// Accepts a weight in grams, and length, width and height in millimetres.
    pub fn parse(weight_g: i64, sides_mm: [i64; 3]) -> Result<Self, ParcelProblem> {
        let within = |field, given: i64, max: i64| {
            let measure = u32::try_from(given).ok().filter(|_| (1..=max).contains(&given));
            measure.ok_or(ParcelProblem::OutOfRange { field, max, given })
        };
        let [length_mm, width_mm, height_mm] = sides_mm;
        Ok(Self {
            weight_g: within("weight_g", weight_g, WEIGHT_G_MAX)?,
            sides_mm: [
                within("length_mm", length_mm, SIDE_MM_MAX)?,
                within("width_mm", width_mm, SIDE_MM_MAX)?,
                within("height_mm", height_mm, SIDE_MM_MAX)?,
            ],
        })
    }

    /// Its weight, g.
    pub fn weight_g(&self) -> u32 {
        self.weight_g
    }

    /// Length, width and height, mm.
    pub fn sides_mm(&self) -> [u32; 3] {
        self.sides_mm
    }
}

/// 1 to [`PARCELS_MAX`] parcels, in the caller's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parcels(Vec<Parcel>);

impl Parcels {
    /// Accepts 1 to [`PARCELS_MAX`] parcels.
    pub fn parse(parcels: Vec<Parcel>) -> Result<Self, ParcelProblem> {
        match parcels.len() {
            0 => Err(ParcelProblem::NoParcels),
            1..=PARCELS_MAX => Ok(Self(parcels)),
            more => Err(ParcelProblem::TooManyParcels(more)),
        }
    }

    /// Them.
    pub fn as_slice(&self) -> &[Parcel] {
        &self.0
    }
}

/// What carriers are asked to carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shipment {
    /// From.
    pub origin: Place,
    /// To.
    pub destination: Place,
    /// The parcels.
    pub parcels: Parcels,
    /// What they are worth, for insurance and customs.
    pub value: Option<Money>,
    /// In which currency prices are wanted.
    pub currency: Currency,
    /// What the carrier collects at the door.
    pub collect: Option<Money>,
}
