//! Streams of calls.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;
use scaler_proto::value::Value;
use serde::de::DeserializeOwned;

use crate::Error;

/// The results of [`crate::Client::map`]. Dropping it cancels what is still under way.
#[derive(Debug)]
pub struct MapStream<I> {
    _input: I,
}

impl<I> MapStream<I> {
    /// The next result as a Rust type; `None` at the end.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Option<Result<T, Error>>
    where
        Self: Unpin,
    {
        todo!()
    }
}

impl<I> Stream for MapStream<I> {
    type Item = Result<Value, Error>;

    fn poll_next(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        todo!()
    }
}
