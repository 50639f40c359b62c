//! The tests of the data types: each rule by its name, the laws and the rules together on random histories
//! against a model, the bytes, and wrong variants that these have to find.

mod bytes;
mod histories;
mod laws;
mod mistakes;
mod model;
mod nested_counter;
mod rules;
mod sample;
mod twins;
mod updates;
