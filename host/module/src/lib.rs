//! What a component exports, read without an engine, and the binding of arguments to it.
