//! Standard output, written by a thread of its own.
//!
//! A write to a pipe or a terminal blocks while no one reads there. The thread keeps such a write away from the signals
//! that end the command. A caller waits for each write, so no output queues up.

use std::io::{self, Write as _};

use tokio::sync::{mpsc, oneshot};

/// The thread that writes to standard output. The end of the process ends a write that blocks.
#[derive(Debug)]
pub(super) struct Output {
    pieces: mpsc::Sender<OutputPiece>,
}

#[derive(Debug)]
struct OutputPiece {
    bytes: Vec<u8>,
    written: oneshot::Sender<io::Result<()>>,
}

impl Output {
    pub(super) fn start() -> io::Result<Self> {
        // A caller has one piece under way. A second one can wait after a caller gave up the first.
        let (pieces, mut receiver) = mpsc::channel::<OutputPiece>(1);
        std::thread::Builder::new().name("output".into()).spawn(move || {
            while let Some(piece) = receiver.blocking_recv() {
                let mut stdout = io::stdout().lock();
                // The caller may have given up. The next piece gets the same error then.
                let _ = piece.written.send(stdout.write_all(&piece.bytes).and_then(|()| stdout.flush()));
            }
        })?;
        Ok(Self { pieces })
    }

    /// Writes the bytes, and returns after they were written.
    pub(super) async fn write(&self, bytes: Vec<u8>) -> io::Result<()> {
        let (written, result) = oneshot::channel();
        let ended = || io::Error::other("the thread that writes has ended");
        self.pieces.send(OutputPiece { bytes, written }).await.map_err(|_| ended())?;
        result.await.map_err(|_| ended())?
    }

    /// Writes a line.
    pub(super) async fn line(&self, line: &str) -> io::Result<()> {
        self.write(format!("{line}\n").into_bytes()).await
    }
}
