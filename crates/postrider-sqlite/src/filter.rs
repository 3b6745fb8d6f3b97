//! A blocked Bloom filter over hashes: one cache line is looked at for a key, so that a new key costs next to nothing.

/// Bits that a key gets. With eight bits set in a block of 256, about one new key in a thousand is a false hit.
const BITS_PER_KEY: usize = 16;
const WORDS: usize = 8;
/// Odd multipliers that spread one half of the hash over the eight words of a block.
const SPREAD: [u32; WORDS] =
    [0x9E37_79B1, 0x85EB_CA77, 0xC2B2_AE3D, 0x27D4_EB2F, 0x1656_67B1, 0xD3A2_646D, 0xFD70_46C5, 0xB55A_4F09];

/// The set of the keys of one run, with false hits but no false misses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Filter {
    blocks: Box<[[u32; WORDS]]>,
}

impl Filter {
    /// An empty filter, sized for so many keys.
    pub(crate) fn for_keys(keys: usize) -> Self {
        let blocks = (keys * BITS_PER_KEY).div_ceil(WORDS * 32).max(1);
        Self { blocks: vec![[0; WORDS]; blocks].into_boxed_slice() }
    }

    /// Where a hash belongs: its upper half chooses the block, its lower half the bits.
    #[allow(clippy::cast_possible_truncation, reason = "halves of a hash are taken on purpose")]
    fn place(&self, hash: u64) -> (usize, [u32; WORDS]) {
        let block = ((hash >> 32) * self.blocks.len() as u64) >> 32;
        (block as usize, SPREAD.map(|s| 1 << ((hash as u32).wrapping_mul(s) >> 27)))
    }

    /// Puts a key in.
    pub(crate) fn insert(&mut self, hash: u64) {
        let (block, bits) = self.place(hash);
        if let Some(words) = self.blocks.get_mut(block) {
            for (word, bit) in words.iter_mut().zip(bits) {
                *word |= bit;
            }
        }
    }

    /// Whether the key may be in it.
    pub(crate) fn contains(&self, hash: u64) -> bool {
        let (block, bits) = self.place(hash);
        self.blocks
            .get(block)
            .is_some_and(|words| words.iter().zip(bits).fold(0, |missing, (w, b)| missing | (!w & b)) == 0)
    }

    /// As stored.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        self.blocks.iter().flatten().flat_map(|w| w.to_le_bytes()).collect()
    }

    /// From what was stored; `None` if that is no filter.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() || !bytes.len().is_multiple_of(WORDS * 4) {
            return None;
        }
        let blocks = bytes
            .chunks_exact(WORDS * 4)
            .map(|block| {
                let mut words = [0; WORDS];
                for (word, b) in words.iter_mut().zip(block.chunks_exact(4)) {
                    *word = b.try_into().map_or(0, u32::from_le_bytes);
                }
                words
            })
            .collect();
        Some(Self { blocks })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mix(i: u64) -> u64 {
        let x = (i ^ (i >> 31)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    }

    #[test]
    fn every_key_put_in_is_found_and_few_others_are() {
        let mut filter = Filter::for_keys(10_000);
        (1..=10_000).for_each(|i| filter.insert(mix(i)));
        assert!((1..=10_000).all(|i| filter.contains(mix(i))));
        let filter = Filter::from_bytes(&filter.to_bytes()).unwrap();
        let wrong = (10_001..=110_000).filter(|&i| filter.contains(mix(i))).count();
        assert!(wrong < 400, "{wrong} false hits in 100,000");
    }

    #[test]
    fn bytes_of_another_length_are_refused() {
        assert!(Filter::from_bytes(&[]).is_none());
        assert!(Filter::from_bytes(&[0; 33]).is_none());
    }
}
