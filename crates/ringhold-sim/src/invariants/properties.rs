//! Bucket properties: when all is healed, all members hold the same overrides of a bucket, those that the latest
//! change left.
//!
//! "The latest" is by the changes' own times, whatever the clocks said. A change must be outlived by itself or a later
//! one as long as one disk that held it was not replaced; one that nobody had told of is not asked for. A change whose
//! maker's disk was replaced may be with some members and not with others: only makers see to it that all have it.

use super::Violation;
use crate::settings::{BUCKETS, Order, Settings, number_of};
use bytes::Bytes;

const NAME: &str = "properties";

/// What each member holds of one bucket, encoded.
///
/// # Errors
/// If two members differ, or if one of them holds something earlier than what some disk had.
pub fn check_end(
    settings: &Settings,
    bucket: usize,
    held: &[(usize, Bytes)],
) -> Result<(), Violation> {
    let name = String::from_utf8_lossy(BUCKETS[bucket]);
    let order_of = |overrides: &Bytes| settings.change(number_of(overrides)?)?.order;
    let latest = latest(settings, bucket, false);
    let behind = |(_, overrides): &&(usize, Bytes)| order_of(overrides) < latest;
    if let Some((node, _)) = held.iter().find(behind) {
        return Err(Violation::new(
            NAME,
            format!("n{node} lacks the latest change of the bucket {name}, of {latest:?}"),
        ));
    }
    let differs = held.windows(2).find(|pair| pair[0].1 != pair[1].1);
    if let Some(pair) = differs
        && self::latest(settings, bucket, true) <= latest
    {
        let (first, second) = (pair[0].0, pair[1].0);
        return Err(Violation::new(
            NAME,
            format!("n{first} and n{second} hold different properties of the bucket {name}"),
        ));
    }
    Ok(())
}

/// # Errors
/// If one change has two times.
pub fn check_time(is_same: bool, overrides: &Bytes) -> Result<(), Violation> {
    if is_same {
        return Ok(());
    }
    let number = number_of(overrides);
    Err(Violation::new(
        NAME,
        format!("change {number:?} has two times"),
    ))
}

/// When the latest change was made that some disk has held ever since, among the orphaned or the others.
fn latest(settings: &Settings, bucket: usize, is_orphaned: bool) -> Option<Order> {
    let held = settings
        .changes_of(bucket)
        .filter(|(_, change)| !change.holders.is_empty() && change.is_orphaned == is_orphaned);
    held.filter_map(|(_, change)| change.order).max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::FIRST;
    use ringhold_node::properties::{Overrides, Value};
    use ringhold_wire::message::peer::BucketProperties;

    /// A change at a time, and the overrides that it leaves, told of by n0.
    fn change(settings: &mut Settings, changed_us: u64) -> Bytes {
        let number = settings.begin(0, 0);
        let value = Value::Integer(i64::try_from(number).unwrap());
        let overrides = Overrides::propose([("young_vclock", value)]).unwrap();
        let properties = BucketProperties {
            bucket_type: "default".into(),
            bucket: Bytes::from_static(BUCKETS[0]),
            changed_us,
            changed_by: 1,
            overrides: overrides.encode(),
        };
        assert!(settings.sent(0, &properties));
        properties.overrides
    }

    #[test]
    fn all_hold_the_latest_that_was_not_lost() {
        let mut settings = Settings::default();
        let none = Overrides::default().encode();
        let check = |settings: &Settings, first: &Bytes, second: &Bytes| {
            check_end(settings, 0, &[(0, first.clone()), (1, second.clone())]).is_ok()
        };
        assert!(check(&settings, &none, &none));
        let (later, earlier) = (change(&mut settings, 9), change(&mut settings, 5));
        assert!(check(&settings, &later, &later));
        assert!(!check(&settings, &later, &earlier));
        assert!(!check(&settings, &earlier, &earlier));
        assert!(!check(&settings, &none, &none));
        let (last, number) = (change(&mut settings, 12), FIRST + 2);
        settings.kept(1, number);
        settings.lost(0, 3);
        assert!(
            check(&settings, &last, &earlier),
            "its maker is gone, and others have it"
        );
        settings.lost(1, 3);
        assert!(check(&settings, &earlier, &earlier) && check(&settings, &none, &none));
    }
}
