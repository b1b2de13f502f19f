//! The wire format of the object storage: a plain stream (TCP or unix socket) of requests and replies, one at a time.
//!
//! Every request is a header of 64 bytes, little endian, and a body of raw bytes:
//!
//! | byte | type | field | put | get | delete | duplicate | info | owners |
//! |--:|---|---|---|---|---|---|---|---|
//! | 0 | u16 | magic | `0x534f` (bytes `4f 53`) | | | | | |
//! | 2 | u8 | version | 1 | | | | | |
//! | 3 | u8 | operation | 1 | 2 | 3 | 4 | 5 | 6 |
//! | 4 | u32 | wait_ms | | longest wait | | longest wait | | |
//! | 8 | 32 bytes | id | object | object | | new id | | |
//! | 40 | u64 | owner | client id | | | client id | | |
//! | 48 | u64 | offset | | first byte | | | | |
//! | 56 | u64 | length | of the body | most bytes | of the body | 32 | | of the body |
//! | | | body | content | | ids | original id | | client ids, u64 |
//!
//! Every reply is a header of 32 bytes and a body of raw bytes:
//!
//! | byte | type | field | meaning |
//! |--:|---|---|---|
//! | 0 | u16 | magic | `0x534f` |
//! | 2 | u8 | version | 1 |
//! | 3 | u8 | status | 0 done, 1 absent, 2 full, 3 refused, 4 proceed |
//! | 4 | u32 | reserved | 0 |
//! | 8 | u64 | total | get: bytes of the whole object |
//! | 16 | u64 | length | of the body |
//! | 24 | u64 | reserved | 0 |
//! | | | body | get: content; delete: a byte an id, 1 if it existed; info: five u64 as in [`Info`]; full, refused: text
//! |
//!
//! A put of more than 1 MiB waits for *proceed* between header and body, so that nobody sends what is not taken.
//! A header that makes no sense ends the connection.

use crate::ids::{ClientId, ObjectId};

/// First two bytes of every header.
pub const MAGIC: u16 = 0x534f;
/// Version of the format.
pub const VERSION: u8 = 1;
/// Bytes of a request's header.
pub const REQUEST_BYTES: usize = 64;
/// Bytes of a reply's header.
pub const REPLY_BYTES: usize = 32;
/// Largest object.
pub const OBJECT_BYTES_MAX: u64 = 4 << 30;
/// Puts above this wait for [`Status::Proceed`] before they send their content.
pub const ASK_FIRST_BYTES: u64 = 1 << 20;
/// Most ids or owners in one request.
pub const LIST_MAX: usize = 65_536;
/// Bytes of an id.
pub const ID_BYTES: usize = 32;
/// Bytes of an owner.
pub const OWNER_BYTES: usize = 8;
/// Bytes of the totals.
pub const INFO_BYTES: usize = 40;
/// Longest text of a refusal.
pub const REASON_BYTES_MAX: u64 = 4_096;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Store a content of that many bytes.
    Put {
        /// Under this id, over what is there.
        id: ObjectId,
        /// For whom.
        owner: ClientId,
        /// Bytes that follow.
        length: u64,
    },
    /// Read a range.
    Get {
        /// Which object.
        id: ObjectId,
        /// From here.
        offset: u64,
        /// At most that much.
        length: u64,
        /// How long to wait for an absent object.
        wait_ms: u32,
    },
    /// Delete objects.
    Delete {
        /// How many ids follow.
        count: usize,
    },
    /// Give a content another id. The original's id follows.
    Duplicate {
        /// The new id.
        id: ObjectId,
        /// For whom.
        owner: ClientId,
        /// How long to wait for an absent original.
        wait_ms: u32,
    },
    /// Ask for totals.
    Info,
    /// Say which owners are alive.
    Owners {
        /// How many follow.
        count: usize,
    },
}

/// Why a header cannot be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Not our protocol.
    #[error("the header begins with {found:#06x}, not with the magic number of the object stream")]
    Magic {
        /// What stood there.
        found: u16,
    },
    /// A version that this program does not speak.
    #[error("version {found} of the object stream is not understood here (this program speaks {VERSION})")]
    Version {
        /// What stood there.
        found: u8,
    },
    /// A number that means nothing.
    #[error("{found} is no operation or status of the object stream")]
    Unknown {
        /// What stood there.
        found: u8,
    },
    /// A body that does not fit its operation.
    #[error("a body of {bytes} bytes does not fit operation {operation}")]
    Body {
        /// Which operation.
        operation: u8,
        /// The length it claims.
        bytes: u64,
    },
}

