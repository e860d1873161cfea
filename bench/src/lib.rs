//! Benches and the load generator over every combination of engines and layers.
