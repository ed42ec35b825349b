use twinfold_model::PartitionId;

/// The partition of a key: murmur2 as Kafka's default partitioner computes it, so that rows of one
/// key stay in one partition whichever client wrote them.
pub fn partition(key: &[u8], partitions: u32) -> PartitionId {
    let positive = murmur2(key) & 0x7fff_ffff;
    PartitionId(positive % partitions.max(1))
}

fn murmur2(data: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;
    // Kafka's length is a 32-bit integer too.
    let mut hash = SEED ^ data.len() as u32;
    let (words, tail) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> R;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !tail.is_empty() {
        for (index, byte) in tail.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * index);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn murmur2_agrees_with_kafka() {
        for (key, expected) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            (
                "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
                -58_897_971,
            ),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), expected, "{key}");
        }
    }

    #[test]
    fn a_partition_is_below_their_number() {
        assert_eq!(partition(b"foobar", 1), PartitionId(0));
        let hash = murmur2(b"foobar") & 0x7fff_ffff;
        assert_eq!(partition(b"foobar", 7), PartitionId(hash % 7));
    }
}
