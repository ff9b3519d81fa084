//! Dead letters: what a channel could not be told and nobody tries any more. They are listed, replayed and discarded here;
//! they are made by settle and unmade by the next success.

mod treat;

use crate::domain::{ChannelId, Partition, Sku};

use super::{
    Store, StoreError,
    levels::StoredLevel,
    propagation::{Confirmed, Work, corrupt},
    scripts::{DEAD_LETTERS_SCRIPT, Script},
};

pub use treat::{DeadRemedy, Treated};

/// Letters read by one script.
const READ_LETTERS: usize = 500;
/// Reads one page costs at most: where few match, it comes back short, with a place to go on.
const READS_MAX: usize = 20;

/// Which dead letters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeadScope {
    /// Only of this channel.
    pub channel: Option<ChannelId>,
    /// Only of this SKU.
    pub sku: Option<Sku>,
    /// Only those whose last error has this text in it, in any case of letters.
    pub error_contains: String,
    /// Only those that died before this ms of the Redis clock.
    pub until_ms: Option<i64>,
}

impl DeadScope {
    fn holds(&self, letter: &DeadLetter, needle: &str) -> bool {
        self.sku.as_ref().is_none_or(|sku| *sku == letter.sku)
            && (needle.is_empty() || letter.last_error.to_lowercase().contains(needle))
    }

    fn is_over(&self, dead_ms: i64) -> bool {
        self.until_ms.is_some_and(|until_ms| dead_ms >= until_ms)
    }
}

/// A SKU a channel could not be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The channel.
    pub channel: ChannelId,
    /// The SKU.
    pub sku: Sku,
    /// When it died, in ms of the Redis clock.
    pub dead_ms: i64,
    /// The oldest change the channel has not confirmed, in ms of the Redis clock.
    pub oldest_unconfirmed_ms: Option<i64>,
    /// Failures since the last success.
    pub attempts: u32,
    /// What went wrong last.
    pub last_error: String,
    /// The version the channel confirmed last; 0: never told.
    pub confirmed_version: i64,
    /// The quantity it confirmed with it.
    pub confirmed_quantity: i64,
    /// The version of the SKU now; 0 when its record does not parse.
    pub version: i64,
    /// On hand minus held, now.
    pub available: i64,
}

/// The place of a letter among all of one scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadPosition {
    /// The channel.
    pub channel: ChannelId,
    /// The partition.
    pub partition: Partition,
    /// When the last letter that was passed had died, in ms, and its SKU; None at the beginning of the partition.
    pub passed: Option<(i64, String)>,
}

/// A page of dead letters.
#[derive(Debug, Default)]
pub struct DeadPage {
    /// The letters.
    pub letters: Vec<DeadLetter>,
    /// Where to go on; None at the end.
    pub next: Option<DeadPosition>,
}

/// A letter as the script gives it: its SKU may not even be one.
struct Found {
    dead_ms: i64,
    sku: String,
    letter: Option<DeadLetter>,
}

impl Store {
    /// Dead letters of one channel per partition, in order.
    pub async fn dead_counts(&self, channel: &ChannelId) -> Result<Vec<u64>, StoreError> {
        let count = |partition| {
            let key = self.inner.keys.channel(partition, channel).dead;
            let mut command = redis::cmd("ZCARD");
            command.arg(&key);
            (key, command)
        };
        let asks: Vec<_> = self.partitions().all().map(count).collect();
        let counts = self.query_each(&asks).await;
        counts.into_iter().map(|count| self.inner.nodes.read(count?)).collect()
    }

    /// Reads at most `count` letters of a scope, after `from`: by channel as configured, by partition, the oldest first.
    pub async fn dead_letters(
        &self,
        scope: &DeadScope,
        from: Option<&DeadPosition>,
        count: usize,
    ) -> Result<DeadPage, StoreError> {
        let channels = match &scope.channel {
            Some(channel) => std::slice::from_ref(channel),
            None => self.channels(),
        };
        let begun = from.map_or(0, |from| {
            channels.iter().position(|channel| *channel == from.channel).unwrap_or(channels.len())
        });
        let mut walk = Walk {
            scope,
            needle: scope.error_contains.to_lowercase(),
            count,
            reads_left: READS_MAX,
            page: DeadPage::default(),
        };
        for channel in &channels[begun..] {
            let from = from.filter(|from| from.channel == *channel);
            let counts = self.dead_counts(channel).await?;
            for (partition, dead) in self.partitions().all().zip(counts) {
                let is_passed = from.is_some_and(|from| partition < from.partition);
                let is_foreign = scope.sku.as_ref().is_some_and(|sku| self.partitions().of(sku) != partition);
                if dead == 0 || is_passed || is_foreign {
                    continue;
                }
                let from = from.filter(|from| from.partition == partition);
                let passed = from.and_then(|from| from.passed.clone());
                if self.walk_letters(&mut walk, channel, partition, passed).await? {
                    return Ok(walk.page);
                }
            }
        }
        Ok(walk.page)
    }

