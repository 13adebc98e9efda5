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

/// The function of the shell with which one terminal is several people: `as alice requests`.
fn as_helper(home: &str) -> String {
    format!("as() {{ PORTCULLIS_HOME={home} portcullis \"${{@:2}}\"; }}")
}

/// Prints what to type, and holds the stage until Ctrl-C.
fn by_hand(site: &mut Site, binary: &Path) -> Result<()> {
    println!("\nIt is all still up. In another terminal:\n");
    println!("  portcullis() {{ {} \"$@\"; }}; unset SSH_AUTH_SOCK", binary.display());
    println!("  {}", as_helper(&format!("{}$1", site.folder())));
    println!("  as alice request demo@web1 --for 30m --reason \"look around\"   # waits");
    println!("  as bob requests; as bob approve REQUEST                        # in a third one");
    println!("  as alice ssh demo@web1   # or stock ssh: ssh -F {}alice/ssh_config demo@web1", site.folder());
    println!("  as bob sessions; as bob revoke REQUEST --reason \"enough\"");
    println!("  as dana recordings; as dana play ID");
    println!("\nCtrl-C takes it all down.");
    while !site.stage.interrupted() {
        site.check()?;
        thread::sleep(Duration::from_millis(100));
    }
    println!();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::as_helper;

    #[test]
    fn what_the_demo_says_is_what_the_readme_says() {
        let readme = include_str!("../../../../README.md");
        assert!(readme.contains(&format!("\n{}\n", as_helper("$PWD/people/$1.home"))));
    }
}
