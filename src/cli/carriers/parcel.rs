//! Parcels as people write them: `1200g:300x200x100`, or `1.2kg:300x200x100`.

use std::str::FromStr;

use crate::{domain, proto};

/// Digits of a kilogram behind its point: a gram has none.
const KG_DIGITS: usize = 3;

/// A parcel from the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ParcelArg(domain::carrier::Parcel);

impl ParcelArg {
    pub(super) fn into_proto(self) -> proto::Parcel {
        let [length_mm, width_mm, height_mm] = self.0.sides_mm().map(i64::from);
        proto::Parcel { weight_g: i64::from(self.0.weight_g()), length_mm, width_mm, height_mm }
    }
}

impl FromStr for ParcelArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unclear =
            || format!("{text:?} is not a parcel: write weight and sides in mm like 1200g:300x200x100");
        let (weight, sides) = text.split_once(':').ok_or_else(unclear)?;
        let weight_g = grams(weight).ok_or_else(unclear)?;
        let sides: Option<Vec<i64>> = sides.split('x').map(|side| side.parse().ok()).collect();
        let sides_mm = sides.and_then(|sides| sides.try_into().ok()).ok_or_else(unclear)?;
        let parcel = domain::carrier::Parcel::parse(weight_g, sides_mm);
        parcel.map(Self).map_err(|problem| match problem {
            domain::carrier::ParcelProblem::OutOfRange { field, .. } => format!("{field} {problem}"),
            domain::carrier::ParcelProblem::NoParcels | domain::carrier::ParcelProblem::TooManyParcels(_) => {
                problem.to_string()
            }
        })
    }
}

/// Whole grams, written as such or in kilograms; None when it is neither.
fn grams(weight: &str) -> Option<i64> {
    let Some(kilograms) = weight.strip_suffix("kg") else {
        return weight.strip_suffix('g')?.parse().ok();
    };
    let (whole, fraction) = kilograms.split_once('.').unwrap_or((kilograms, ""));
    if whole.is_empty() || fraction.len() > KG_DIGITS {
        return None;
    }
    format!("{whole}{fraction:0<KG_DIGITS$}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_in_grams_and_kilograms() {
        let check = |text: &str, weight_g, sides: [i64; 3]| {
            let parcel = text.parse::<ParcelArg>().unwrap().into_proto();
            let proto::Parcel { weight_g: weight, length_mm, width_mm, height_mm } = parcel;
            assert_eq!((weight, [length_mm, width_mm, height_mm]), (weight_g, sides), "{text}");
        };
        check("1200g:300x200x100", 1_200, [300, 200, 100]);
        check("1.2kg:300x200x100", 1_200, [300, 200, 100]);
        check("0.005kg:1x1x1", 5, [1, 1, 1]);
        check("1000kg:10000x1x1", 1_000_000, [10_000, 1, 1]);
    }

    #[test]
    fn wrong_parcels_say_what_is_wrong() {
        let check = |text: &str, said: &str| {
            let error = text.parse::<ParcelArg>().unwrap_err();
            assert!(error.contains(said), "{text:?}: {error}");
        };
        for bad in
            ["", "1200g", "1200:300x200x100", "1200g:300x200", "1200g:30cm", "1.2g:1x1x1", "1.2345kg:1x1x1"]
        {
            check(bad, "write weight and sides in mm like");
        }
        check("-5g:300x200x100", "weight_g must be 1 to 1000000, is -5");
        check("5g:300x0x100", "width_mm must be 1 to 10000, is 0");
    }
}
