//! The conformance suite on the executable specification, bare and under each layer.

use std::sync::Arc;

use conformance::{Faulty, Layered, Volatile};
use storage_core::Memory;
use storage_core::layer::{ChangeCache, ChangeCacheLimits};

conformance::suite_layered!(memory, Volatile::new(Memory::with_clock));
conformance::suite!(
    memory_behind_a_pointer,
    Volatile::new(|clock| Arc::new(Memory::with_clock(clock)))
);
conformance::suite!(
    memory_behind_a_quiet_fault_injector,
    Layered::new(Volatile::new(Memory::with_clock), |backend| Arc::new(
        Faulty::new(backend)
    ))
);
// Small enough that most answers come half from the store.
conformance::suite!(
    memory_behind_a_small_change_cache,
    Layered::new(Volatile::new(Memory::with_clock), |backend| {
        let limits = ChangeCacheLimits {
            changes: 8,
            bytes: 4 << 10,
        };
        Arc::new(ChangeCache::with_limits(backend, limits))
    })
);
