//! Streams of calls: the input is drawn only as far as the window allows, so memory is bounded whatever its length.

use std::{
    fmt, future,
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;
use scaler_proto::value::Value;
use serde::de::DeserializeOwned;

use crate::{Error, Function, IntoArguments, PipeItem, PipeReceiver, PipeSender};

/// The results of [`crate::Client::map`]. Dropping it cancels what is still under way.
pub struct MapStream<I> {
    input: Option<I>,
    function: Function,
    /// Gone when the input is at its end.
    sender: Option<PipeSender>,
    receiver: PipeReceiver,
    /// Results taken since the input was last drawn from: as many elements are drawn before anything else.
    taken: usize,
}

/// The input of [`crate::Client::map`].
#[derive(Debug)]
pub struct IteratorInput<I>(pub(crate) I);

/// The input of [`crate::Client::map_stream`].
#[derive(Debug)]
pub struct StreamInput<S>(pub(crate) Pin<Box<S>>);

/// Where the arguments come from: an iterator or a stream.
pub trait Input {
    /// What it gives.
    type Item: IntoArguments;

    /// The next element.
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Self::Item>>;
}

impl<I: Iterator<Item: IntoArguments>> Input for IteratorInput<I> {
    type Item = I::Item;

    fn poll_next(&mut self, _context: &mut Context<'_>) -> Poll<Option<I::Item>> {
        Poll::Ready(self.0.next())
    }
}

impl<S: Stream<Item: IntoArguments>> Input for StreamInput<S> {
    type Item = S::Item;

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<S::Item>> {
        self.0.as_mut().poll_next(context)
    }
}

impl<I: Input> MapStream<I> {
    pub(crate) fn new(input: I, function: Function, (sender, receiver): (PipeSender, PipeReceiver)) -> Self {
        Self { input: Some(input), function, sender: Some(sender), receiver, taken: 0 }
    }

    /// The next result as a Rust type; `None` at the end.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Option<Result<T, Error>> {
        self.next_item().await.map(|item| item.result())
    }

    /// The next result with all that is known about its task; `None` at the end.
    pub async fn next_item(&mut self) -> Option<PipeItem> {
        future::poll_fn(|context| self.poll_item(context)).await
    }

    /// All results in the order of the input. The first failure ends the map, and what is under way is canceled; with
    /// [`crate::MapOptions::unordered`] that is the first in time, else the first in the input.
    ///
    /// # Errors
    /// [`Error::Element`] with the index of the element that failed; why the session ended if it did.
    pub async fn all<T: DeserializeOwned>(mut self) -> Result<Vec<T>, Error> {
        let mut results = Vec::new();
        while let Some(item) = self.next_item().await {
            let index = item.index();
            let value = item.result().map_err(|source| Error::Element { index, source: Box::new(source) })?;
            results.push((index, value));
        }
        results.sort_by_key(|(index, _)| *index);
        Ok(results.into_iter().map(|(_, value)| value).collect())
    }

    pub(crate) fn poll_item(&mut self, context: &mut Context<'_>) -> Poll<Option<PipeItem>> {
        if !self.receiver.has_taken() {
            self.draw(context);
        }
        let item = self.receiver.poll_receive(context);
        self.taken += usize::from(matches!(item, Poll::Ready(Some(_))));
        item
    }

    /// Draws from the input until the window is full, the input has nothing at hand, or a result can be taken (but for
    /// each one taken before, one element: the cluster must not run dry while results are read).
    fn draw(&mut self, context: &mut Context<'_>) {
        let mut owed = std::mem::take(&mut self.taken);
        while let (Some(sender), Some(input)) = (&mut self.sender, &mut self.input) {
            match sender.poll_room(context) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => {
                    // Refused when the receiver has told it already.
                    let _ = sender.push(Err(error));
                    return self.end_input();
                }
                Poll::Pending => return,
            }
            match input.poll_next(context) {
                Poll::Ready(Some(element)) => {
                    let Ok(ready) = sender.push(self.function.bind(element)) else { return self.end_input() };
                    owed = owed.saturating_sub(1);
                    if ready && owed == 0 {
                        return;
                    }
                }
                Poll::Ready(None) => return self.end_input(),
                Poll::Pending => return,
            }
        }
    }

    fn end_input(&mut self) {
        self.sender = None;
        self.input = None;
    }
}

impl<I: Input + Unpin> Stream for MapStream<I> {
    type Item = Result<Value, Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_item(context).map(|item| item.map(|item| item.value()))
    }
}

impl<I> fmt::Debug for MapStream<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MapStream").field("function", &self.function).finish_non_exhaustive()
    }
}
