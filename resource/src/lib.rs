//! What a Kubernetes object is: kinds, validation, metadata rules, selectors, patches, history.
