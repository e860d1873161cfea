//! What rows hold, as bytes. The only file that knows the codec.
//!
//! A row is a format byte, a checksum, a header and a value. The checksum covers the row's key
//! too, so that a row that ends up in the wrong place is found. The header is bincode 2 with
//! variable-length integers; the value is what the caller gave.

use bincode::config::{Configuration, standard};
use bincode::{Decode, Encode};
use bytes::{BufMut, Bytes, BytesMut};
use storage_core::{
    ChangeKind, Error, ErrorKind, OperationId, ResourceKey, Result, Revision, Stored, Timestamp,
};

use crate::keyspace::show;

/// The format of a row. Another layout gets another number.
const ROW_FORMAT: u8 = 1;
const CHECKSUM_BYTES: usize = 4;
const PREFIX_BYTES: usize = 1 + CHECKSUM_BYTES;
/// More than any header needs: five integers of at most 17 bytes.
const HEADER_BYTES_MAX: usize = 96;
const CODEC: Configuration = standard();

/// The header of a revision of an object, whichever table it is in. Its value is the object's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct ObjectHeader {
    pub(crate) kind: u8,
    pub(crate) revision: u64,
    pub(crate) created: u64,
    pub(crate) time_ms: u64,
    pub(crate) operation: u128,
}

/// The header of a change. Its value is the object's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct ChangeHeader {
    pub(crate) kind: u8,
    /// The revision before; zero for a creation.
    pub(crate) previous: u64,
    pub(crate) time_ms: u64,
}

/// The header of an index row of the trash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct DeletedHeader {
    pub(crate) time_ms: u64,
}

/// The header of a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct CountHeader {
    pub(crate) objects: u64,
}

/// The header of the state row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct State {
    pub(crate) head: u64,
    pub(crate) horizon: u64,
    /// How many change rows there are.
    pub(crate) changes: u64,
}

/// One revision of an object, without its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) header: ObjectHeader,
    pub(crate) value: Bytes,
}

impl Record {
    pub(crate) fn unseal(row_key: &[u8], row: &Bytes) -> Result<Self> {
        let (header, value) = unseal::<ObjectHeader>(row_key, row)?;
        kind(header.kind).ok_or_else(|| corrupt(row_key, "has an unknown kind"))?;
        Ok(Self { header, value })
    }

    pub(crate) fn seal(&self, row_key: &[u8]) -> Bytes {
        seal(row_key, &self.header, &self.value)
    }

    pub(crate) const fn revision(&self) -> Revision {
        Revision::new(self.header.revision)
    }

    pub(crate) fn is_deletion(&self) -> bool {
        self.header.kind == kind_byte(ChangeKind::Deleted)
    }

    pub(crate) fn into_stored(self, key: ResourceKey) -> Stored {
        Stored {
            key,
            kind: kind(self.header.kind).unwrap_or(ChangeKind::Updated),
            revision: self.revision(),
            created: Revision::new(self.header.created),
            value: self.value,
            time: Timestamp::from_millis(self.header.time_ms),
            operation: OperationId(self.header.operation),
        }
    }
}

pub(crate) const fn kind_byte(kind: ChangeKind) -> u8 {
    match kind {
        ChangeKind::Created => 1,
        ChangeKind::Updated => 2,
        ChangeKind::Deleted => 3,
    }
}

pub(crate) const fn kind(byte: u8) -> Option<ChangeKind> {
    match byte {
        1 => Some(ChangeKind::Created),
        2 => Some(ChangeKind::Updated),
        3 => Some(ChangeKind::Deleted),
        _ => None,
    }
}

/// Makes a row.
pub(crate) fn seal(row_key: &[u8], header: &impl Encode, value: &[u8]) -> Bytes {
    let mut encoded = [0; HEADER_BYTES_MAX];
    let header_bytes = bincode::encode_into_slice(header, &mut encoded, CODEC)
        .expect("every header is shorter than the longest");
    let header = &encoded[..header_bytes];
    let mut row = BytesMut::with_capacity(PREFIX_BYTES + header.len() + value.len());
    row.put_u8(ROW_FORMAT);
    row.put_u32_le(checksum(row_key, &[header, value]));
    row.put_slice(header);
    row.put_slice(value);
    row.freeze()
}

