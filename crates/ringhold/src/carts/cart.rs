//! A cart: merging versions of it, and comparing it with what it should hold. Pure.
//!
//! Lines are named by their row in the file, so the union of two versions is the union of their
//! rows: commutative, associative, idempotent, and an add that is done twice is done once. Nothing
//! is ever removed from a cart here; removal needs tombstones of its own, which the paper's cart
//! lacks too ("deleted items can resurface", §4.4).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One line of a cart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Item {
    /// The row of the file, the first below the heading being 1.
    pub(crate) line: u64,
    /// When it went into the cart, as the file says it.
    pub(crate) time: String,
    pub(crate) product: String,
    /// What the product is called, where a list of products says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    pub(crate) quantity: u32,
    /// US dollars for the whole line.
    pub(crate) value: f64,
}

/// What is stored.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cart {
    pub(crate) items: Vec<Item>,
}

impl Cart {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    pub(crate) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a cart is texts and finite numbers")
    }

    /// The union of versions by line, in the order of lines.
    pub(crate) fn merge(versions: impl IntoIterator<Item = Self>) -> Self {
        let items = versions.into_iter().flat_map(|version| version.items);
        let by_line: BTreeMap<u64, Item> = items.map(|item| (item.line, item)).collect();
        Self {
            items: by_line.into_values().collect(),
        }
    }

    /// Adds a line; one that is there already stays.
    pub(crate) fn add(self, item: Item) -> Self {
        Self::merge([Self { items: vec![item] }, self])
    }

    /// Compares what is stored, as it is stored, with the lines that should be there.
    pub(crate) fn compare(&self, expected: &[Item]) -> Difference {
        let mut stored: BTreeMap<u64, Vec<&Item>> = BTreeMap::new();
        for item in &self.items {
            stored.entry(item.line).or_default().push(item);
        }
        let mut difference = Difference::default();
        for item in expected {
            match stored.remove(&item.line).unwrap_or_default().as_slice() {
                [] => difference.lost += 1,
                [one] if *one != item => {
                    difference.lost += 1;
                    difference.changed += 1;
                }
                copies => difference.doubled += count(copies) - 1,
            }
        }
        difference.doubled += stored.values().map(|copies| count(copies)).sum::<u64>();
        difference
    }
}

/// How a cart differs from the file, in lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Difference {
    /// Not there, or there with another content.
    pub(crate) lost: u64,
    /// Of them there, with another content: written from another file, or with other names.
    pub(crate) changed: u64,
    /// There more than once, or there and not in the file.
    pub(crate) doubled: u64,
}

impl Difference {
    pub(crate) fn is_none(self) -> bool {
        self == Self::default()
    }

    /// Adds another cart's.
    pub(crate) fn add(&mut self, other: Self) {
        self.lost += other.lost;
        self.changed += other.changed;
        self.doubled += other.doubled;
    }
}

fn count(items: &[&Item]) -> u64 {
    u64::try_from(items.len()).expect("a cart fits into memory")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(line: u64) -> Item {
        Item {
            line,
            time: "2017-12-23T16:00:09".to_owned(),
            product: format!("p{line}"),
            name: (line == 1).then(|| "TOMATO JUICE".to_owned()),
            quantity: 1,
            value: 3.49,
        }
    }

    fn cart(lines: &[u64]) -> Cart {
        Cart {
            items: lines.iter().map(|&line| item(line)).collect(),
        }
    }

    #[test]
    fn merging_unites_lines_in_any_order() {
        let check = |versions: &[&[u64]], merged: &[u64]| {
            let forwards = Cart::merge(versions.iter().map(|lines| cart(lines)));
            let backwards = Cart::merge(versions.iter().rev().map(|lines| cart(lines)));
            assert_eq!((&forwards, &backwards), (&cart(merged), &cart(merged)));
            assert_eq!(Cart::merge([forwards.clone(), forwards]), cart(merged));
        };
        check(&[], &[]);
        check(&[&[], &[]], &[]);
        check(&[&[1, 3], &[2, 3]], &[1, 2, 3]);
        check(&[&[3], &[1], &[2]], &[1, 2, 3]);
    }

    #[test]
    fn adding_twice_adds_once() {
        let once = cart(&[2]).add(item(1));
        assert_eq!(once, cart(&[1, 2]));
        assert_eq!(once.clone().add(item(1)), once);
    }

    #[test]
    fn every_difference_is_counted() {
        let check = |stored: Cart, lost, changed, doubled| {
            let expected = [item(1), item(2), item(3)];
            assert_eq!(
                stored.compare(&expected),
                Difference {
                    lost,
                    changed,
                    doubled
                }
            );
        };
        check(cart(&[1, 2, 3]), 0, 0, 0);
        check(cart(&[3, 1, 2]), 0, 0, 0);
        check(cart(&[]), 3, 0, 0);
        check(cart(&[1, 3]), 1, 0, 0);
        check(cart(&[1, 1, 1, 2, 3]), 0, 0, 2);
        check(cart(&[1, 2, 3, 4, 4]), 0, 0, 2);
        check(cart(&[1, 1, 2]), 1, 0, 1);
        let other = Item {
            quantity: 2,
            ..item(2)
        };
        check(
            Cart {
                items: vec![item(1), other, item(3)],
            },
            1,
            1,
            0,
        );
    }

    #[test]
    fn json_round_trips_and_refuses_what_is_no_cart() {
        let whole = cart(&[1, 2]);
        assert_eq!(Cart::parse(&whole.to_json()).expect("a cart"), whole);
        for wrong in ["", "{", "[]", "{\"items\":[{\"line\":1}]}"] {
            assert!(Cart::parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