impl Request {
    /// The header.
    #[must_use]
    pub fn encode(&self) -> [u8; REQUEST_BYTES] {
        let none = (ObjectId([0; ID_BYTES]), ClientId(0));
        let list = |count: usize, bytes: usize| (count * bytes) as u64;
        let (operation, wait_ms, (id, owner), offset, length) = match *self {
            Self::Put { id, owner, length } => (1, 0, (id, owner), 0, length),
            Self::Get { id, offset, length, wait_ms } => (2, wait_ms, (id, none.1), offset, length),
            Self::Delete { count } => (3, 0, none, 0, list(count, ID_BYTES)),
            Self::Duplicate { id, owner, wait_ms } => (4, wait_ms, (id, owner), 0, ID_BYTES as u64),
            Self::Info => (5, 0, none, 0, 0),
            Self::Owners { count } => (6, 0, none, 0, list(count, OWNER_BYTES)),
        };
        let mut header = [0; REQUEST_BYTES];
        header[..2].copy_from_slice(&MAGIC.to_le_bytes());
        header[2] = VERSION;
        header[3] = operation;
        header[4..8].copy_from_slice(&u32::to_le_bytes(wait_ms));
        header[8..40].copy_from_slice(&id.0);
        header[40..48].copy_from_slice(&owner.0.to_le_bytes());
        header[48..56].copy_from_slice(&u64::to_le_bytes(offset));
        header[56..].copy_from_slice(&u64::to_le_bytes(length));
        header
    }

    /// Reads a header.
    pub fn decode(header: &[u8; REQUEST_BYTES]) -> Result<Self, HeaderError> {
        check_start(header)?;
        let operation = header[3];
        let wait_ms = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
        let mut id = ObjectId([0; ID_BYTES]);
        id.0.copy_from_slice(&header[8..40]);
        let (owner, offset, length) = (ClientId(u64_at(header, 40)), u64_at(header, 48), u64_at(header, 56));
        let wrong_body = HeaderError::Body { operation, bytes: length };
        let list = |bytes: usize| {
            let count = usize::try_from(length).map_err(|_| wrong_body)? / bytes;
            if count <= LIST_MAX && (count * bytes) as u64 == length { Ok(count) } else { Err(wrong_body) }
        };
        match operation {
            1 => Ok(Self::Put { id, owner, length }),
            2 => Ok(Self::Get { id, offset, length, wait_ms }),
            3 => Ok(Self::Delete { count: list(ID_BYTES)? }),
            4 if list(ID_BYTES)? == 1 => Ok(Self::Duplicate { id, owner, wait_ms }),
            5 if length == 0 => Ok(Self::Info),
            6 => Ok(Self::Owners { count: list(OWNER_BYTES)? }),
            4 | 5 => Err(wrong_body),
            found => Err(HeaderError::Unknown { found }),
        }
    }
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// As asked.
    Done = 0,
    /// The object is not there, or did not come in time.
    Absent = 1,
    /// There is no room; the body says so.
    Full = 2,
    /// The storage does not do this; the body says why.
    Refused = 3,
    /// Send the content now.
    Proceed = 4,
}

/// What is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// How it ended.
    pub status: Status,
    /// Bytes of the whole object.
    pub total: u64,
    /// Bytes that follow.
    pub length: u64,
}

impl Reply {
    /// A reply without a body.
    #[must_use]
    pub fn of(status: Status) -> Self {
        Self { status, total: 0, length: 0 }
    }

    /// The header.
    #[must_use]
    pub fn encode(&self) -> [u8; REPLY_BYTES] {
        let mut header = [0; REPLY_BYTES];
        header[..2].copy_from_slice(&MAGIC.to_le_bytes());
        header[2] = VERSION;
        header[3] = self.status as u8;
        header[8..16].copy_from_slice(&self.total.to_le_bytes());
        header[16..24].copy_from_slice(&self.length.to_le_bytes());
        header
    }

