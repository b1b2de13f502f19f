//! What agent and processor say to each other over their socket pair.
//!
//! A record is a length, a kind and a body. Tasks and outcomes are fixed binary, so that the agent passes arguments and
//! results on without looking into them; everything rare is MessagePack.

use scaler_proto::{
    ids::{ClientId, ObjectId, TaskId},
    message::{ArgumentObject, Failure, FailureKind, LogSource, Outcome, TaskStats},
    payload::Payload,
};
use scaler_sandbox::Grants;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Length (of kind and body) and kind.
const HEAD: usize = 5;
/// Most bytes of one record where values of a cluster pass: inline ones are at most 64 KiB, failures and set-up
/// somewhat more.
pub(crate) const RECORD_MAX: usize = 16 << 20;
/// The same without a storage that takes what is larger: as long as a record can be. The guest has its own limit.
pub(crate) const RECORD_MAX_ALONE: usize = u32::MAX as usize;

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// Agent → processor, first: [`Setup`].
    Setup = 1,
    /// Agent → processor: a [`ProgramRecord`].
    Program = 2,
    /// Agent → processor: an [`ExportRecord`].
    Export = 3,
    /// Agent → processor: a [`TaskRecord`].
    Task = 4,
    /// Agent → processor: the address of the object storage, as text.
    Storage = 5,
    /// Agent → processor: [`Begin`], after which tasks may come. Answered by `Ready` or `Failed`.
    Begin = 6,
    /// Agent → processor: [`SnapshotRequest`]. Answered by `Taken` or `Failed`.
    Snapshot = 7,
    /// Processor → agent: it takes tasks.
    Ready = 20,
    /// Processor → agent: it cannot start; a [`Failure`].
    Failed = 21,
    /// Processor → agent: [`Taken`].
    Taken = 22,
    /// Processor → agent: a [`DoneRecord`].
    Done = 23,
    /// Processor → agent: [`LogRecord`].
    Log = 24,
}

impl Kind {
    fn from_number(number: u8) -> Option<Self> {
        const ALL: [Kind; 12] = [
            Kind::Setup,
            Kind::Program,
            Kind::Export,
            Kind::Task,
            Kind::Storage,
            Kind::Begin,
            Kind::Snapshot,
            Kind::Ready,
            Kind::Failed,
            Kind::Taken,
            Kind::Done,
            Kind::Log,
        ];
        ALL.into_iter().find(|kind| *kind as u8 == number)
    }
}

/// Why the other end cannot be understood.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordError {
    #[error("a record of kind {0} is not known")]
    UnknownKind(u8),
    #[error("a record of {0} bytes is too long")]
    TooLong(usize),
    #[error("a {0:?} record is malformed")]
    Malformed(Kind),
}

/// What a processor needs to know before anything else.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Setup {
    pub(crate) memory_limit_bytes: u64,
    pub(crate) output_limit_bytes: u64,
    pub(crate) grants: Grants,
    /// Keep one instance between tasks.
    pub(crate) is_resident: bool,
    pub(crate) preload_timeout_ms: u64,
    pub(crate) storage_address: Option<String>,
}

/// A function to be called before any task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PreloadRecord {
    pub(crate) interface: Option<String>,
    pub(crate) function: String,
    #[serde(with = "serde_bytes")]
    pub(crate) arguments: Vec<u8>,
}

/// A compiled module.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ProgramRecord {
    /// The agent's number for it.
    pub(crate) number: u32,
    pub(crate) artifact: std::path::PathBuf,
    /// For isolation `processor`: every new instance begins with this call.
    pub(crate) preload: Option<PreloadRecord>,
}

/// A function of a program.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ExportRecord {
    /// The agent's number for it, used by tasks.
    pub(crate) number: u32,
    /// Number of the program, which was sent before.
    pub(crate) program: u32,
    pub(crate) interface: Option<String>,
    pub(crate) function: String,
    /// Its `Signature`, for what an error value says.
    pub(crate) signature: Vec<u8>,
}

/// See [`Kind::Begin`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Begin {
    /// The resident program that has to be started before the first task.
    pub(crate) program: Option<u32>,
}

/// See [`Kind::Snapshot`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SnapshotRequest {
    /// Number of the instrumented program.
    pub(crate) program: u32,
    /// The component as it was before it was instrumented.
    pub(crate) component: std::path::PathBuf,
    pub(crate) call: PreloadRecord,
    /// Where the snapshot goes.
    pub(crate) output: std::path::PathBuf,
}

/// See [`Kind::Taken`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Taken {
    pub(crate) is_cacheable: bool,
    pub(crate) run_us: u64,
}

/// A line that a guest wrote.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LogRecord {
    /// The task that wrote it, `None` for the preload.
    pub(crate) task: Option<TaskId>,
    /// Where it was written.
    pub(crate) source: LogSource,
    pub(crate) text: String,
}

