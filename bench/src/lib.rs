//! Benches and the load generator over every combination of engines and layers.
//!
//! [`target`] names the combinations, [`raw`] does the same work on the bare engine, [`workload`]
//! makes the data, [`load`] drives writers and readers and tells their rates and
//! percentiles, [`rounds`] compares what was measured in turn, [`plain`] writes two stores without
//! a protocol. The benches stand on these.
//!
//! Rates of different machines and different runs cannot be compared: only ratios of targets that
//! were measured in one run say something.

pub mod load;
pub mod plain;
pub mod raw;
pub mod rounds;
pub mod target;
pub mod workload;
