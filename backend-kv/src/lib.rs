//! Storage on ordered key-value engines: redb, sled and memory.
