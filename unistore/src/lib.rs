//! Storage for Kubernetes-style objects: one binary and a small library.
