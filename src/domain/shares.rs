//! Who of several workers serves which partition: each of them works it out alone, and all come to the same.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::Partition;

/// The worker a partition belongs to: the one whose name and the partition hash highest (rendezvous hashing). When a worker comes,
/// only what becomes its own moves; when one goes, only what was its own. None without workers. O(workers).
pub fn partition_owner(partition: Partition, workers: &[String]) -> Option<&str> {
    let weight = |worker: &str| xxh3_64_with_seed(worker.as_bytes(), u64::from(partition.0));
    workers.iter().map(String::as_str).max_by_key(|worker| (weight(worker), *worker))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::domain::Partitions;

    fn workers(count: usize) -> Vec<String> {
        (0..count).map(|index| format!("worker-{index}")).collect()
    }

    fn owners(partitions: u16, workers: &[String]) -> Vec<&str> {
        let all = Partitions::new(partitions).expect("not zero").all();
        all.map(|partition| partition_owner(partition, workers).expect("there are workers")).collect()
    }

    #[test]
    fn every_worker_has_about_its_share_of_all_partitions() {
        for count in 1..=16 {
            let workers = workers(count);
            let mut shares: HashMap<&str, usize> = HashMap::new();
            owners(4096, &workers).into_iter().for_each(|owner| *shares.entry(owner).or_default() += 1);
            let fair = 4096 / count;
            let is_fair = |share: &usize| (fair * 3 / 4..=fair * 5 / 4).contains(share);
            assert!(shares.len() == count && shares.values().all(is_fair), "{count}: {shares:?}");
        }
        assert_eq!(partition_owner(Partition(0), &[]), None);
    }

    #[test]
    fn the_order_of_the_names_is_of_no_matter() {
        let (mut turned, there) = (workers(5), workers(5));
        turned.reverse();
        assert_eq!(owners(256, &turned), owners(256, &there));
    }

    #[test]
    fn only_what_must_move_moves() {
        let (few, more) = (workers(4), workers(5));
        let (before, after) = (owners(256, &few), owners(256, &more));
        let moved: Vec<_> = before.iter().zip(&after).filter(|(before, after)| before != after).collect();
        assert!(!moved.is_empty() && moved.iter().all(|(_, to)| **to == "worker-4"), "{moved:?}");
    }
}
