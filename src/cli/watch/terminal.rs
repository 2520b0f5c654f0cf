//! The terminal of the screen: raw mode, the alternate screen, the keys; and their end on every way out.
//!
//! SIGKILL ends the process at once and leaves the terminal as it is. The command `reset` of the shell repairs it.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{self, DisableBracketedPaste, EnableBracketedPaste, Event};
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::crossterm::{cursor, queue};
use ratatui::layout::{Position, Rect, Size};
use ratatui::{Frame, Terminal};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::output::Output;

/// The longest wait for a terminal that takes no more output, when the screen is left.
const LEAVE: Duration = Duration::from_secs(1);
/// The keys that wait for the program. More keys wait in the terminal, so no key is lost.
const WAITING_KEYS: usize = 64;

/// Whether the terminal is in raw mode, for the hook of a panic.
static IS_RAW: AtomicBool = AtomicBool::new(false);

/// The terminal in raw mode, on its alternate screen.
pub(super) struct ScreenTerminal {
    terminal: Terminal<CrosstermBackend<Drawn>>,
    drawn: Drawn,
    output: Output,
    continued: Signal,
}

impl ScreenTerminal {
    /// Takes over the terminal.
    pub(super) async fn enter(output: Output) -> io::Result<Self> {
        let drawn = Drawn::default();
        let terminal = Terminal::new(CrosstermBackend::new(drawn.clone()))?;
        let continued = signal(SignalKind::from_raw(rustix::process::Signal::CONT.as_raw()))?;
        restore_after_a_panic();
        let mut entered = Self { terminal, drawn, output, continued };
        entered.take_over().await?;
        Ok(entered)
    }

    /// The size of the terminal.
    pub(super) fn size(&self) -> io::Result<Size> {
        self.terminal.size()
    }

    /// Draws a picture and returns after the terminal has taken it.
    pub(super) async fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.terminal.draw(draw)?;
        self.flush().await
    }

    /// Waits until the shell continues the process after a stop. The shell has set its own modes meanwhile, so the
    /// caller has to take over the terminal again.
    pub(super) async fn continued(&mut self) {
        self.continued.recv().await;
    }

    /// Gives the terminal to the shell and stops the process until the shell continues it.
    pub(super) async fn suspend(&mut self) -> io::Result<()> {
        self.leave().await;
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TSTP)?;
        // The signal stops each thread at an instant of its own. Without a shell that controls jobs, no thread stops.
        tokio::time::sleep(Duration::from_millis(50)).await;
        self.take_over().await
    }

    /// Gives the terminal back.
    pub(super) async fn leave(&mut self) {
        give_back_modes();
        // A terminal that is closed, or takes no output, has no screen to restore.
        let _ = queue!(self.drawn, DisableBracketedPaste, LeaveAlternateScreen, cursor::Show);
        let _ = tokio::time::timeout(LEAVE, self.flush()).await;
    }

    /// Sets raw mode and switches to the alternate screen. The next picture is drawn in full.
    pub(super) async fn take_over(&mut self) -> io::Result<()> {
        give_back_modes();
        IS_RAW.store(true, Ordering::SeqCst);
        enable_raw_mode()?;
        queue!(self.drawn, EnterAlternateScreen, EnableBracketedPaste, cursor::Hide)?;
        // `clear` would ask the terminal for the place of its cursor, and the answer would get among the keys.
        self.terminal.resize(Rect::from((Position::ORIGIN, self.size()?)))?;
        self.flush().await
    }

    async fn flush(&self) -> io::Result<()> {
        self.output.write(self.drawn.take()).await
    }
}

impl Drop for ScreenTerminal {
    /// The last way out, if the caller could not [`leave`](ScreenTerminal::leave).
    fn drop(&mut self) {
        if IS_RAW.load(Ordering::SeqCst) {
            give_back();
        }
    }
}

/// The keys, pastes and resizes of the terminal, read by a thread of its own. The channel closes when the terminal can
/// no longer be read.
pub(super) fn inputs() -> io::Result<mpsc::Receiver<Event>> {
    let (sender, inputs) = mpsc::channel(WAITING_KEYS);
    std::thread::Builder::new().name("keys".into()).spawn(move || {
        while let Ok(input) = event::read() {
            if sender.blocking_send(input).is_err() {
                return;
            }
        }
    })?;
    Ok(inputs)
}

/// Restores the terminal before the text of a panic is printed.
fn restore_after_a_panic() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if IS_RAW.load(Ordering::SeqCst) {
            give_back();
        }
        print(panic);
    }));
}

/// Ends raw mode. The call does not wait for output.
fn give_back_modes() {
    if IS_RAW.swap(false, Ordering::SeqCst) {
        let _ = disable_raw_mode();
    }
}

fn give_back() {
    give_back_modes();
    let mut stdout = io::stdout();
    let _ = queue!(stdout, DisableBracketedPaste, LeaveAlternateScreen, cursor::Show);
    let _ = stdout.flush();
}

/// The bytes of a picture that were not written yet.
#[derive(Clone, Debug, Default)]
struct Drawn(Arc<Mutex<Vec<u8>>>);

impl Drawn {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Drawn {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
