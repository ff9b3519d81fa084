//! Holds: units promised for a while. A hold ends once: committed, released or expired.

use std::{fmt, str::FromStr};

use sha2::{Digest as _, Sha256};

use super::{Cause, ChannelId, Lines, Partition, Partitions, Sku, TextProblem};

/// Bytes in the longest hold id that is read: 100 partitions, a hash and a SKU.
const HOLD_ID_BYTES_MAX: usize = 1024;
/// Bytes of the hash inside a hold id; 128 bits, so nobody meets another's hold by chance.
const HASH_BYTES: usize = 16;

/// What became of a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldState {
    /// Its units are promised.
    Held,
    /// Sold, wholly or in part.
    Committed,
    /// Given back by the caller.
    Released,
    /// Its time was over.
    Expired,
}

/// Names a hold: `h-<home>[.<partition>…]-<hash>-<home SKU>`.
///
/// Derived from client, key and home SKU, so that a retry finds the same hold; names its partitions, so that a commit
/// knows where to go, and how much work it is, without a look-up; ends in the home SKU, so that its commit's record lives
/// beside its reserve's.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct HoldId {
    text: String,
    partitions: Vec<Partition>,
    line_count: usize,
    home_sku: Sku,
}

/// What a hold is derived for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldKind {
    /// A Reserve asks for it.
    Reserved,
    /// A sale or a restock over several partitions waits in it to be decided; never that of a Reserve.
    Unasked,
}

impl HoldId {
    /// Derives the id of the hold that a request with this cause and these lines makes.
    pub fn derive(cause: &Cause, lines: &Lines, partitions: Partitions, kind: HoldKind) -> Self {
        let home_sku = lines.home();
        let home = partitions.of(home_sku);
        let mut others: Vec<_> = lines.as_slice().iter().map(|line| partitions.of(&line.sku)).collect();
        let line_count = others.len();
        others.retain(|other| *other != home);
        others.sort_unstable();
        others.dedup();
        let mut hash = Sha256::new();
        let more = match kind {
            HoldKind::Reserved => None,
            HoldKind::Unasked => Some("unasked"),
        };
        for part in [cause.client.as_str(), cause.key.as_str(), home_sku.as_str()].into_iter().chain(more) {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        let mut text = format!("h-{home}");
        for other in &others {
            text.push_str(&format!(".{other}"));
        }
        text.push_str(&format!("-{line_count}-"));
        for byte in &hash.finalize()[..HASH_BYTES] {
            text.push_str(&format!("{byte:02x}"));
        }
        text.push('-');
        text.push_str(home_sku.as_str());
        let mut all = vec![home];
        all.extend(others);
        Self { text, partitions: all, line_count, home_sku: home_sku.clone() }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The partition that keeps the hold.
    pub fn home(&self) -> Partition {
        self.partitions[0]
    }

    /// Every partition its SKUs live in, home first.
    pub fn partitions(&self) -> &[Partition] {
        &self.partitions
    }

    /// How many lines it was made with.
    pub fn line_count(&self) -> usize {
        self.line_count
    }

    /// The first SKU of the hold in byte order.
    pub fn home_sku(&self) -> &Sku {
        &self.home_sku
    }

    /// True when this id can exist with so many partitions.
    pub fn fits(&self, partitions: Partitions) -> bool {
        partitions.of(&self.home_sku) == self.home()
            && self.partitions.iter().all(|part| part.0 < partitions.count())
    }
}

/// Why a hold id was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HoldIdProblem {
    /// Empty, too long or with strange bytes.
    #[error(transparent)]
    Text(#[from] TextProblem),
    /// Not the shape of a hold id.
    #[error("is no hold id: give the hold_id that Reserve answered, unchanged")]
    Shape,
}

impl FromStr for HoldId {
    type Err = HoldIdProblem;

    fn from_str(text: &str) -> Result<Self, HoldIdProblem> {
        super::text::check(text, HOLD_ID_BYTES_MAX, "printable ASCII without space", |b| {
            b.is_ascii_graphic()
        })?;
        let parts: Vec<&str> = text.splitn(5, '-').collect();
        let ["h", numbers, line_count, hash, sku] = parts[..] else {
            return Err(HoldIdProblem::Shape);
        };
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if hash.len() != 2 * HASH_BYTES || !hash.bytes().all(is_hex) {
            return Err(HoldIdProblem::Shape);
        }
        let partitions = numbers
            .split('.')
            .map(|number| number.parse().map(Partition))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| HoldIdProblem::Shape)?;
        let line_count: usize = line_count.parse().map_err(|_| HoldIdProblem::Shape)?;
        if line_count == 0 || line_count > super::LINES_MAX || partitions.len() > line_count {
            return Err(HoldIdProblem::Shape);
        }
        let home_sku = Sku::parse(sku).map_err(|_| HoldIdProblem::Shape)?;
        Ok(Self { text: text.to_owned(), partitions, line_count, home_sku })
    }
}

impl fmt::Debug for HoldId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

impl fmt::Display for HoldId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// One SKU of a hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldLine {
    /// The SKU.
    pub sku: Sku,
    /// Units reserved at first.
    pub reserved: i64,
    /// Units still promised; of an expired hold, the units that went back.
    pub held: i64,
    /// Units sold by commits.
    pub committed: i64,
}

/// Units reserved for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Its name.
    pub id: HoldId,
    /// What became of it.
    pub state: HoldState,
    /// From this moment of the Redis clock on it is expired; 0 for a tombstone.
    pub deadline_ms: i64,
    /// Its SKUs, in the order of the request; none for a tombstone.
    pub lines: Vec<HoldLine>,
    /// The order it was made for.
    pub order_ref: String,
    /// The channel it was made for.
    pub channel: Option<ChannelId>,
}

#[cfg(test)]
mod tests {
    use crate::domain::{ClientId, IdempotencyKey, Line, Quantity, Text};

    use super::*;

    #[test]
    fn derived_id_reads_back_whole() {
        let partitions = Partitions::new(16).expect("not zero");
        let line = |name: &&str| Line {
            sku: Sku::parse(name).expect("legal"),
            quantity: Quantity::parse(1).expect("legal"),
            expected_version: None,
        };
        let lines = Lines::parse(["x", "a-b-c", "y", "z"].iter().map(line).collect()).expect("legal");
        let cause = Cause {
            client: ClientId::anonymous(),
            key: IdempotencyKey::parse("k 1").expect("legal"),
            channel: None,
            order_ref: Text::default(),
            reason: Text::default(),
            actor: Text::default(),
        };
        let id = HoldId::derive(&cause, &lines, partitions, HoldKind::Reserved);
        let read: HoldId = id.as_str().parse().expect("own text parses");
        assert_eq!(read, id);
        assert_eq!(read.home_sku().as_str(), "a-b-c");
        assert_eq!(read.line_count(), 4);
        assert!(read.fits(partitions));
        let unasked = HoldId::derive(&cause, &lines, partitions, HoldKind::Unasked);
        assert_eq!((unasked.partitions(), unasked.line_count()), (id.partitions(), id.line_count()));
        assert_ne!(unasked, id);
        assert_eq!(id, HoldId::derive(&cause, &lines, partitions, HoldKind::Reserved));
        for bad in [
            "",
            "h",
            "h-0-1-zz-a",
            "h-x-1-00000000000000000000000000000000-a",
            "h-0-0-00000000000000000000000000000000-a",
            "hold 1",
        ] {
            assert!(bad.parse::<HoldId>().is_err(), "{bad}");
        }
    }
}
