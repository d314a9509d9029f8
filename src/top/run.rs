//! The terminal: asks once a second on a thread of its own, hears keys, draws.

use std::io::{self, IsTerminal};
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::thread;
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::crossterm::terminal;

use super::ask::{Asked, Gateway};
use super::screen;
use super::sight::Sight;

/// How often is asked.
const EVERY: Duration = Duration::from_secs(1);

/// How long keys are waited for before it is looked whether there is an answer, or a signal.
const HEAR: Duration = Duration::from_millis(50);

/// The screen of one look when the output is no terminal, in columns and lines.
const SIZE: (u16, u16) = (80, 24);

type Looks = Receiver<Result<Asked, String>>;

/// What somebody wants who pressed a key.
enum Wish {
    Nothing,
    Pause,
    Quit,
}

/// Shows the gateway until `q`, Escape or Control-C, or until `stopped` says so. A gateway that
/// does not answer at first is not waited for; one that goes away later is.
///
/// # Errors
/// Why there is no answer, or no terminal, in one line.
pub fn watch(gateway: Gateway, stopped: impl Fn() -> bool) -> Result<(), String> {
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        return Err("top needs a terminal; with --once it needs none".to_owned());
    }
    let mut sight = Sight::default();
    sight.on_look(Ok(gateway.look()?));
    let url = gateway.url().to_owned();
    let words = |error: io::Error| error.to_string();
    let looks = keep_asking(gateway).map_err(words)?;
    // From here on a panic gives the terminal back too: `try_init` sees to that.
    let mut terminal = ratatui::try_init().map_err(words)?;
    let shown = show(&mut terminal, (sight, &url), &looks, stopped);
    drop(terminal);
    let restored = ratatui::try_restore();
    shown.and(restored).map_err(words)
}

/// Gives the terminal back as far as that is possible while it may be blocked or gone: nothing is
/// written to it.
pub fn let_go() {
    // A terminal that is gone needs nothing.
    let _gone = terminal::disable_raw_mode();
}

fn show(
    terminal: &mut DefaultTerminal,
    (mut sight, url): (Sight, &str),
    looks: &Looks,
    stopped: impl Fn() -> bool,
) -> io::Result<()> {
    let mut paused = false;
    loop {
        terminal.draw(|frame| screen::draw(frame, &sight, url, paused))?;
        loop {
            if stopped() {
                return Ok(());
            }
            if event::poll(HEAR)? {
                match wish(&event::read()?) {
                    Wish::Nothing => {}
                    Wish::Pause => paused = !paused,
                    Wish::Quit => return Ok(()),
                }
                break;
            }
            match looks.try_recv() {
                Ok(_) if paused => {}
                Ok(asked) => {
                    sight.on_look(asked);
                    break;
                }
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => {
                    return Err(io::Error::other("nobody asks the gateway any more"));
                }
            }
        }
    }
}

fn wish(event: &Event) -> Wish {
    let Event::Key(KeyEvent { code, modifiers, kind, .. }) = event else { return Wish::Nothing };
    match code {
        _ if *kind == KeyEventKind::Release => Wish::Nothing,
        KeyCode::Char('q') | KeyCode::Esc => Wish::Quit,
        KeyCode::Char('c') if modifiers.contains(KeyModifiers::CONTROL) => Wish::Quit,
        KeyCode::Char('p' | ' ') => Wish::Pause,
        _ => Wish::Nothing,
    }
}

/// Asks once a second. The thread ends when nobody takes its answers any more.
fn keep_asking(gateway: Gateway) -> io::Result<Looks> {
    let (sender, looks) = sync_channel(1);
    let asking = move || {
        thread::park_timeout(EVERY);
        while sender.send(gateway.look()).is_ok() {
            thread::park_timeout(EVERY);
        }
    };
    thread::Builder::new().name("vb-top-ask".to_owned()).spawn(asking)?;
    Ok(looks)
}

/// Looks twice, a second apart, and tells what was seen: for people as one screen, or as JSON.
///
/// # Errors
/// Why there is no answer, in one line.
pub fn once(gateway: &Gateway, json: bool) -> Result<String, String> {
    let mut sight = Sight::default();
    sight.on_look(Ok(gateway.look()?));
    thread::park_timeout(EVERY);
    sight.on_look(Ok(gateway.look()?));
    if json {
        return Ok(sight.json().map(|seen| format!("{seen:#}\n")).unwrap_or_default());
    }
    let seen = io::stdout().is_terminal().then(|| terminal::size().ok()).flatten();
    Ok(screen::text(&sight, gateway.url(), seen.unwrap_or(SIZE)))
}
