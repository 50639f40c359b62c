//! What a new node shows to be let in, once.
//!
//! An operator asks any member for a token and gives it to the new node as one string. It says until when it is
//! good, which authority the members' certificates are from (so that the new node knows whom it may tell
//! the rest), and ends with a keyed hash by the cluster's secret: any member can tell that the cluster gave
//! it out, without having been told. Its number is drawn; that it is used once only is for the ring
//! document to hold, which is where the members agree.
//!
//! ```text
//! u8       1, the version
//! u128     number
//! u64      seconds since 1970 at which it ends
//! 32 B     public key of the authority (Ed25519)
//! 16 B     keyed hash of all that
//! ```
//!
//! As text: [`TEXT_PREFIX`], then two hexadecimal digits a byte. The prefix is for people, and for programs that look for
//! secrets where none should be.
//!
//! Invariants: a token that was altered in any bit is not [`genuine`](JoinToken::verify); `Debug` shows its number and
//! its end only, with which nobody can join.
//!
//! Not here: whether it was used already, and the key that belongs to the authority.

use crate::id::TokenId;
use crate::secret::join_token_mac;
use std::fmt;

/// The first characters of each token.
pub const TEXT_PREFIX: &str = "rhjoin_";
/// The bytes of a token.
pub const TOKEN_BYTES: usize = SIGNED_BYTES + 16;

const VERSION: u8 = 1;
const SIGNED_BYTES: usize = 1 + 16 + 8 + 32;

/// The right to join a cluster once.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    pub id: TokenId,
    /// Seconds since 1970.
    pub expires_at_s: u64,
    /// The Ed25519 public key that signs the members' certificates.
    pub authority: [u8; 32],
    mac: [u8; 16],
}

/// Why a text or some bytes are no token. Nothing of them is repeated: they may be half of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoToken;

impl fmt::Display for NoToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "this is no token: one begins with {TEXT_PREFIX} and has {} characters",
            TEXT_PREFIX.len() + 2 * TOKEN_BYTES
        )
    }
}

impl std::error::Error for NoToken {}

/// Why a token is not good here and now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenRefused {
    /// It is of another cluster, or was altered.
    Foreign,
    /// Its time has passed.
    Expired,
}

impl JoinToken {
    /// A new token; `id` must have been drawn for it.
    #[must_use]
    pub fn issue(
        cluster_secret: &[u8; 32],
        id: TokenId,
        expires_at_s: u64,
        authority: [u8; 32],
    ) -> Self {
        let mut token = Self {
            id,
            expires_at_s,
            authority,
            mac: [0; 16],
        };
        token.mac = join_token_mac(cluster_secret, &token.signed());
        token
    }

    /// Whether the cluster with this secret gave it out, and it has not ended.
    ///
    /// # Errors
    /// [`TokenRefused`]; of a foreign token nothing else is believed.
    pub fn verify(&self, cluster_secret: &[u8; 32], now_s: u64) -> Result<(), TokenRefused> {
        let expected = join_token_mac(cluster_secret, &self.signed());
        // The same time wherever the difference is.
        let differences = expected
            .iter()
            .zip(&self.mac)
            .fold(0, |found, (a, b)| found | (a ^ b));
        if differences != 0 {
            return Err(TokenRefused::Foreign);
        }
        if now_s >= self.expires_at_s {
            return Err(TokenRefused::Expired);
        }
        Ok(())
    }

    #[must_use]
    pub fn to_bytes(&self) -> [u8; TOKEN_BYTES] {
        let mut bytes = [0; TOKEN_BYTES];
        let (signed, mac) = bytes.split_at_mut(SIGNED_BYTES);
        signed.copy_from_slice(&self.signed());
        mac.copy_from_slice(&self.mac);
        bytes
    }

