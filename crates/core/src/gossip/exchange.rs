//! How two nodes find what one has and the other has not, in few bytes whatever they have.
//!
//! The one sends a number per scope, the sum of all it has. Where the other's differs, it answers with 128 sums, one per part of the ids;
//! for parts that differ the first lists its ids and hashes, or sums again where there are many; and on a list the other sends what
//! the first lacks and asks for what it lacks itself. No step is remembered: each message says all that its answer needs.

use super::topic::Topic;

/// Parts of a range.
pub const SUMS: usize = 128;
/// Bits by which a part is found.
const PART_BITS: u8 = 7;
/// Items of a range that are listed instead of summed up.
pub(super) const LISTED_MAX: usize = 64;
/// Ids in one message.
pub const IDS_MAX: usize = 1024;

/// One sum per part of a range.
pub type Sums = [u64; SUMS];

/// What is compared for itself: what changes all the time must not hide that all else is equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// What every node wants.
    Mesh,
    /// Load.
    Load,
    /// All else that both want.
    Private,
}

impl Scope {
    pub(super) const ALL: [Scope; 3] = [Scope::Mesh, Scope::Load, Scope::Private];

    pub(super) fn of(topics: &[Topic]) -> Scope {
        topics.iter().map(Topic::scope).min().unwrap_or(Scope::Private)
    }
}

/// All ids that begin with these bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The bits, at the upper end.
    prefix: u64,
    /// How many of them; a multiple of seven.
    bits: u8,
}

impl Range {
    /// Every id.
    pub const ALL: Range = Range { prefix: 0, bits: 0 };

    /// The range of ids that begin with the upper `bits` bits of `prefix`; at most 56, in sevens.
    pub fn new(prefix: u64, bits: u8) -> Option<Range> {
        let sound = bits <= 56 && bits.is_multiple_of(PART_BITS) && prefix & (u64::MAX >> bits) == 0;
        (sound || (prefix == 0 && bits == 0)).then_some(Range { prefix, bits })
    }

    /// The bits and their number.
    pub fn parts(self) -> (u64, u8) {
        (self.prefix, self.bits)
    }

    /// The first and the last id.
    pub(super) fn ends(self) -> (u64, u64) {
        (self.prefix, self.prefix | u64::MAX.checked_shr(self.bits.into()).unwrap_or(0))
    }

    /// In which part of this range an id lies.
    pub(super) fn part(self, id: u64) -> usize {
        let shift = 64 - u32::from(self.bits + PART_BITS);
        usize::try_from((id >> shift) & (SUMS as u64 - 1)).expect("less than SUMS")
    }

    /// One part of this range; `None` where it is too small to have parts of its own.
    pub(super) fn narrow(self, part: usize) -> Option<Range> {
        let bits = self.bits + PART_BITS;
        Range::new(self.prefix | ((part as u64) << (64 - u32::from(bits))), bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_part_the_ids() {
        assert_eq!(Range::ALL.ends(), (0, u64::MAX));
        let id = 0xdead_beef_0123_4567;
        let mut range = Range::ALL;
        for _ in 0..8 {
            range = range.narrow(range.part(id)).unwrap();
            let (first, last) = range.ends();
            assert!((first..=last).contains(&id));
        }
        assert_eq!(range.narrow(0), None);
        assert_eq!((Range::new(1, 7), Range::new(0, 8), Range::new(0, 63)), (None, None, None));
    }
}
