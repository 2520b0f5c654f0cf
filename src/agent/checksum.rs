//! The FNV-1a checksum. It is stored, in names of files and in the database, so it must stay the same across versions.
//! The hasher of the standard library does not promise that.

/// The beginning of a checksum.
pub const BEGINNING: u64 = 0xcbf2_9ce4_8422_2325;

/// The checksum `sum`, carried on over `bytes`.
pub fn carry_on(sum: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(sum, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
