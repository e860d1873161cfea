//! Benches and the load generator over every combination of engines and layers.
//!
//! [`target`] names the combinations, [`raw`] does the same work on the bare engine, [`workload`]
//! makes the data, [`load`] drives writers and readers and tells their rates and percentiles. The
//! criterion benches and the `load` binary stand on these four.
//!
//! Rates of different machines and different runs cannot be compared: only ratios of targets that
//! were measured in one run say something.

pub mod load;
pub mod raw;
pub mod target;
pub mod workload;
