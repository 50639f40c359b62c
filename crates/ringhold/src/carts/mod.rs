//! Shopping carts, the paper's own example (§4.4, §6.3), replayed and checked item by item.
//!
//! A cart is one object: bucket `carts`, key `HOUSEHOLD-BASKET`, a JSON list of line items. Each row
//! of a file of transactions is one *add*, done by one of several devices of that household, which
//! fill the cart at the same time without knowing of each other: get, merge what came back, add the
//! item, put with the context. Two devices that read the same cart write siblings, and the next
//! reader merges them by uniting their lines: the paper's "add to cart is never lost".
//!
//! An add is over when its put is acknowledged, and not before: a request whose end is unknown goes
//! out again under its idempotency key, to another node if its own can't be reached. So at the end
//! every cart must hold exactly the lines of the file, whatever happened to the nodes meanwhile.
//! A line that is missing is *lost*; one that stands there twice or never was in the file is
//! *doubled*.
//!
//! | module | holds |
//! | --- | --- |
//! | `cart` | merging and comparing, pure |
//! | `file` | rows into carts; a malformed row stops everything before anything is written |
//! | `shop` | the devices: add, retry, verify |
//! | `report` | what is told in the end |

pub(crate) mod cart;
pub(crate) mod file;
pub(crate) mod report;
pub(crate) mod shop;
