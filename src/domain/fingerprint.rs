//! Fingerprints: enough of a request to know it again, and to name the field in which another differs.

use xxhash_rust::xxh3::xxh3_64;

use super::Rpc;

/// What a request is made of, besides its rpc, client, key and home SKU. The order is part of the stored form.
const FIELDS: [&str; 8] = ["lines", "channel", "order_ref", "reason", "actor", "ttl", "hold_id", "options"];
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// Letters that carry the 64-bit hash of the whole request.
const WHOLE_LETTERS: usize = 11;
/// Letters per field: 12 bits, which only have to name the field, not to tell requests apart.
const FIELD_LETTERS: usize = 2;

/// One rpc letter, 64 bits of the whole request, 12 bits of each field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// Takes the canonical text of each field, in the order lines, channel, order_ref, reason, actor, ttl, hold_id, options.
    pub fn of(rpc: Rpc, fields: [&[u8]; FIELDS.len()]) -> Self {
        let mut text = String::with_capacity(1 + WHOLE_LETTERS + FIELD_LETTERS * FIELDS.len());
        text.push(rpc.letter());
        push_print(&mut text, fields);
        Self(text)
    }

    /// The stored form.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The rpc of a stored fingerprint; None when it is none.
    pub fn rpc_of(stored: &str) -> Option<Rpc> {
        stored.chars().next().and_then(Rpc::from_letter)
    }

    /// Names the first field in which a stored fingerprint differs from this one.
    pub fn differing_field(&self, stored: &str) -> &'static str {
        if self.0.as_bytes().first() != stored.as_bytes().first() {
            return "rpc";
        }
        differing_field(&FIELDS, &self.0[1..], stored.get(1..).unwrap_or_default())
    }
}

/// Writes 64 bits of all fields, then 12 bits of each.
pub(super) fn push_print<const COUNT: usize>(text: &mut String, fields: [&[u8]; COUNT]) {
    let hashes = fields.map(|field| if field.is_empty() { 0 } else { xxh3_64(field) });
    push_letters(text, xxh3_64(hashes.map(u64::to_le_bytes).as_flattened()), WHOLE_LETTERS);
    for hash in hashes {
        push_letters(text, hash, FIELD_LETTERS);
    }
}

/// Names the first field in which two such texts differ.
pub(super) fn differing_field(fields: &[&'static str], one: &str, other: &str) -> &'static str {
    let field_of = |text: &str, index: usize| {
        let start = WHOLE_LETTERS + index * FIELD_LETTERS;
        text.get(start..start + FIELD_LETTERS).map(str::to_owned)
    };
    // Fields whose 12 bits agree by chance (1 in 4,096) leave only "request" to say.
    (0..fields.len())
        .find(|index| field_of(one, *index) != field_of(other, *index))
        .map_or("request", |index| fields[index])
}

fn push_letters(text: &mut String, bits: u64, letters: usize) {
    for letter in 0..letters {
        let six = (bits >> (6 * letter)) & 63;
        text.push(char::from(ALPHABET[usize::try_from(six).expect("six bits")]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_field_that_differs() {
        let base: [&[u8]; 8] = [b"a 1", b"web", b"o1", b"", b"", b"", b"", b""];
        let first = Fingerprint::of(Rpc::Decrement, base);
        assert_eq!(first, Fingerprint::of(Rpc::Decrement, base));
        for (index, name) in FIELDS.iter().enumerate() {
            let mut other = base;
            other[index] = b"other";
            let second = Fingerprint::of(Rpc::Decrement, other);
            assert_ne!(first, second);
            assert_eq!(second.differing_field(first.as_str()), *name);
        }
        assert_eq!(Fingerprint::of(Rpc::Restock, base).differing_field(first.as_str()), "rpc");
    }
}
