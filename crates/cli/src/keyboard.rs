//! The keyboard, one key at a time, while something plays on the terminal.

use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use tokio::io::AsyncReadExt as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::error::CliError;

/// How many keys may wait; more than that nobody types on purpose.
const AHEAD: usize = 16;

/// The terminal in a state in which keys come at once and are not shown. Dropping it puts the terminal back.
#[derive(Debug)]
pub(crate) struct Keyboard {
    before: Termios,
}

impl Keyboard {
    /// Takes the terminal that is standard input; `None` when it is none, or will not be taken.
    pub(crate) fn take() -> Option<Self> {
        let before = tcgetattr(std::io::stdin()).ok()?;
        let mut now = before.clone();
        now.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
        now.special_codes[SpecialCodeIndex::VMIN] = 1;
        now.special_codes[SpecialCodeIndex::VTIME] = 0;
        // Stopped by Ctrl-Z we could not put the terminal back for the shell; the space bar is there to pause.
        now.special_codes[SpecialCodeIndex::VSUSP] = 0;
        tcsetattr(std::io::stdin(), OptionalActions::Now, &now).ok()?;
        Some(Self { before })
    }

    /// The keys that are typed from now on. Those that nobody takes are forgotten.
    pub(crate) fn keys(&self) -> mpsc::Receiver<u8> {
        let (send, keys) = mpsc::channel(AHEAD);
        tokio::spawn(async move {
            let mut input = tokio::io::stdin();
            while let Ok(key) = input.read_u8().await {
                if let Err(mpsc::error::TrySendError::Closed(_)) = send.try_send(key) {
                    return;
                }
            }
        });
        keys
    }
}

impl Drop for Keyboard {
    fn drop(&mut self) {
        // What was typed and not read was meant for the player, and not for the shell. A terminal that is gone needs
        // nothing put back.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Flush, &self.before);
    }
}

/// The signals that end a program: caught, so that the terminal is put back first.
pub(crate) struct Ends {
    signals: [Signal; 4],
}

impl Ends {
    /// Listens from now on.
    pub(crate) fn listen() -> Result<Self, CliError> {
        let listen = |kind| {
            signal(kind).map_err(|error| {
                CliError::failed(format!("signals cannot be heard: {error}"), "look at the limits of this process")
            })
        };
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup(), SignalKind::quit()];
        let [interrupt, terminate, hangup, quit] = kinds.map(listen);
        Ok(Self { signals: [interrupt?, terminate?, hangup?, quit?] })
    }

    /// Waits for one of them. Whether it was Ctrl-C, by which a person ends what they watch.
    pub(crate) async fn next(&mut self) -> bool {
        let [interrupt, terminate, hangup, quit] = &mut self.signals;
        tokio::select! {
            _ = interrupt.recv() => true,
            _ = terminate.recv() => false,
            _ = hangup.recv() => false,
            _ = quit.recv() => false,
        }
    }
}