/// A task, with its arguments still encoded.
#[derive(Debug, PartialEq)]
pub(crate) struct TaskRecord<'a> {
    pub(crate) sequence: u64,
    pub(crate) export: u32,
    pub(crate) attempt: u32,
    pub(crate) task: TaskId,
    pub(crate) timeout_ms: u64,
    pub(crate) inline_max: u32,
    /// Arguments that are objects of their own; at their places `arguments` has nil.
    pub(crate) objects: Vec<ArgumentObject>,
    pub(crate) arguments: Argument<'a>,
}

/// Arguments as they travel.
#[derive(Debug, PartialEq)]
pub(crate) enum Argument<'a> {
    Inline(&'a [u8]),
    Stored { id: ObjectId, length: u64 },
}

/// An outcome, with its result still encoded.
#[derive(Debug, PartialEq)]
pub(crate) struct DoneRecord {
    pub(crate) sequence: u64,
    pub(crate) stats: TaskStats,
    pub(crate) outcome: Outcome,
}

/// Appends a record whose body is `write`n.
fn put(out: &mut Vec<u8>, kind: Kind, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0, 0, 0, 0, kind as u8]);
    write(out);
    let length = (out.len() - start - 4) as u32;
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
}

/// Appends a record of raw bytes.
pub(crate) fn put_bytes(out: &mut Vec<u8>, kind: Kind, body: &[u8]) {
    put(out, kind, |out| out.extend_from_slice(body));
}

/// Appends a MessagePack record.
pub(crate) fn put_value<T: Serialize>(out: &mut Vec<u8>, kind: Kind, value: &T) {
    put(out, kind, |out| {
        // Writing plain structs into a vector cannot fail; a record that did would be refused as malformed.
        let _ = value.serialize(&mut rmp_serde::Serializer::new(out).with_struct_map());
    });
}

/// Reads a MessagePack record.
pub(crate) fn value<T: DeserializeOwned>(kind: Kind, body: &[u8]) -> Result<T, RecordError> {
    rmp_serde::from_slice(body).map_err(|_| RecordError::Malformed(kind))
}

/// Appends a task.
pub(crate) fn put_task(out: &mut Vec<u8>, task: &TaskRecord<'_>) {
    put(out, Kind::Task, |out| {
        out.extend_from_slice(&task.sequence.to_le_bytes());
        out.extend_from_slice(&task.export.to_le_bytes());
        out.extend_from_slice(&task.attempt.to_le_bytes());
        out.extend_from_slice(&task.task.client.0.to_le_bytes());
        out.extend_from_slice(&task.task.number.to_le_bytes());
        out.extend_from_slice(&task.timeout_ms.to_le_bytes());
        out.extend_from_slice(&task.inline_max.to_le_bytes());
        // There are at most as many as parameters.
        let count = u16::try_from(task.objects.len()).unwrap_or(u16::MAX);
        out.extend_from_slice(&count.to_le_bytes());
        for ArgumentObject { index, object, length } in task.objects.iter().take(usize::from(count)) {
            out.extend_from_slice(&index.to_le_bytes());
            out.extend_from_slice(&object.0);
            out.extend_from_slice(&length.to_le_bytes());
        }
        match &task.arguments {
            Argument::Inline(bytes) => {
                out.push(0);
                out.extend_from_slice(bytes);
            }
            Argument::Stored { id, length } => {
                out.push(1);
                out.extend_from_slice(&id.0);
                out.extend_from_slice(&length.to_le_bytes());
            }
        }
    });
}

/// Reads a task.
pub(crate) fn task(body: &[u8]) -> Result<TaskRecord<'_>, RecordError> {
    let mut reader = Reader { rest: body, kind: Kind::Task };
    Ok(TaskRecord {
        sequence: reader.u64()?,
        export: reader.u32()?,
        attempt: reader.u32()?,
        task: TaskId { client: ClientId(reader.u64()?), number: reader.u64()? },
        timeout_ms: reader.u64()?,
        inline_max: reader.u32()?,
        objects: reader.objects()?,
        arguments: match reader.u8()? {
            0 => Argument::Inline(reader.rest),
            1 => Argument::Stored { id: ObjectId(reader.array()?), length: reader.u64()? },
            _ => return Err(RecordError::Malformed(Kind::Task)),
        },
    })
}

/// Appends an outcome.
pub(crate) fn put_done(out: &mut Vec<u8>, done: &DoneRecord) {
    put(out, Kind::Done, |out| {
        out.extend_from_slice(&done.sequence.to_le_bytes());
        out.extend_from_slice(&done.stats.run_us.to_le_bytes());
        out.extend_from_slice(&done.stats.start_us.to_le_bytes());
        out.extend_from_slice(&done.stats.peak_memory_bytes.to_le_bytes());
        out.extend_from_slice(&done.stats.cpu_us.to_le_bytes());
        match &done.outcome {
            Outcome::Ok(Payload::Inline(bytes)) => {
                out.push(0);
                out.extend_from_slice(bytes);
            }
            Outcome::Ok(Payload::Stored { id, length }) => {
                out.push(1);
                out.extend_from_slice(&id.0);
                out.extend_from_slice(&length.to_le_bytes());
            }
            Outcome::Ok(Payload::Frame(_)) => out.push(0),
            Outcome::Failed(failure) => {
                out.push(2);
                let _ = failure.serialize(&mut rmp_serde::Serializer::new(out).with_struct_map());
            }
        }
    });
}

