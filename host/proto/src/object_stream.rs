//! The wire format of the object storage: fixed binary headers on a stream, each followed by raw bytes.

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
