//! The register of an epoch.

mod steps;
