//! The wire format of the control plane, as any language can speak it.
//!
//! A message is one zmq multipart message between a DEALER (client, agent, monitor) and the scheduler's ROUTER. The
//! DEALER leaves its identity unset and sends no empty delimiter frame.
//!
//! | frame | content |
//! |---|---|
//! | 0 | envelope (32 bytes), then the body |
//! | 1.. | payloads over 4 KiB, each a frame of its own |
//!
//! A message of exactly one empty frame is a probe of the connection: ignore it, it has no number.
//!
//! The envelope, little endian:
//!
//! | byte | type | field | meaning |
//! |--:|---|---|---|
//! | 0 | u16 | magic | `0x5343`, the bytes `43 53` |
//! | 2 | u8 | version | of the protocol; `Hello` and `Refused` always carry the oldest one the sender speaks |
//! | 3 | u8 | flags | 0; a receiver ignores bits that it does not know |
//! | 4 | u16 | kind | what the entries are, see [`Kind`] |
//! | 6 | u16 | count | entries in the body |
//! | 8 | u64 | epoch | the scheduler's epoch as the sender knows it, 0 before the first `Welcome` |
//! | 16 | u64 | sequence | counts the sender's messages on this connection, from 1 |
//! | 24 | u64 | ack | everything up to this number of the other end was received |
//!
//! The body is a MessagePack array of `count` entries, each a map from field names to values as declared in
//! [`crate::message`]: ids are integers, hashes and object ids `bin` of 32 bytes, an enum without content is its
//! name, one with content a map of one entry. A field that is missing has its default where one is declared; fields
//! that are not known are ignored. An argument or a result is `bin` (the bytes themselves), a map `{id, length}` (in
//! the object storage), or an unsigned integer `n` (the bytes are frame `n + 1` of this message).
//!
//! Limits: 4 MiB a message, 256 frames, 65,535 entries, 64 levels of nesting in the body.
//! What cannot be read never ends the receiver: an unknown kind is answered by `Refused`, anything else drops the peer.

use rmp_serde::{Deserializer, Serializer};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    message::{Kind, Message, Outcome, VERSION, VERSION_MIN, for_each_kind},
    payload::Payload,
    session::Packet,
};

#[cfg(test)]
mod generate;
#[cfg(test)]
mod tests;

/// One transport message: the first frame is envelope and body, the others are payloads.
pub type Frames = Vec<Vec<u8>>;

/// First two bytes of every message.
pub const MAGIC: u16 = 0x5343;
/// Bytes of the envelope.
pub const ENVELOPE_BYTES: usize = 32;
/// Payloads above this travel in a frame of their own, so that they are forwarded without being copied.
pub const FRAME_PAYLOAD_BYTES: usize = 4 * 1024;
/// Most bytes of one message, all frames together.
pub const MESSAGE_BYTES_MAX: usize = 4 << 20;
/// Most frames of one message.
pub const FRAMES_MAX: usize = 256;

const NESTING_MAX: usize = 64;

