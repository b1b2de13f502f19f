//! The storage's index: which object has which content, who waits for what, and what may go.
