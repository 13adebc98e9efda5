//! `cargo xtask demo`: the whole story on this machine, with real programs on both ends.

mod narrator;
mod story;

use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::Result;

use crate::run::{cargo, run, say};
use crate::setup;
use crate::site::{Limits, Site, Stage};
use crate::workspace::Workspace;

use self::narrator::Narrator;

/// Plays the story; with `keep`, leaves the site up afterwards until someone interrupts.
pub(crate) fn demo(workspace: &Workspace, keep: bool) -> Result<()> {
    setup::to_run(workspace)?;
    say("demo", "building portcullis");
    run(cargo(workspace.root()).args(["build", "--package", "portcullis-cli", "--locked"]))?;
    let binary = workspace.target().join("debug/portcullis");

    let mut site = Site::build(Stage::set()?, &binary, Limits::Usual)?;
    let mut narrator = Narrator::new(site.folder());
    let told = story::tell(&mut site, &mut narrator);
    if let Err(error) = told {
        if !site.stage.interrupted() {
            // What the servers said is most of the answer, and goes with the stage.
            eprintln!("{}{}", site.log(), site.web1.log());
        }
        return Err(error.context("demo: failed"));
    }
    println!("\ndemo: ok");
    if keep {
        by_hand(&mut site, &binary)?;
    }
    Ok(())
}

/// Prints what to type, and holds the stage until Ctrl-C.
fn by_hand(site: &mut Site, binary: &Path) -> Result<()> {
    println!("\nIt is all still up. In another terminal:\n");
    println!("  portcullis() {{ {} \"$@\"; }}", binary.display());
    println!("  as() {{ export PORTCULLIS_HOME={}$1; unset SSH_AUTH_SOCK; }}", site.folder());
    println!("  as alice; portcullis request demo@web1 --for 30m --reason \"look around\"     # waits");
    println!("  as bob;   portcullis requests; portcullis approve ID                        # in a third one");
    println!("  as alice; ssh -F $PORTCULLIS_HOME/ssh_config demo@web1");
    println!("  as bob;   portcullis sessions; portcullis revoke ID --reason \"enough\"");
    println!("  as dana;  portcullis recordings; portcullis play ID");
    println!("\nCtrl-C takes it all down.");
    while !site.stage.interrupted() {
        site.check()?;
        thread::sleep(Duration::from_millis(100));
    }
    println!();
    Ok(())
}