/// Why bytes are no message, or a message is not sendable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Shorter than an envelope.
    #[error("a message of {bytes} bytes is shorter than an envelope")]
    Truncated {
        /// How much there was.
        bytes: usize,
    },
    /// Not our protocol.
    #[error("the message begins with {found:#06x}, not with the magic number of this protocol")]
    Magic {
        /// What stood there.
        found: u16,
    },
    /// A protocol version that this program does not speak.
    #[error(
        "protocol version {found} is not understood here (this program speaks {VERSION_MIN} to {VERSION}); update the older program"
    )]
    Version {
        /// What stood there.
        found: u8,
    },
    /// A kind that this version does not know. Its numbers count for the session; the peer gets a `Refused` and stays.
    #[error("message kind {kind} is not known to this version")]
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
    /// The body is not what its kind asks for.
    #[error("a {kind:?} message cannot be read: entry {entry}: {reason}")]
    Malformed {
        /// What it claims to be.
        kind: Kind,
        /// Which entry, from 0.
        entry: usize,
        /// What the decoder says.
        reason: String,
    },
    /// Envelope and body disagree, or more entries than a message can have.
    #[error("a {kind:?} message claims {claimed} entries and has {found}")]
    Count {
        /// What it claims to be.
        kind: Kind,
        /// In the envelope.
        claimed: usize,
        /// In the body.
        found: usize,
    },
    /// A payload names a frame that the message does not have, or that another payload has taken.
    #[error("a {kind:?} message refers to payload frame {number}, which is not there (or is taken); it has {frames}")]
    FrameIndex {
        /// What it claims to be.
        kind: Kind,
        /// From 0.
        number: u32,
        /// Payload frames in the message.
        frames: usize,
    },
    /// Too many frames.
    #[error("a message of {frames} frames is over the limit of {FRAMES_MAX}")]
    TooManyFrames {
        /// How many.
        frames: usize,
    },
    /// Too many bytes.
    #[error("a message of {bytes} bytes is over the limit of {MESSAGE_BYTES_MAX}")]
    TooLarge {
        /// How many.
        bytes: usize,
    },
}

/// Turns a packet into frames. Fails only if it is larger than a link takes; batches are split before.
pub fn encode(mut packet: Packet) -> Result<Frames, WireError> {
    let (kind, found) = (packet.message.kind(), packet.message.count());
    let count = u16::try_from(found).map_err(|_| WireError::Count { kind, claimed: usize::from(u16::MAX), found })?;
    let mut frames = vec![Vec::new()];
    let mut inline_bytes = 0;
    for_each_payload(&mut packet.message, &mut |payload| {
        if let Payload::Inline(bytes) = payload {
            if bytes.len() > FRAME_PAYLOAD_BYTES && frames.len() < FRAMES_MAX {
                let number = frames.len() as u32 - 1;
                frames.push(std::mem::take(bytes));
                *payload = Payload::Frame(number);
            } else {
                inline_bytes += bytes.len();
            }
        }
        Ok(())
    })?;

    let mut first = Vec::with_capacity(ENVELOPE_BYTES + 16 + 160 * found + inline_bytes);
    first.extend_from_slice(&MAGIC.to_le_bytes());
    first.extend_from_slice(&[VERSION, 0]);
    first.extend_from_slice(&(kind as u16).to_le_bytes());
    first.extend_from_slice(&count.to_le_bytes());
    for number in [packet.epoch, packet.sequence, packet.ack] {
        first.extend_from_slice(&number.to_le_bytes());
    }
    write_body(&packet.message, &mut first)?;
    frames[0] = first;
    check_size(&frames)?;
    Ok(frames)
}

/// Reads what [`encode`] wrote, or any other speaker of the format.
pub fn decode(mut frames: Frames) -> Result<Packet, WireError> {
    check_size(&frames)?;
    let first = frames.first().map_or(&[][..], Vec::as_slice);
    let Some((envelope, body)) = first.split_first_chunk::<ENVELOPE_BYTES>() else {
        return Err(WireError::Truncated { bytes: first.len() });
    };
    let u16_at = |at: usize| u16::from_le_bytes([envelope[at], envelope[at + 1]]);
    let u64_at = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&envelope[at..at + 8]);
        u64::from_le_bytes(bytes)
    };
    if u16_at(0) != MAGIC {
        return Err(WireError::Magic { found: u16_at(0) });
    }
    if !(VERSION_MIN..=VERSION).contains(&envelope[2]) {
        return Err(WireError::Version { found: envelope[2] });
    }
    let (number, claimed) = (u16_at(4), usize::from(u16_at(6)));
    let (epoch, sequence, ack) = (u64_at(8), u64_at(16), u64_at(24));
    let kind = Kind::from_number(number).ok_or(WireError::UnknownKind { kind: number, epoch, sequence, ack })?;

    let mut message = read_body(kind, claimed, body)?;
    let available = frames.len() - 1;
    let mut taken = [false; FRAMES_MAX];
    for_each_payload(&mut message, &mut |payload| {
        if let Payload::Frame(number) = *payload {
            let index = number as usize;
            if index >= available || std::mem::replace(&mut taken[index], true) {
                return Err(WireError::FrameIndex { kind, number, frames: available });
            }
            *payload = Payload::Inline(std::mem::take(&mut frames[index + 1]));
        }
        Ok(())
    })?;
    Ok(Packet { epoch, sequence, ack, message })
}

