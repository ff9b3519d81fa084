//! What Linux knows of a process: its children, and the CPU time it used. Elsewhere nothing is known, and nothing shown.

use std::{fs, time::Duration};

/// Linux counts in ticks of `USER_HZ`, which is 100 on every architecture we can run on.
const TICK: Duration = Duration::from_millis(10);
/// gateway → guard → Redis → its child that rewrites; the same for PostgreSQL.
const DEPTH_MAX: usize = 4;
/// The number in proc(5) of the first field after the name.
const FIRST_FIELD: usize = 3;

/// CPU time a process used so far, in user and kernel mode, over all its threads.
pub(crate) fn cpu_time(pid: u32) -> Option<Duration> {
    // utime and stime are the 14th and 15th of proc(5).
    Stat::of(pid)?.ticks(14, 15)
}

/// The same of all that run below a process, those included that ended and were waited for.
pub(crate) fn cpu_time_below(ancestor: u32) -> Option<Duration> {
    let below = pids()?.filter(|pid| ancestors(*pid).any(|one| one == ancestor));
    let each = below.filter_map(|pid| {
        let stat = Stat::of(pid)?;
        // cutime and cstime, of children waited for.
        Some(stat.ticks(14, 15)? + stat.ticks(16, 17)?)
    });
    Some(each.sum())
}

fn pids() -> Option<impl Iterator<Item = u32>> {
    Some(fs::read_dir("/proc").ok()?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()))
}

fn ancestors(pid: u32) -> impl Iterator<Item = u32> {
    std::iter::successors(Some(pid), |pid| Stat::of(*pid)?.fields.get(1)?.parse().ok())
        .skip(1)
        .take(DEPTH_MAX)
}

struct Stat {
    /// From the third of proc(5) on: state, parent, …
    fields: Vec<String>,
}

impl Stat {
    fn of(pid: u32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name stands in parentheses and may hold spaces and parentheses itself.
        let (_, after) = text.rsplit_once(") ")?;
        Some(Self { fields: after.split_whitespace().map(str::to_owned).collect() })
    }

    /// The sum of two fields that count ticks, by their numbers in proc(5).
    fn ticks(&self, one: usize, other: usize) -> Option<Duration> {
        let field = |number: usize| self.fields.get(number - FIRST_FIELD)?.parse::<u32>().ok();
        Some(TICK * (field(one)? + field(other)?))
    }
}
