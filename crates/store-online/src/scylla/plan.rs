//! What travels together. Decided from facts, without the cluster.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::failure::Kind;
use crate::Upsert;

/// Of the records of each key only the newest: the others would lose anyway.
pub(super) fn newest(rows: &[Upsert]) -> Vec<&Upsert> {
    let mut places: HashMap<&[u8], usize> = HashMap::with_capacity(rows.len());
    let mut newest: Vec<&Upsert> = Vec::with_capacity(rows.len());
    for row in rows {
        match places.entry(&row.key) {
            Entry::Vacant(place) => {
                place.insert(newest.len());
                newest.push(row);
            }
            Entry::Occupied(place) => {
                let best = &mut newest[*place.get()];
                if row.version > best.version {
                    *best = row;
                }
            }
        }
    }
    newest
}

/// Something to send, and what its place in a batch depends on.
#[derive(Debug)]
pub(super) struct Parcel<T> {
    pub item: T,
    pub bytes: usize,
    /// `None` when it is not known.
    pub replica: Option<usize>,
}

/// What is sent in one request.
#[derive(Debug)]
pub(super) struct Batch<T> {
    pub items: Vec<T>,
    pub replica: Option<usize>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub items_max: usize,
    /// A single item may be larger; it then stands alone.
    pub bytes_max: usize,
}

/// Puts together what lives on the same replica, as far as the limits allow. What has no known replica
/// stands alone: the driver then finds the way for it, and learns.
pub(super) fn batches<T>(
    parcels: impl IntoIterator<Item = Parcel<T>>,
    limits: Limits,
) -> Vec<Batch<T>> {
    let mut batches: Vec<Batch<T>> = Vec::new();
    // For each replica the batch that is being filled, and its bytes.
    let mut open: HashMap<usize, (usize, usize)> = HashMap::new();
    for parcel in parcels {
        let Parcel {
            item,
            bytes,
            replica,
        } = parcel;
        if let Some((index, filled)) = replica.and_then(|replica| open.get_mut(&replica)) {
            let items = &mut batches[*index].items;
            if items.len() < limits.items_max && *filled + bytes <= limits.bytes_max {
                items.push(item);
                *filled += bytes;
                continue;
            }
        }
        if let Some(replica) = replica {
            open.insert(replica, (batches.len(), bytes));
        }
        batches.push(Batch {
            items: vec![item],
            replica,
        });
    }
    batches
}

/// Smaller batches to try in place of one that failed; none when that would not help.
pub(super) fn smaller<T>(kind: Kind, mut items: Vec<T>) -> Vec<Vec<T>> {
    if items.len() < 2 {
        return Vec::new();
    }
    match kind {
        // The limit of the servers is not known, only that this was too large.
        Kind::Invalid => {
            let behind = items.split_off(items.len() / 2);
            vec![items, behind]
        }
        Kind::TimedOut => items.into_iter().map(|item| vec![item]).collect(),
        Kind::Transient | Kind::Protocol | Kind::Refused => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    use super::*;
    use crate::conformance::{delete, newest_of, random_rows, row};

    #[test]
    fn of_each_key_the_newest_is_sent() {
        let rows = [
            row(b"a", 2, 0, b""),
            row(b"b", 1, 1, b""),
            row(b"a", 1, 2, b""),
            delete(b"b", 1, 3),
            row(b"c", 5, 4, b""),
            row(b"c", 5, 5, b""),
        ];
        let offsets: Vec<u64> = newest(&rows)
            .iter()
            .map(|row| row.version.offset.0)
            .collect();
        assert_eq!(offsets, [0, 3, 5]);
        let rows = random_rows(7, 500, 40);
        let sent: Vec<Upsert> = newest(&rows).into_iter().cloned().collect();
        assert_eq!(newest_of(&sent), newest_of(&rows));
        assert_eq!(newest(&sent).len(), sent.len());
    }

    #[test]
    fn a_batch_that_failed_is_cut_or_taken_apart_until_it_is_one() {
        let halves = smaller(Kind::Invalid, vec![1, 2, 3]);
        assert_eq!(halves, [vec![1], vec![2, 3]]);
        let singles = smaller(Kind::TimedOut, vec![1, 2, 3]);
        assert_eq!(singles, [vec![1], vec![2], vec![3]]);
        assert!(smaller(Kind::Transient, vec![1, 2]).is_empty());
        assert!(smaller(Kind::Invalid, vec![1]).is_empty());
        assert!(smaller(Kind::TimedOut, vec![1]).is_empty());
    }

    proptest! {
        #[test]
        fn every_item_is_sent_once_and_within_the_limits(
            parcels in vec((0..300_usize, option::of(0..5_usize)), 0..400),
            items_max in 1..20_usize,
            bytes_max in 1..1_000_usize,
        ) {
            let limits = Limits { items_max, bytes_max };
            let numbered = parcels.iter().enumerate();
            let numbered = numbered.map(|(item, (bytes, replica))| Parcel {
                item,
                bytes: *bytes,
                replica: *replica,
            });
            let batches = batches(numbered, limits);
            let mut sent: Vec<usize> = Vec::new();
            for batch in &batches {
                let bytes: usize = batch.items.iter().map(|item| parcels[*item].0).sum();
                prop_assert!(batch.items.len() <= items_max);
                prop_assert!(bytes <= bytes_max || batch.items.len() == 1);
                prop_assert!(batch.replica.is_some() || batch.items.len() == 1);
                prop_assert!(batch.items.iter().all(|item| parcels[*item].1 == batch.replica));
                sent.extend(&batch.items);
            }
            sent.sort_unstable();
            let all: Vec<usize> = (0..parcels.len()).collect();
            prop_assert_eq!(sent, all);
        }

        #[test]
        fn batches_are_filled(count in 0..1_000_usize, items_max in 1..50_usize) {
            let limits = Limits { items_max, bytes_max: usize::MAX };
            let parcels = (0..count).map(|item| Parcel { item, bytes: 1, replica: Some(item % 3) });
            let batches = batches(parcels, limits);
            let of_replica = |replica: usize| (count + 2 - replica) / 3;
            let wanted: usize = (0..3).map(|replica| of_replica(replica).div_ceil(items_max)).sum();
            prop_assert_eq!(batches.len(), wanted);
        }
    }
}