/// Reads a row: its header, and its value without a copy.
///
/// # Errors
/// `Corrupt`, with the key: another format, another checksum, a header that cannot be read.
pub(crate) fn unseal<H: Decode<()>>(row_key: &[u8], row: &Bytes) -> Result<(H, Bytes)> {
    let (prefix, body) = row
        .split_at_checked(PREFIX_BYTES)
        .ok_or_else(|| corrupt(row_key, "is too short"))?;
    if prefix[0] != ROW_FORMAT {
        return Err(corrupt(row_key, "has an unknown format"));
    }
    if prefix[1..] != checksum(row_key, &[body]).to_le_bytes() {
        return Err(corrupt(row_key, "does not have its checksum"));
    }
    let (header, header_bytes) = bincode::decode_from_slice(body, CODEC)
        .map_err(|error| corrupt(row_key, "has a header that cannot be read").with_source(error))?;
    Ok((header, row.slice(PREFIX_BYTES + header_bytes..)))
}

fn checksum(row_key: &[u8], parts: &[&[u8]]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&(row_key.len() as u64).to_le_bytes());
    hasher.update(row_key);
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize()
}

fn corrupt(row_key: &[u8], what: &str) -> Error {
    let context = format!("the row \"{}\" {what}", show(row_key));
    Error::new(ErrorKind::Corrupt, "read store", context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_their_golden_bytes() {
        let header = ObjectHeader {
            kind: kind_byte(ChangeKind::Updated),
            revision: 300,
            created: 7,
            time_ms: 1_700_000_000_000,
            operation: 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef,
        };
        let row = seal(b"cg\0r\0n\0a\0", &header, b"{}");
        let golden = "01848dab22\
            02fb2c0107fd0068e5cf8b010000feefcdab8967452301efcdab89674523017b7d";
        assert_eq!(hex(&row), golden);
    }

    #[test]
    fn small_headers_have_their_golden_bytes() {
        let change = ChangeHeader {
            kind: 3,
            previous: 250,
            time_ms: 251,
        };
        assert_eq!(hex(&seal(b"l", &change, b"k")), "018b71b89403fafbfb006b");
        let state = State {
            head: 3,
            horizon: 1,
            changes: 2,
        };
        assert_eq!(hex(&seal(b"mstate", &state, b"")), "01f8315ecf030102");
        assert_eq!(
            hex(&seal(b"n", &CountHeader { objects: 9 }, b"")),
            "01c5fdea8e09"
        );
        assert_eq!(
            hex(&seal(b"d", &DeletedHeader { time_ms: 1 }, b"")),
            "017d9dde7a01"
        );
    }

    #[test]
    fn every_damaged_byte_is_found() {
        let header = CountHeader { objects: 70_000 };
        let row = seal(b"nkey", &header, b"value");
        assert_eq!(unseal::<CountHeader>(b"nkey", &row).unwrap().0, header);
        for at in 0..row.len() {
            for bit in 0..8 {
                let mut damaged = row.to_vec();
                damaged[at] ^= 1 << bit;
                let error = unseal::<CountHeader>(b"nkey", &damaged.into()).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Corrupt);
                assert!(error.to_string().contains("nkey"), "{error}");
            }
            let error = unseal::<CountHeader>(b"nkey", &row.slice(..at)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt);
        }
        assert!(unseal::<CountHeader>(b"nkez", &row).is_err(), "another key");
    }

    #[test]
    fn the_largest_headers_fit() {
        let header = ObjectHeader {
            kind: u8::MAX,
            revision: u64::MAX,
            created: u64::MAX,
            time_ms: u64::MAX,
            operation: u128::MAX,
        };
        let row = seal(b"c", &header, b"");
        assert_eq!(unseal::<ObjectHeader>(b"c", &row).unwrap().0, header);
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
