//! Counts of replicas as numbers, some of which stand for words.

use ringhold_core::quorum::Count;
use ringhold_wire::riak::symbolic;

/// Absent means: as the bucket says.
pub(super) fn count(field: Option<u32>) -> Count {
    match field {
        None | Some(symbolic::DEFAULT) => Count::Default,
        Some(symbolic::ONE) => Count::One,
        Some(symbolic::QUORUM) => Count::Quorum,
        Some(symbolic::ALL) => Count::All,
        Some(exact) => Count::Exact(exact),
    }
}

pub(super) fn field(count: Count) -> u32 {
    match count {
        Count::Default => symbolic::DEFAULT,
        Count::One => symbolic::ONE,
        Count::Quorum => symbolic::QUORUM,
        Count::All => symbolic::ALL,
        Count::Exact(exact) => exact,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_the_numbers_below_two_to_the_32() {
        let rows = [
            (4_294_967_294, Count::One),
            (4_294_967_293, Count::Quorum),
            (4_294_967_292, Count::All),
            (4_294_967_291, Count::Default),
            (0, Count::Exact(0)),
            (3, Count::Exact(3)),
        ];
        for (number, meant) in rows {
            assert_eq!((count(Some(number)), field(meant)), (meant, number));
        }
        assert_eq!(count(None), Count::Default);
    }
}