fn check_size(frames: &Frames) -> Result<(), WireError> {
    if frames.len() > FRAMES_MAX {
        return Err(WireError::TooManyFrames { frames: frames.len() });
    }
    let bytes = frames.iter().map(Vec::len).sum();
    if bytes > MESSAGE_BYTES_MAX { Err(WireError::TooLarge { bytes }) } else { Ok(()) }
}

macro_rules! bodies {
    ($($name:ident: $body:ty,)*) => {
        fn write_body(message: &Message, out: &mut Vec<u8>) -> Result<(), WireError> {
            match message { $(Message::$name(entries) => write_entries(Kind::$name, entries, out),)* }
        }

        fn read_body(kind: Kind, claimed: usize, body: &[u8]) -> Result<Message, WireError> {
            match kind { $(Kind::$name => read_entries::<$body>(kind, claimed, body).map(Message::$name),)* }
        }
    };
}
for_each_kind!(bodies);

fn write_entries<T: Serialize>(kind: Kind, entries: &[T], out: &mut Vec<u8>) -> Result<(), WireError> {
    let malformed = |entry, reason: String| WireError::Malformed { kind, entry, reason };
    rmp::encode::write_array_len(out, entries.len() as u32).map_err(|error| malformed(0, error.to_string()))?;
    let mut serializer = Serializer::new(out).with_struct_map();
    for (entry, value) in entries.iter().enumerate() {
        value.serialize(&mut serializer).map_err(|error| malformed(entry, error.to_string()))?;
    }
    Ok(())
}

fn read_entries<T: DeserializeOwned>(kind: Kind, claimed: usize, body: &[u8]) -> Result<Vec<T>, WireError> {
    let malformed = |entry, reason: String| WireError::Malformed { kind, entry, reason };
    let mut rest = body;
    let found = rmp::decode::read_array_len(&mut rest).map_err(|error| malformed(0, error.to_string()))? as usize;
    // Every entry takes a byte at least, so that nobody can reserve memory with a number alone.
    if found != claimed || found > rest.len() {
        return Err(WireError::Count { kind, claimed, found: found.min(rest.len()) });
    }
    let mut deserializer = Deserializer::from_read_ref(rest);
    deserializer.set_max_depth(NESTING_MAX);
    let mut entries = Vec::with_capacity(found);
    for entry in 0..found {
        entries.push(T::deserialize(&mut deserializer).map_err(|error| malformed(entry, error.to_string()))?);
    }
    Ok(entries)
}

type Visit<'a> = &'a mut dyn FnMut(&mut Payload) -> Result<(), WireError>;

fn for_each_payload(message: &mut Message, visit: Visit<'_>) -> Result<(), WireError> {
    match message {
        Message::Submit(entries) => entries.iter_mut().try_for_each(|entry| visit(&mut entry.arguments)),
        Message::Run(entries) => entries.iter_mut().try_for_each(|entry| visit(&mut entry.arguments)),
        Message::TaskResult(entries) => entries.iter_mut().try_for_each(|entry| in_outcome(&mut entry.outcome, visit)),
        Message::Done(entries) => entries.iter_mut().try_for_each(|entry| in_outcome(&mut entry.outcome, visit)),
        _ => Ok(()),
    }
}

fn in_outcome(outcome: &mut Outcome, visit: Visit<'_>) -> Result<(), WireError> {
    match outcome {
        Outcome::Ok(payload) => visit(payload),
        Outcome::Failed(failure) => failure.value.as_mut().map_or(Ok(()), visit),
    }
}
