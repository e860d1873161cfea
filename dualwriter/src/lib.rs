//! A backend made of two backends and a mode: moves a kind from one store to another and loses nothing.
