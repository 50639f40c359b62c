//! Placement: see the submodules.
