//! The client library: submit calls of component functions to a Scaler cluster, get futures.
