//! The bytes of a context token, which clients hold across upgrades.

use ringhold_core::id::Incarnation;
use ringhold_core::version::token::TokenScope;
use ringhold_core::version::{Actor, Context, ContextToken, Dot, KeyEpoch, Timestamp, TokenKey};
use std::fmt::Write as _;
use std::path::Path;

#[test]
fn a_token_of_version_1_keeps_its_bytes() {
    let mut context = Context::new();
    for (incarnation, epoch, counter) in [(1, 2, 3), (1, 4, 1), (0xffff, 7, 500)] {
        let actor = Actor {
            incarnation: Incarnation(incarnation),
            epoch: KeyEpoch(epoch),
        };
        context.observe(Dot { actor, counter });
    }
    let timestamp = Timestamp(1_700_000_000_000_000);
    let token = ContextToken { context, timestamp };
    let scope = TokenScope {
        bucket_type: b"default",
        bucket: b"carts",
        key: b"1057-41337857156",
    };
    let keys = TokenKey::new(&[9; 32], None);
    let sealed = keys.seal(scope, &token);
    let mut hexadecimal = String::new();
    for byte in &sealed {
        write!(hexadecimal, "{byte:02x}").expect("writing to a string can't fail");
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/context_token.hex");
    if option_env!("RINGHOLD_BLESS").is_some() {
        std::fs::write(&path, format!("{hexadecimal}\n")).expect("the folder is there");
    }
    let golden = std::fs::read_to_string(&path).expect("the golden file is in the repository");
    assert_eq!(hexadecimal, golden.trim());
    assert_eq!(keys.open(scope, &sealed), Ok(token));
}
