//! Copying hashes and sorted sets, page by page: each field goes to the partition its SKU has from now on.

use std::collections::BTreeMap;

use crate::domain::{HoldId, Partition, Partitions, Sku};

use super::{
    super::{Store, levels::Field},
    RepartitionError,
    parts::{By, Part},
};

/// Fields read by one command, about.
const PAGE: usize = 1000;

/// Copies one key of one partition into the keys of `to`; answers how many fields were read. Repeating it is harmless.
pub(super) async fn copy(
    from: &Store,
    to: &Store,
    partition: Partition,
    part: &Part,
) -> Result<u64, RepartitionError> {
    let key = part.key(&from.inner.keys, partition);
    let (mut cursor, mut read) = (0_u64, 0_u64);
    loop {
        let mut command = redis::cmd(if part.is_sorted_set() { "ZSCAN" } else { "HSCAN" });
        command.arg(&key).arg(cursor).arg("COUNT").arg(PAGE);
        let (next, fields): (u64, Vec<Field>) = from.query_at(&key, &command).await?;
        read += u64::try_from(fields.len()).unwrap_or(u64::MAX);
        write(to, partition, part, &key, fields).await?;
        cursor = next;
        if cursor == 0 {
            return Ok(read);
        }
    }
}

async fn write(
    to: &Store,
    partition: Partition,
    part: &Part,
    key: &str,
    fields: Vec<Field>,
) -> Result<(), RepartitionError> {
    let mut by_partition: BTreeMap<Partition, Vec<Field>> = BTreeMap::new();
    for (name, value) in fields {
        if is_left_behind(part, &name) {
            continue;
        }
        let (home, field) = homed(to.partitions(), partition, part.by(), key, (name, value))?;
        by_partition.entry(home).or_default().push(field);
    }
    let mut commands = Vec::with_capacity(by_partition.len());
    for (home, fields) in by_partition {
        let key = part.key(&to.inner.keys, home);
        let mut command = redis::cmd(if part.is_sorted_set() { "ZADD" } else { "HSET" });
        command.arg(&key);
        for (name, value) in fields {
            match part.is_sorted_set() {
                true => command.arg(value).arg(name),
                false => command.arg(name).arg(value),
            };
        }
        commands.push((key, command));
    }
    Ok(to.command_each(&commands).await?)
}

/// What partitions said to each other about carts that have ended: children, and records of no caller.
pub(super) fn is_left_behind(part: &Part, name: &[u8]) -> bool {
    match part.by() {
        By::Hold => is_child(name),
        By::Record => name.starts_with(b"* "),
        By::Sku | By::Nothing => false,
    }
}

/// The partition of a field from now on, and the field as it is there.
fn homed(
    to: Partitions,
    from: Partition,
    by: By,
    key: &str,
    (name, value): Field,
) -> Result<(Partition, Field), RepartitionError> {
    let homeless = |wanted: &'static str| RepartitionError::Homeless {
        key: key.to_owned(),
        name: String::from_utf8_lossy(&name).into_owned(),
        wanted,
    };
    let text = std::str::from_utf8(&name).ok();
    match by {
        By::Sku => {
            let sku = text.and_then(|text| Sku::parse(text).ok()).ok_or_else(|| homeless("sku"))?;
            Ok((to.of(&sku), (name, value)))
        }
        By::Record => {
            let sku = text.and_then(|text| text.split(' ').nth(1)).and_then(|sku| Sku::parse(sku).ok());
            Ok((to.of(&sku.ok_or_else(|| homeless("record of a request"))?), (name, value)))
        }
        By::Hold => {
            let id: Option<HoldId> = text.and_then(|text| text.parse().ok());
            let id = id.ok_or_else(|| homeless("hold id"))?;
            let told = String::from_utf8_lossy(&value);
            let moved = ended(&told, &id, to).map(String::into_bytes);
            // One that does not parse is as broken as before.
            Ok((to.of(id.home_sku()), (name, moved.unwrap_or(value))))
        }
        By::Nothing => {
            // Entries of two partitions may have one id: from here on it says which was whose.
            let marked = match text {
                Some(id) if id.matches('-').count() == 1 => format!("{from}-{id}").into_bytes(),
                _ => name,
            };
            Ok((Partition(from.0 % to.count()), (marked, value)))
        }
    }
}