/// Reads an outcome.
pub(crate) fn done(body: &[u8]) -> Result<DoneRecord, RecordError> {
    let mut reader = Reader { rest: body, kind: Kind::Done };
    let sequence = reader.u64()?;
    let stats = TaskStats {
        run_us: reader.u64()?,
        start_us: reader.u32()?,
        peak_memory_bytes: reader.u64()?,
        cpu_us: reader.u64()?,
        ..TaskStats::default()
    };
    let outcome = match reader.u8()? {
        0 => Outcome::Ok(Payload::Inline(reader.rest.to_vec())),
        1 => Outcome::Ok(Payload::Stored { id: ObjectId(reader.array()?), length: reader.u64()? }),
        2 => Outcome::Failed(value::<Failure>(Kind::Done, reader.rest)?),
        _ => return Err(RecordError::Malformed(Kind::Done)),
    };
    Ok(DoneRecord { sequence, stats, outcome })
}

/// A failure that is a kind and a text.
pub(crate) fn failure(kind: FailureKind, message: impl Into<String>) -> Failure {
    Failure { kind, message: message.into(), value: None, trace: None }
}

/// Kind, body, and the length of the whole.
type Record<'a> = (Kind, &'a [u8], usize);

/// The first whole record of `bytes`: `None`: more has to arrive.
pub(crate) fn next(bytes: &[u8], record_max: usize) -> Result<Option<Record<'_>>, RecordError> {
    let Some((head, _)) = bytes.split_first_chunk::<HEAD>() else { return Ok(None) };
    let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
    if length == 0 || length > record_max {
        return Err(RecordError::TooLong(length));
    }
    let kind = Kind::from_number(head[4]).ok_or(RecordError::UnknownKind(head[4]))?;
    Ok(bytes.get(HEAD..4 + length).map(|body| (kind, body, 4 + length)))
}

struct Reader<'a> {
    rest: &'a [u8],
    kind: Kind,
}

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], RecordError> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(RecordError::Malformed(self.kind))?;
        self.rest = rest;
        Ok(*head)
    }

    fn objects(&mut self) -> Result<Vec<ArgumentObject>, RecordError> {
        let count = u16::from_le_bytes(self.array()?);
        let mut objects = Vec::new();
        for _ in 0..count {
            let index = u16::from_le_bytes(self.array()?);
            objects.push(ArgumentObject { index, object: ObjectId(self.array()?), length: self.u64()? });
        }
        Ok(objects)
    }

    fn u8(&mut self) -> Result<u8, RecordError> {
        Ok(self.array::<1>()?[0])
    }

    fn u32(&mut self) -> Result<u32, RecordError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, RecordError> {
        Ok(u64::from_le_bytes(self.array()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_and_outcomes_come_back_as_they_went() {
        let id = ObjectId([7; 32]);
        for (arguments, objects) in [
            (Argument::Inline(b"\x91\x01"), vec![]),
            (Argument::Stored { id, length: 99 }, vec![ArgumentObject { index: 3, object: id, length: 4 }; 2]),
        ] {
            let record = TaskRecord {
                sequence: 1,
                export: 2,
                attempt: 3,
                task: TaskId { client: ClientId(4), number: 5 },
                timeout_ms: 6,
                inline_max: 7,
                objects,
                arguments,
            };
            let mut bytes = vec![];
            put_task(&mut bytes, &record);
            let (kind, body, length) = next(&bytes, RECORD_MAX).unwrap().unwrap();
            assert_eq!((kind, length), (Kind::Task, bytes.len()));
            assert_eq!(task(body).unwrap(), record);
        }
        let stats = TaskStats { run_us: 1, start_us: 2, peak_memory_bytes: 3, cpu_us: 4, ..TaskStats::default() };
        for outcome in [
            Outcome::Ok(Payload::Inline(vec![1, 2])),
            Outcome::Ok(Payload::Stored { id, length: 5 }),
            Outcome::Failed(failure(FailureKind::Trap, "unreachable")),
        ] {
            let record = DoneRecord { sequence: 8, stats: stats.clone(), outcome };
            let mut bytes = vec![];
            put_done(&mut bytes, &record);
            let (_, body, _) = next(&bytes, RECORD_MAX).unwrap().unwrap();
            assert_eq!(done(body).unwrap(), record);
        }
    }

    #[test]
    fn half_records_wait_and_nonsense_is_refused() {
        let mut bytes = vec![];
        put_bytes(&mut bytes, Kind::Storage, b"tcp://127.0.0.1:1");
        for end in 0..bytes.len() {
            assert!(next(&bytes[..end], RECORD_MAX).unwrap().is_none());
        }
        assert!(next(&[255, 255, 255, 255, 1], RECORD_MAX).is_err());
        assert!(next(&[1, 0, 0, 0, 99], RECORD_MAX).is_err());
        assert!(task(&[0; 20]).is_err());
        assert!(done(&[0; 3]).is_err());
    }
}
