//! Which member of a consumer group reads which partition. Pure.

use std::collections::BTreeSet;

use twinfold_model::PartitionId;

/// Members in the order in which they joined.
pub(super) type MemberId = u64;

/// Partition `p` is meant for member `p mod members`. It moves in two steps, so that it never has
/// two owners: the old one learns of it and lets go, then the new one takes it.
#[derive(Debug)]
pub(super) struct Group {
    members: BTreeSet<MemberId>,
    owners: Vec<Option<MemberId>>,
}

impl Group {
    pub(super) fn new(partitions: usize) -> Self {
        Self {
            members: BTreeSet::new(),
            owners: vec![None; partitions],
        }
    }

    pub(super) fn join(&mut self, member: MemberId) {
        self.members.insert(member);
    }

    pub(super) fn leave(&mut self, member: MemberId) {
        self.members.remove(&member);
        for owner in &mut self.owners {
            owner.take_if(|owner| *owner == member);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Takes away from `member` what is meant for others now.
    pub(super) fn let_go(&mut self, member: MemberId) -> Vec<PartitionId> {
        self.change(|owner, meant_for| {
            (owner == Some(member) && meant_for != Some(member)).then_some(None)
        })
    }

    /// Gives to `member` what is meant for it and free.
    pub(super) fn take(&mut self, member: MemberId) -> Vec<PartitionId> {
        self.change(|owner, meant_for| {
            (owner.is_none() && meant_for == Some(member)).then_some(Some(member))
        })
    }

    fn change(
        &mut self,
        decide: impl Fn(Option<MemberId>, Option<MemberId>) -> Option<Option<MemberId>>,
    ) -> Vec<PartitionId> {
        let members: Vec<MemberId> = self.members.iter().copied().collect();
        let mut changed = Vec::new();
        for (partition, owner) in self.owners.iter_mut().enumerate() {
            let meant_for = match members.len() {
                0 => None,
                count => Some(members[partition % count]),
            };
            if let Some(next) = decide(*owner, meant_for) {
                *owner = next;
                changed.push(PartitionId(partition as u32));
            }
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_partition_moves_only_after_its_owner_let_go() {
        let partitions = |ids: &[u32]| ids.iter().copied().map(PartitionId).collect::<Vec<_>>();
        let mut group = Group::new(3);
        group.join(1);
        assert_eq!(group.take(1), partitions(&[0, 1, 2]));
        group.join(2);
        assert_eq!(group.take(2), partitions(&[]));
        assert_eq!(group.let_go(1), partitions(&[1]));
        assert_eq!(group.take(2), partitions(&[1]));
        group.leave(1);
        assert_eq!(group.take(2), partitions(&[0, 2]));
        group.leave(2);
        assert!(group.is_empty());
    }

    proptest! {
        #[test]
        fn all_partitions_find_exactly_one_member(
            partitions in 1_usize..20,
            steps in prop::collection::vec((any::<bool>(), 0_u64..5), 1..20),
        ) {
            let mut group = Group::new(partitions);
            for (joins, member) in steps {
                if joins { group.join(member) } else { group.leave(member) }
                group.let_go(member);
                group.take(member);
            }
            let members: Vec<MemberId> = group.members.iter().copied().collect();
            for member in &members { group.let_go(*member); }
            for member in &members { group.take(*member); }
            let counts: Vec<usize> = members
                .iter()
                .map(|member| group.owners.iter().filter(|owner| **owner == Some(*member)).count())
                .collect();
            if members.is_empty() {
                prop_assert!(group.owners.iter().all(Option::is_none));
            } else {
                prop_assert_eq!(counts.iter().sum::<usize>(), partitions);
                let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
                prop_assert!(most - least <= 1);
            }
        }
    }
}
