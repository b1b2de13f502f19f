//! The wire format of the control plane.

use crate::session::Packet;

/// One transport message: the first frame is envelope and body, the others are payloads.
pub type Frames = Vec<Vec<u8>>;

/// Why bytes are no message, or a message is not sendable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Shorter than an envelope.
    #[error("message of {bytes} bytes is shorter than an envelope")]
    Truncated {
        /// How much there was.
        bytes: usize,
    },
    /// A kind that this version does not know. The numbers count for the session; the peer gets a `Refused`.
    #[error("unknown message kind {kind}")]
    UnknownKind {
        /// Its number.
        kind: u16,
        /// As in [`Packet`].
        epoch: u64,
        /// As in [`Packet`].
        sequence: u64,
        /// As in [`Packet`].
        ack: u64,
    },
}

/// Turns a packet into frames. Fails only if it is larger than a link takes; batches are split before.
pub fn encode(_packet: Packet) -> Result<Frames, WireError> {
    todo!()
}

/// Reads what [`encode`] wrote, or any other speaker of the format.
pub fn decode(_frames: Frames) -> Result<Packet, WireError> {
    todo!()
}
