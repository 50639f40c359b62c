//! The store from outside: over memory that fails on purpose, and over real files.

mod crash;
mod damage;
mod engines;
mod engines_killed;
mod formats;
mod life;
mod os_files;
mod rows;
mod sorting;
mod store;
mod sums;
mod support;