    /// Reads a header.
    pub fn decode(header: &[u8; REPLY_BYTES]) -> Result<Self, HeaderError> {
        check_start(header)?;
        let status = match header[3] {
            0 => Status::Done,
            1 => Status::Absent,
            2 => Status::Full,
            3 => Status::Refused,
            4 => Status::Proceed,
            found => return Err(HeaderError::Unknown { found }),
        };
        Ok(Self { status, total: u64_at(header, 8), length: u64_at(header, 16) })
    }
}

/// What the storage holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// Ids that have a content.
    pub objects: u64,
    /// Distinct contents.
    pub contents: u64,
    /// Bytes of the distinct contents.
    pub bytes: u64,
    /// Most bytes it takes.
    pub budget_bytes: u64,
    /// Gets and duplicates that wait for an object.
    pub parked: u64,
}

impl Info {
    /// The body of the reply.
    #[must_use]
    pub fn encode(&self) -> [u8; INFO_BYTES] {
        let mut body = [0; INFO_BYTES];
        let numbers = [self.objects, self.contents, self.bytes, self.budget_bytes, self.parked];
        for (bytes, number) in body.chunks_exact_mut(8).zip(numbers) {
            bytes.copy_from_slice(&number.to_le_bytes());
        }
        body
    }

    /// Reads the body of a reply.
    #[must_use]
    pub fn decode(body: &[u8; INFO_BYTES]) -> Self {
        let [objects, contents, bytes, budget_bytes, parked] = std::array::from_fn(|index| u64_at(body, index * 8));
        Self { objects, contents, bytes, budget_bytes, parked }
    }
}

fn check_start(header: &[u8]) -> Result<(), HeaderError> {
    let found = u16::from_le_bytes([header[0], header[1]]);
    if found != MAGIC {
        return Err(HeaderError::Magic { found });
    }
    if header[2] != VERSION { Err(HeaderError::Version { found: header[2] }) } else { Ok(()) }
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_back_as_they_were() {
        let (id, owner) = (ObjectId([7; 32]), ClientId(9));
        for request in [
            Request::Put { id, owner, length: u64::MAX },
            Request::Get { id, offset: 1, length: u64::MAX, wait_ms: u32::MAX },
            Request::Delete { count: 3 },
            Request::Duplicate { id, owner, wait_ms: 5 },
            Request::Info,
            Request::Owners { count: 0 },
        ] {
            assert_eq!(Request::decode(&request.encode()), Ok(request));
        }
        for status in [Status::Done, Status::Absent, Status::Full, Status::Refused, Status::Proceed] {
            let reply = Reply { status, total: 5, length: 6 };
            assert_eq!(Reply::decode(&reply.encode()), Ok(reply));
        }
        let info = Info { objects: 1, contents: 2, bytes: 3, budget_bytes: 4, parked: 5 };
        assert_eq!(Info::decode(&info.encode()), info);
    }

    #[test]
    fn golden_bytes_of_a_get() {
        let header = Request::Get { id: ObjectId([7; 32]), offset: 1, length: 2, wait_ms: 0x0102 }.encode();
        let mut expected = vec![0x4f, 0x53, 1, 2, 2, 1, 0, 0];
        expected.extend([7; 32]);
        expected.extend([0; 8]);
        expected.extend([1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(header.as_slice(), expected);
    }

    #[test]
    fn headers_that_make_no_sense_are_named() {
        let good = Request::Delete { count: 1 }.encode();
        let with = |at: usize, value: u8| {
            let mut header = good;
            header[at] = value;
            Request::decode(&header).expect_err("refused")
        };
        assert!(matches!(with(0, 0), HeaderError::Magic { .. }));
        assert_eq!(with(2, 2), HeaderError::Version { found: 2 });
        assert_eq!(with(3, 9), HeaderError::Unknown { found: 9 });
        assert_eq!(with(56, 33), HeaderError::Body { operation: 3, bytes: 33 });
        assert!(matches!(with(62, 1), HeaderError::Body { .. }));
        assert!(matches!(with(3, 5), HeaderError::Body { operation: 5, .. }));
        let mut reply = Reply::of(Status::Done).encode();
        reply[3] = 77;
        assert_eq!(Reply::decode(&reply), Err(HeaderError::Unknown { found: 77 }));
    }
}
