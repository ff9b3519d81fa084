//! Names of things, parsed once and then trusted; and the partition a SKU lives in.

use std::{fmt, num::NonZeroU16, sync::Arc};

use xxhash_rust::xxh3::xxh3_64;

use super::text::{TextProblem, check};

/// Bytes in the longest SKU, key, channel or client.
const ID_BYTES_MAX: usize = 128;
/// Channel ids are metric labels, so they are short.
const CHANNEL_BYTES_MAX: usize = 32;

fn is_graphic(byte: u8) -> bool {
    byte.is_ascii_graphic()
}

fn is_printable(byte: u8) -> bool {
    byte == b' ' || byte.is_ascii_graphic()
}

/// `*` names nobody: it leads the records the store keeps for itself.
fn is_client(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b'*'
}

fn is_label(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $max:expr, $alphabet:literal, $allowed:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Accepts the text when it has the right length and alphabet.
            pub fn parse(text: &str) -> Result<Self, TextProblem> {
                check(text, $max, $alphabet, $allowed)?;
                Ok(Self(text.into()))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

pub(super) use id;

id! {
    /// One stock-keeping unit: 1-128 bytes of printable ASCII without space.
    Sku, ID_BYTES_MAX, "printable ASCII without space", is_graphic
}
id! {
    /// Names one request: 1-128 bytes of printable ASCII.
    IdempotencyKey, ID_BYTES_MAX, "printable ASCII", is_printable
}
id! {
    /// A place that sells the stock: 1-32 letters, digits, `-` or `_`.
    ChannelId, CHANNEL_BYTES_MAX, "letters, digits, '-' or '_'", is_label
}
id! {
    /// Who the token says the caller is.
    ClientId, ID_BYTES_MAX, "printable ASCII without space and '*'", is_client
}

impl ClientId {
    /// The caller when nobody has to say who he is.
    pub fn anonymous() -> Self {
        Self("-".into())
    }
}

/// One of the N parts the SKUs are spread over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Partition(pub u16);

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How many partitions there are; fixed at the first start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partitions(NonZeroU16);

impl Partitions {
    /// As many as are spread over a cluster unless the settings say otherwise.
    pub const OF_CLUSTER: Self = Self(NonZeroU16::new(256).expect("not zero"));
    /// One partition: without cluster the fastest, since every call of a batch meets in the same few keys.
    pub const ONE: Self = Self(NonZeroU16::MIN);

    /// Returns None for zero.
    pub fn new(count: u16) -> Option<Self> {
        NonZeroU16::new(count).map(Self)
    }

    /// How many.
    pub fn count(self) -> u16 {
        self.0.get()
    }

    /// The partition of a SKU: XXH3 of its bytes, modulo N. Never changes for a given N.
    pub fn of(self, sku: &Sku) -> Partition {
        let partition = xxh3_64(sku.as_str().as_bytes()) % u64::from(self.0.get());
        Partition(u16::try_from(partition).expect("a remainder of a u16 fits a u16"))
    }

    /// All of them.
    pub fn all(self) -> impl Iterator<Item = Partition> {
        (0..self.0.get()).map(Partition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sku_alphabet_and_length() {
        for good in ["a", "SKU-1", "~!{}:.", &"x".repeat(128)] {
            assert!(Sku::parse(good).is_ok(), "{good}");
        }
        assert_eq!(Sku::parse(""), Err(TextProblem::Empty));
        assert_eq!(Sku::parse(&"x".repeat(129)), Err(TextProblem::TooLong { len: 129, max: 128 }));
        for bad in ["a b", "a\n", "é", "\u{7f}"] {
            assert!(matches!(Sku::parse(bad), Err(TextProblem::BadByte { .. })), "{bad:?}");
        }
        assert!(IdempotencyKey::parse("order 17").is_ok());
        assert!(ClientId::parse("shop-1").is_ok());
        assert!(ClientId::parse("*").is_err(), "nobody writes into the store's own records");
    }

    #[test]
    fn partition_of_a_sku_is_pinned() {
        let sixteen = Partitions::new(16).expect("not zero");
        let sku = Sku::parse("SKU-1").expect("legal");
        assert_eq!(Partitions::ONE.of(&sku), Partition(0));
        assert_eq!(sixteen.of(&sku), Partition(u16::try_from(xxh3_64(b"SKU-1") % 16).expect("small")));
        assert_eq!(sixteen.of(&sku), Partition(PINNED_SKU_1_OF_16), "another hash would lose all stock");
    }

    const PINNED_SKU_1_OF_16: u16 = 0;
}