/// An ended hold as it is stored from now on (`lua/include/hold.lua`).
///
/// Its id stays, and may name partitions of old, so an act on it goes to its home and nowhere else. Its lines are therefore all said
/// to be there, where nobody looks for those that are not; and an expired hold that has such is called released, since its units went
/// back and nobody could take them again from home. What it was to other partitions while it lived stands behind `made` and goes.
fn ended(text: &str, id: &HoldId, to: Partitions) -> Option<String> {
    let home = to.of(id.home_sku());
    let mut words = text.splitn(5, ' ');
    let (state, deadline, made, count) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let made = &made[..made.find(|c: char| !c.is_ascii_digit()).unwrap_or(made.len())];
    let mut rest = words.next()?;
    let (mut lines, mut is_spread) = (String::new(), false);
    for _ in 0..count.parse::<usize>().ok()? {
        let mut line = rest.splitn(6, ' ');
        let (_, sku, reserved, held, committed) =
            (line.next()?, line.next()?, line.next()?, line.next()?, line.next()?);
        rest = line.next()?;
        is_spread = is_spread || to.of(&Sku::parse(sku).ok()?) != home;
        lines.push_str(&format!("{home} {sku} {reserved} {held} {committed} "));
    }
    let state = if state == "x" && is_spread { "l" } else { state };
    Some(format!("{state} {deadline} {made} {count} {lines}{rest}"))
}

/// Of the ended holds the part a cart had in another partition than its home: no cart is under way, and nobody asks for it.
pub(super) fn is_child(name: &[u8]) -> bool {
    let digits = name.iter().take_while(|byte| byte.is_ascii_digit()).count();
    digits > 0 && name.get(digits) == Some(&b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "00000000000000000000000000000000";

    fn of(count: u16) -> Partitions {
        Partitions::new(count).expect("not zero")
    }

    fn partition(count: u16, sku: &str) -> Partition {
        of(count).of(&Sku::parse(sku).expect("legal"))
    }

    fn homed_name(by: By, name: &str) -> Result<(Partition, String), RepartitionError> {
        let field = (name.as_bytes().to_vec(), b"v".to_vec());
        let (home, (name, _)) = homed(of(16), Partition(20), by, "k", field)?;
        Ok((home, String::from_utf8(name).expect("text")))
    }

    #[test]
    fn fields_follow_their_sku() {
        let home = partition(16, "MUG");
        for (by, name) in [(By::Sku, "MUG"), (By::Record, "- MUG order 17"), (By::Record, "shop MUG k")] {
            assert_eq!(homed_name(by, name).ok(), Some((home, name.to_owned())));
        }
        let id = format!("h-0-1-{HASH}-MUG");
        assert_eq!(homed_name(By::Hold, &id).ok(), Some((home, id.clone())));
        assert_eq!(homed_name(By::Nothing, "7-1").ok(), Some((Partition(4), "20-7-1".to_owned())));
        assert_eq!(homed_name(By::Nothing, "3-7-1").ok(), Some((Partition(4), "3-7-1".to_owned())));
        for (by, name) in [(By::Sku, "a b"), (By::Record, "MUG"), (By::Hold, "h-0")] {
            assert!(matches!(homed_name(by, name), Err(RepartitionError::Homeless { .. })), "{name}");
        }
    }

    #[test]
    fn an_ended_hold_lies_at_home_with_all_its_lines() {
        let (a, b) = (partition(16, "A"), partition(16, "B"));
        assert_ne!(a, b, "two SKUs that part");
        let id: HoldId = format!("h-0-2-{HASH}-A").parse().expect("legal");
        for mark in ["", "#3.1"] {
            let before =
                |state: &str| format!("{state} 9 5{mark} 2 0 A 2 0 2 0 B 1 0 1 {{\"key\":\"cart 8\"}}");
            let after = |count: u16, state: &str| {
                let home = partition(count, "A");
                format!("{state} 9 5 2 {home} A 2 0 2 {home} B 1 0 1 {{\"key\":\"cart 8\"}}")
            };
            for state in ["c", "l"] {
                assert_eq!(ended(&before(state), &id, of(16)), Some(after(16, state)));
            }
            assert_eq!(ended(&before("x"), &id, of(16)), Some(after(16, "l")), "out of reach");
            assert_eq!(ended(&before("x"), &id, of(1)), Some(after(1, "x")));
        }
        assert_eq!(ended("l 0 5 0 {}", &id, of(16)).as_deref(), Some("l 0 5 0 {}"));
        assert_eq!(ended("c 9 5 2 0 A", &id, of(16)), None);
        assert!(is_child(format!("12~{id}").as_bytes()) && !is_child(id.as_str().as_bytes()));
    }
}