    /// # Errors
    /// If they are not the bytes of a token of this version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, NoToken> {
        let (version, rest) = take::<1>(bytes)?;
        let (id, rest) = take(rest)?;
        let (expires_at, rest) = take(rest)?;
        let (authority, rest) = take(rest)?;
        let (mac, rest) = take(rest)?;
        if version != [VERSION] || !rest.is_empty() {
            return Err(NoToken);
        }
        Ok(Self {
            id: TokenId(u128::from_be_bytes(id)),
            expires_at_s: u64::from_be_bytes(expires_at),
            authority,
            mac,
        })
    }

    /// The string that an operator carries from a member to the new node.
    #[must_use]
    pub fn to_text(&self) -> String {
        let digits = self.to_bytes().map(|byte| format!("{byte:02x}"));
        format!("{TEXT_PREFIX}{}", digits.concat())
    }

    /// # Errors
    /// If it is not the text of a token.
    pub fn from_text(text: &str) -> Result<Self, NoToken> {
        let digits = text.trim().strip_prefix(TEXT_PREFIX).ok_or(NoToken)?;
        let digit = |byte: &u8| char::from(*byte).to_digit(16);
        let digits: Option<Vec<u32>> = digits.as_bytes().iter().map(digit).collect();
        let digits = digits.filter(|digits| digits.len() == 2 * TOKEN_BYTES);
        let bytes: Vec<u8> = digits
            .ok_or(NoToken)?
            .chunks_exact(2)
            .map(|pair| u8::try_from(pair[0] * 16 + pair[1]).expect("two digits are a byte"))
            .collect();
        Self::from_bytes(&bytes)
    }

    fn signed(&self) -> [u8; SIGNED_BYTES] {
        let mut signed = [VERSION; SIGNED_BYTES];
        signed[1..17].copy_from_slice(&self.id.0.to_be_bytes());
        signed[17..25].copy_from_slice(&self.expires_at_s.to_be_bytes());
        signed[25..].copy_from_slice(&self.authority);
        signed
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinToken")
            .field("id", &self.id)
            .field("expires_at_s", &self.expires_at_s)
            .finish_non_exhaustive()
    }
}

fn take<const N: usize>(bytes: &[u8]) -> Result<([u8; N], &[u8]), NoToken> {
    let (first, rest) = bytes.split_first_chunk().ok_or(NoToken)?;
    Ok((*first, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: [u8; 32] = [7; 32];

    fn token() -> JoinToken {
        JoinToken::issue(&SECRET, TokenId(0xabcd), 1_000, [9; 32])
    }

    #[test]
    fn a_token_is_good_until_its_end_in_its_cluster() {
        let token = JoinToken::from_text(&token().to_text()).expect("it is a token");
        assert_eq!(token.verify(&SECRET, 999), Ok(()));
        assert_eq!(token.verify(&SECRET, 1_000), Err(TokenRefused::Expired));
        assert_eq!(token.verify(&[8; 32], 999), Err(TokenRefused::Foreign));
    }

    #[test]
    fn a_token_that_was_altered_in_any_bit_is_foreign_or_none() {
        let bytes = token().to_bytes();
        for bit in 0..bytes.len() * 8 {
            let mut altered = bytes;
            altered[bit / 8] ^= 1 << (bit % 8);
            match JoinToken::from_bytes(&altered) {
                Ok(token) => assert_eq!(
                    token.verify(&SECRET, 0),
                    Err(TokenRefused::Foreign),
                    "bit {bit}"
                ),
                Err(NoToken) => assert!(bit < 8, "only the version is refused unread: {bit}"),
            }
        }
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let text = token().to_text();
        let longer = format!("{text}00");
        let elsewhere = text.replace(TEXT_PREFIX, "rhjion_");
        let no_digit = text.replace('a', "g");
        for wrong in [
            "",
            TEXT_PREFIX,
            &text[..40],
            &text[1..],
            &longer,
            &elsewhere,
            &no_digit,
            "rhjoin_é",
        ] {
            assert_eq!(JoinToken::from_text(wrong), Err(NoToken), "{wrong}");
        }
    }

    #[test]
    fn debug_shows_nothing_to_join_with() {
        let shown = format!("{:?}", token());
        let mac: String = token().mac.map(|byte| format!("{byte:02x}")).concat();
        assert!(
            !shown.contains(&mac[..8]) && !shown.contains("mac"),
            "{shown}"
        );
    }
}
