//! The names of children: a hold's part in a partition that is not its home, under one attempt.

use std::{fmt, str::FromStr};

use crate::domain::HoldId;

/// `<attempt>~<hold id>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct ChildId {
    pub(super) attempt: i64,
    pub(in crate::store) hold: HoldId,
}

impl fmt::Display for ChildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}~{}", self.attempt, self.hold)
    }
}

/// It is not the name of a child.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::store) struct NoChild;

impl FromStr for ChildId {
    type Err = NoChild;

    fn from_str(text: &str) -> Result<Self, NoChild> {
        let (attempt, hold) = text.split_once('~').ok_or(NoChild)?;
        let attempt = attempt.parse().map_err(|_| NoChild)?;
        Ok(Self { attempt, hold: hold.parse().map_err(|_| NoChild)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_childs_name_is_read_back_and_is_no_holds() {
        let text = "12~h-3.7-2-00000000000000000000000000000000-A~B";
        let child: ChildId = text.parse().expect("a child");
        assert_eq!((child.to_string().as_str(), child.attempt), (text, 12));
        assert_eq!(child.hold.home_sku().as_str(), "A~B");
        assert!(text.parse::<HoldId>().is_err());
        for bad in ["", "12", "x~h-3-1-00000000000000000000000000000000-A", "1~h-3", child.hold.as_str()] {
            assert_eq!(bad.parse::<ChildId>(), Err(NoChild), "{bad}");
        }
    }
}
