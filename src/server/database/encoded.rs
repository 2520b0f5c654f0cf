//! Encoded answers: the JSON, its entity tag, and the compressed JSON as soon as a caller accepts it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use sea_orm::DbErr;
use serde::Serialize;
use tokio::sync::OnceCell;

use super::DatabaseError;

/// The length from which an answer is compressed. A shorter one fits into a packet with its headers either way.
const COMPRESSED_FROM: usize = 256;
/// The level of the compression. A higher level makes the answers hardly smaller, and takes several times as long.
const LEVEL: u32 = 6;
/// The length from which an answer is compressed on a thread that may block: compressing so much takes about half a
/// millisecond, and the other requests of the thread wait meanwhile. To hand the work over takes some 20 microseconds.
const COMPRESSED_APART_FROM: usize = 16 * 1024;

/// An encoded answer.
#[derive(Debug)]
pub(super) struct EncodedAnswer {
    /// None: the row that the read names does not exist.
    json: Option<Bytes>,
    etag: String,
    gzip: OnceCell<Bytes>,
}

impl EncodedAnswer {
    /// Encodes `value`.
    pub(super) fn of(value: &impl Serialize) -> Result<Self, DatabaseError> {
        let json = serde_json::to_vec(value).map_err(|error| DatabaseError::Db(DbErr::Json(error.to_string())))?;
        let mut hasher = DefaultHasher::new();
        json.hash(&mut hasher);
        let etag = format!("W/\"{:016x}\"", hasher.finish());
        Ok(Self { json: Some(json.into()), etag, gzip: OnceCell::new() })
    }

    /// The answer that the row does not exist.
    pub(super) fn absent() -> Self {
        Self { json: None, etag: String::new(), gzip: OnceCell::new() }
    }

    pub(super) fn json(&self) -> Option<&Bytes> {
        self.json.as_ref()
    }

    pub(super) fn etag(&self) -> &str {
        &self.etag
    }

    /// The memory of the answer, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let lengths = [self.json.as_ref(), self.gzip.get()].into_iter().flatten().map(Bytes::len);
        lengths.sum::<usize>() + self.etag.len()
    }

    /// The compressed JSON, and whether this call made it. None: the answer is too short.
    ///
    /// It is made once, however many callers ask at the same time.
    pub(super) async fn gzip(&self) -> Option<(&Bytes, bool)> {
        let json = self.json.as_ref().filter(|json| json.len() >= COMPRESSED_FROM)?;
        let mut made = false;
        let compress = async {
            let compressed = if json.len() < COMPRESSED_APART_FROM {
                Some(compressed(json))
            } else {
                let json = json.clone();
                // It fails only when the server ends.
                tokio::task::spawn_blocking(move || compressed(&json)).await.ok()
            };
            made = compressed.is_some();
            compressed.ok_or(())
        };
        let gzip = self.gzip.get_or_try_init(|| compress).await.ok()?;
        Some((gzip, made))
    }
}

fn compressed(json: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(json.len() / 4), Compression::new(LEVEL));
    // Writing to a buffer in memory cannot fail.
    let _ = encoder.write_all(json);
    encoder.finish().unwrap_or_default().into()
}
