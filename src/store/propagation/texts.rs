//! What Redis keeps of one SKU on one channel, as texts: what the channel confirmed last, and what is to be done about it.

/// A value of `sync`: `<version> <quantity> <listing paused, 0 or 1> <confirmed, ms>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct Confirmed {
    pub(in crate::store) version: i64,
    pub(in crate::store) quantity: i64,
    pub(in crate::store) paused: bool,
    pub(in crate::store) confirmed_ms: i64,
}

impl Confirmed {
    /// None when it is no such text.
    pub(in crate::store) fn read(text: &str) -> Option<Self> {
        let words: Vec<&str> = text.split(' ').collect();
        let [version, quantity, paused, confirmed_ms] = words[..] else { return None };
        Some(Self {
            version: version.parse().ok()?,
            quantity: quantity.parse().ok()?,
            paused: paused == "1",
            confirmed_ms: confirmed_ms.parse().ok()?,
        })
    }
}

/// Of a value of `work` (`lua/include/work.lua`) what is not the scripts' own business.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::store) struct Work {
    /// Failures since the last success.
    pub(in crate::store) attempts: u32,
    /// While dead: the oldest unconfirmed change.
    pub(in crate::store) since_ms: Option<i64>,
    pub(in crate::store) last_error: String,
}

impl Work {
    /// None when it is no such text.
    pub(in crate::store) fn read(text: &str) -> Option<Self> {
        let words: Vec<&str> = text.splitn(7, ' ').collect();
        let [attempts, _token, _claimed, since_ms, _sure, _first_ms, last_error] = words[..] else {
            return None;
        };
        let since_ms: i64 = since_ms.parse().ok()?;
        Some(Self {
            attempts: attempts.parse().ok()?,
            since_ms: (since_ms > 0).then_some(since_ms),
            last_error: last_error.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_texts_are_read_and_others_are_none() {
        let confirmed = Confirmed { version: 3, quantity: 7, paused: true, confirmed_ms: 400 };
        assert_eq!(Confirmed::read("3 7 1 400"), Some(confirmed));
        for broken in ["", "3 7 1", "3 7 1 400 5", "x 7 1 400"] {
            assert_eq!(Confirmed::read(broken), None, "{broken}");
        }
        let work = Work { attempts: 20, since_ms: Some(500), last_error: "503 too busy".to_owned() };
        assert_eq!(Work::read("20 - 0 500 0 100 503 too busy"), Some(work));
        assert_eq!(Work::read("0 token 6 0 1 0 "), Some(Work::default()));
        for broken in ["", "1 - 0 0 0 0", "x - 0 0 0 0 "] {
            assert_eq!(Work::read(broken), None, "{broken}");
        }
    }
}
