//! Layers: backends made of another backend. None knows an engine.
