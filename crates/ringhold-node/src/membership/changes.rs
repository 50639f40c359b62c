//! What operators ask for.
//!
//! Each wish becomes the next ring document: made as a draft of the newest one, checked, agreed on, taken into use, spread. What
//! is refused is refused with the reason, and nothing has changed then.

use super::agreement::NotAgreed;
use crate::node::Node;
use ringhold_core::id::NodeId;
use ringhold_core::ring::{Change, ChangeRefused, FurtherSection, Member, RingDocument};
use std::fmt;
use std::sync::Arc;

/// Why a change did not come about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeFailed {
    /// It does not fit the cluster as it is. Nothing has changed.
    Refused(ChangeRefused),
    /// Too few voters have answered. It may have been accepted by some, and be committed by whoever asks next.
    NoMajority,
    /// Other changes were faster each time. As above.
    Outbid,
    /// Two documents under one number are about: no change is safe until people have looked.
    Contradiction,
    /// This node's store has failed.
    StoreFailed,
    /// The token of a join was used for another node.
    TokenSpent,
}

impl fmt::Display for ChangeFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(reason) => reason.fmt(f),
            Self::NoMajority => f.write_str(
                "no majority of the members answers, so the ring can't be changed now; reads and writes go on. \
                 Try again when more members can be reached, and look at the status first: some may have accepted it. \
                 If a majority is lost for good, `ringhold cluster recover` shows what going on without it would come to",
            ),
            Self::Outbid => f.write_str(
                "other changes of the ring were faster each time; look at the status and try again",
            ),
            Self::Contradiction => f.write_str(
                "two ring documents have one number: a disk has gone back in time; change nothing before that is understood",
            ),
            Self::StoreFailed => f.write_str("this node's store has failed"),
            Self::TokenSpent => f.write_str("the token was used for another node: draw a new one"),
        }
    }
}

impl std::error::Error for ChangeFailed {}

impl From<NotAgreed> for ChangeFailed {
    fn from(reason: NotAgreed) -> Self {
        match reason {
            NotAgreed::Refused(reason) => Self::Refused(reason),
            NotAgreed::NoMajority => Self::NoMajority,
            NotAgreed::Outbid => Self::Outbid,
            NotAgreed::Contradiction => Self::Contradiction,
            NotAgreed::Store(_) => Self::StoreFailed,
        }
    }
}

/// The ring document after a change.
pub type Changed = Result<Arc<RingDocument>, ChangeFailed>;

/// The section in which used tokens are listed: of each, its id and the id of the node that it was used for.
const TOKENS_SECTION: &str = "spent-tokens";
const TOKEN_ROW_BYTES: usize = 32;

impl Node {
    /// Makes a new node known to all, with its join staged. Asked again for the same node, it answers the same.
    ///
    /// # Errors
    /// See [`ChangeFailed`].
    pub async fn enrol(self: &Arc<Self>, joiner: Member, token: u128) -> Changed {
        let agreed = self.agree(|held| {
            match spent(held, token) {
                Some(node) if node == joiner.id => {
                    return Err(ChangeRefused::KnownIdentity { node });
                }
                Some(_) => return Err(ChangeRefused::TokenSpent),
                None => {}
            }
            Ok(with_token(
                held.enrolling(joiner.clone())?,
                token,
                joiner.id,
            ))
        });
        match agreed.await {
            Err(NotAgreed::Refused(ChangeRefused::KnownIdentity { .. }))
                if spent(self.ring().document(), token) == Some(joiner.id) =>
            {
                Ok(Arc::new(self.ring().document().clone()))
            }
            Err(NotAgreed::Refused(ChangeRefused::TokenSpent)) => Err(ChangeFailed::TokenSpent),
            agreed => agreed.map_err(ChangeFailed::from),
        }
    }

    /// Adds a change to what is staged.
    ///
    /// # Errors
    /// See [`ChangeFailed`].
    pub async fn stage(self: &Arc<Self>, change: Change) -> Changed {
        let staged = self.agree(|held| held.staging(change.clone()));
        staged.await.map_err(ChangeFailed::from)
    }

    /// Has all that is staged begin.
    ///
    /// # Errors
    /// See [`ChangeFailed`].
    pub async fn commit_changes(self: &Arc<Self>) -> Changed {
        let committed = self.agree(RingDocument::committing);
        committed.await.map_err(ChangeFailed::from)
    }

    /// Gives up the placement change under way, or else what is staged.
    ///
    /// # Errors
    /// See [`ChangeFailed`].
    pub async fn abort_changes(self: &Arc<Self>) -> Changed {
        let aborted = self.agree(|held| match held.placement.next {
            Some(_) => held.aborting(),
            None => held.unstaging(),
        });
        aborted.await.map_err(ChangeFailed::from)
    }
}

/// What is so already is no failure.
pub(crate) fn settled<T>(agreed: Result<T, NotAgreed>) -> Result<(), ChangeFailed> {
    match agreed {
        Ok(_) | Err(NotAgreed::Refused(ChangeRefused::NothingChanges)) => Ok(()),
        Err(reason) => Err(reason.into()),
    }
}

/// The node that a token was used for.
fn spent(document: &RingDocument, token: u128) -> Option<NodeId> {
    let section = document
        .further
        .iter()
        .find(|section| section.name == TOKENS_SECTION)?;
    let number = |bytes: &[u8]| bytes.try_into().map(u128::from_be_bytes).ok();
    let mut rows = section.bytes.chunks_exact(TOKEN_ROW_BYTES);
    rows.find_map(|row| {
        let (id, node) = row.split_at(TOKEN_ROW_BYTES / 2);
        (number(id) == Some(token)).then(|| number(node).map(NodeId))?
    })
}

fn with_token(mut draft: RingDocument, token: u128, node: NodeId) -> RingDocument {
    let row = [token.to_be_bytes(), node.0.to_be_bytes()].concat();
    let known = draft
        .further
        .iter_mut()
        .find(|section| section.name == TOKENS_SECTION);
    match known {
        Some(section) => section.bytes = [&section.bytes[..], &row].concat().into(),
        None => draft.further.push(FurtherSection {
            name: TOKENS_SECTION.to_owned(),
            bytes: row.into(),
        }),
    }
    draft.sealed()
}
