//! What Linux knows of a process: its children, and the CPU time it used. Elsewhere nothing is known, and nothing shown.

use std::{fs, time::Duration};

/// Linux counts in ticks of `USER_HZ`, which is 100 on every architecture we can run on.
const TICK: Duration = Duration::from_millis(10);
/// gateway → guard → Redis; one more to be safe.
const DEPTH_MAX: usize = 4;

/// CPU time a process used so far, in user and kernel mode, over all its threads.
pub(crate) fn cpu_time(pid: u32) -> Option<Duration> {
    let fields = Stat::of(pid)?.fields;
    // utime and stime are the 14th and 15th of proc(5); the list begins with the third.
    let ticks: u32 = fields.get(11)?.parse::<u32>().ok()? + fields.get(12)?.parse::<u32>().ok()?;
    Some(TICK * ticks)
}

/// The process named `name` below `ancestor`.
pub(crate) fn descendant(ancestor: u32, name: &str) -> Option<u32> {
    let pids = fs::read_dir("/proc").ok()?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let mut named = pids.filter(|pid| Stat::of(*pid).is_some_and(|stat| stat.name.starts_with(name)));
    named.find(|pid| ancestors(*pid).any(|one| one == ancestor))
}

fn ancestors(pid: u32) -> impl Iterator<Item = u32> {
    std::iter::successors(Some(pid), |pid| Stat::of(*pid)?.fields.get(1)?.parse().ok())
        .skip(1)
        .take(DEPTH_MAX)
}

struct Stat {
    name: String,
    /// From the third of proc(5) on: state, parent, …
    fields: Vec<String>,
}

impl Stat {
    fn of(pid: u32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name stands in parentheses and may hold spaces and parentheses itself.
        let (before, after) = text.rsplit_once(") ")?;
        let (_, name) = before.split_once('(')?;
        Some(Self { name: name.to_owned(), fields: after.split_whitespace().map(str::to_owned).collect() })
    }
}
