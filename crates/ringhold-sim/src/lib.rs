//! The simulator, being built.
