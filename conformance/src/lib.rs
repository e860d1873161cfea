//! The conformance suite of storage backends, the operation model and the faulty backend.