    /// Goes through the letters of one channel in one partition; answers whether the page is at its end.
    async fn walk_letters(
        &self,
        walk: &mut Walk<'_>,
        channel: &ChannelId,
        partition: Partition,
        begin: Option<(i64, String)>,
    ) -> Result<bool, StoreError> {
        let mut passed = begin.clone();
        loop {
            if walk.reads_left == 0 {
                walk.page.next = Some(DeadPosition { channel: channel.clone(), partition, passed });
                return Ok(true);
            }
            walk.reads_left -= 1;
            let found =
                self.read_letters(channel, partition, walk.scope.sku.as_ref(), passed.as_ref()).await?;
            let is_last = found.len() < READ_LETTERS;
            for Found { dead_ms, sku, letter } in found {
                if walk.scope.is_over(dead_ms) {
                    return Ok(false);
                }
                let place = (dead_ms, sku);
                let is_new = begin.as_ref().is_none_or(|begin| place > *begin);
                passed = Some(place);
                let wanted = letter.filter(|letter| is_new && walk.scope.holds(letter, &walk.needle));
                walk.page.letters.extend(wanted);
                if walk.page.letters.len() == walk.count {
                    walk.page.next = Some(DeadPosition { channel: channel.clone(), partition, passed });
                    return Ok(true);
                }
            }
            if is_last {
                return Ok(false);
            }
        }
    }

    async fn read_letters(
        &self,
        channel: &ChannelId,
        partition: Partition,
        only: Option<&Sku>,
        passed: Option<&(i64, String)>,
    ) -> Result<Vec<Found>, StoreError> {
        let of = self.inner.keys.channel(partition, channel);
        let keys = [of.dirty, of.work, of.sync, of.dead, self.inner.keys.stock(partition)];
        let mut command = DEAD_LETTERS_SCRIPT.call(keys.iter().map(String::as_str));
        command.arg(only.map_or("", |sku| sku.as_str()));
        match passed {
            Some((dead_ms, sku)) => command.arg(*dead_ms).arg(sku),
            None => command.arg("").arg(""),
        };
        command.arg(READ_LETTERS);
        let reply = self.run_script(&DEAD_LETTERS_SCRIPT, &command).await?;
        let texts = answers(&DEAD_LETTERS_SCRIPT, "letters", &reply)?;
        let (letters, []) = texts.as_chunks::<6>() else {
            return Err(corrupt(&DEAD_LETTERS_SCRIPT, &reply));
        };
        let read = letters.iter().map(|texts| found(channel, texts));
        read.collect::<Option<_>>().ok_or_else(|| corrupt(&DEAD_LETTERS_SCRIPT, &reply))
    }
}

/// What one page is made by.
struct Walk<'a> {
    scope: &'a DeadScope,
    needle: String,
    count: usize,
    reads_left: usize,
    page: DeadPage,
}

/// What follows the word a script answers with.
fn answers<'a>(script: &Script, word: &str, reply: &'a [String]) -> Result<&'a [String], StoreError> {
    match reply {
        [first, rest @ ..] if first == word => Ok(rest),
        _ => Err(corrupt(script, reply)),
    }
}

/// None when the time of death is no number. Texts that do not parse leave their part of the letter empty: it must still be
/// seen, and be dropped.
fn found(channel: &ChannelId, texts: &[String; 6]) -> Option<Found> {
    let [sku, dead_ms, dirty_ms, work, sync, level] = texts;
    let dead_ms = dead_ms.parse().ok()?;
    let Work { attempts, since_ms, last_error } = Work::read(work).unwrap_or_default();
    let (confirmed_version, confirmed_quantity) =
        Confirmed::read(sync).map_or((0, 0), |told| (told.version, told.quantity));
    let (version, available) = match StoredLevel::read(Some(level)) {
        StoredLevel::Known { level, .. } => (level.version, level.available()),
        StoredLevel::Unknown | StoredLevel::Broken => (0, 0),
    };
    let letter = Sku::parse(sku).ok().map(|sku| DeadLetter {
        channel: channel.clone(),
        sku,
        dead_ms,
        oldest_unconfirmed_ms: dirty_ms.parse().ok().into_iter().chain(since_ms).min(),
        attempts,
        last_error,
        confirmed_version,
        confirmed_quantity,
        version,
        available,
    });
    Some(Found { dead_ms, sku: sku.clone(), letter })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(texts: [&str; 6]) -> Option<DeadLetter> {
        found(&ChannelId::parse("web").expect("legal"), &texts.map(str::to_owned))
            .and_then(|found| found.letter)
    }

    #[test]
    fn a_letter_is_read_as_far_as_it_parses() {
        let whole = letter([
            "A",
            "900",
            "",
            "20 - 0 500 0 100 503 Service Unavailable: busy",
            "3 7 0 400",
            "9 2 5 800 0 0-1-0-0",
        ])
        .expect("a letter");
        assert_eq!((whole.dead_ms, whole.oldest_unconfirmed_ms, whole.attempts), (900, Some(500), 20));
        assert_eq!(whole.last_error, "503 Service Unavailable: busy");
        assert_eq!((whole.confirmed_version, whole.confirmed_quantity), (3, 7));
        assert_eq!((whole.version, whole.available), (5, 7));
        // It changed after it died and is told again: the older of the two counts.
        let again = letter(["A", "900", "450", "0 token 6 950 0 0 ", "", ""]).expect("a letter");
        assert_eq!((again.oldest_unconfirmed_ms, again.version), (Some(450), 0));
        let bare = letter(["A", "900", "", "nonsense", "x", "y"]).expect("a letter");
        assert_eq!((bare.attempts, bare.oldest_unconfirmed_ms, bare.last_error.as_str()), (0, None, ""));
        assert_eq!(letter(["no sku", "900", "", "", "", ""]), None);
        assert_eq!(letter(["A", "never", "", "", "", ""]), None);
    }
}
