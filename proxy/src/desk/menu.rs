//! `ssh -t proxy`: what is theirs at a glance, and then commands, one after the other.

use super::run::{self, Pending, list, pending};
use super::show;
use super::terminal::Terminal;
use super::{Desk, command::Command};
use crate::prompt::{Asks, Left};

/// Ctrl-C.
const INTERRUPTED: u32 = 130;

/// Runs the menu to its end; the exit code.
pub(super) async fn run(desk: &Desk, terminal: &mut Terminal) -> Option<u32> {
    terminal.say(&format!("{}: ? shows what there is, quit leaves", desk.person.identity)).await;
    overview(desk, terminal).await;
    loop {
        match terminal.line("portcullis> ").await {
            Ok(line) if line.is_empty() => {}
            Ok(line) if Command::read(&line) == Ok(Command::Quit) => return Some(0),
            Ok(line) => drop(run::run(desk, terminal, &line).await),
            Err(Left::Done) => return Some(0),
            Err(Left::Interrupted) => return Some(INTERRUPTED),
            Err(Left::Gone) => return None,
        }
    }
}

async fn overview(desk: &Desk, terminal: &Terminal) {
    let seen = async {
        let grants = desk.client.grants(Some("active"), true, None).await?.items;
        let targets = desk.client.targets().await?.items;
        Ok((grants, targets, pending(desk).await?))
    };
    match seen.await {
        Ok((grants, targets, Pending { waiting, own, left })) => {
            let open: Vec<String> =
                grants.iter().map(|grant| show::grant(grant, &desk.person.identity, desk.now())).collect();
            list(terminal, "open for you", open).await;
            list(terminal, "you may ask for", targets.iter().take(8).map(show::target).collect()).await;
            list(terminal, "you asked for", own.iter().map(show::request).collect()).await;
            run::waits(desk, terminal, &waiting).await;
            run::not_looked_at(terminal, left).await;
        }
        Err(error) => drop(run::complain(terminal, &error).await),
    }
}
