//! Tells what happens, as one would see it over someone's shoulder.

use std::process::Command;

use crate::run::shown;

/// Longer lines are cut: whole facts are long, and what matters stands in front.
const COLUMNS: usize = 160;

/// Numbers the scenes, and shortens the folder that only this run has.
pub(crate) struct Narrator {
    scene: u32,
    folder: String,
}

impl Narrator {
    /// `folder` is shown as "…/".
    pub(crate) fn new(folder: String) -> Self {
        Self { scene: 0, folder }
    }

    /// A new scene.
    pub(crate) fn scene(&mut self, title: &str) {
        self.scene += 1;
        println!("\n{}. {title}", self.scene);
    }

    /// What someone types.
    pub(crate) fn types(&self, who: &str, command: &Command) {
        println!("   {who}$ {}", self.short(&shown(command)));
    }

    /// What they see.
    pub(crate) fn sees(&self, text: &str) {
        for line in text.trim_end().lines() {
            println!("   | {}", cut(&printable(&self.short(line))));
        }
    }

    /// What it means.
    pub(crate) fn notes(&self, text: &str) {
        println!("   {text}");
    }

    fn short(&self, line: &str) -> String {
        line.replace(&self.folder, "…/")
    }
}

/// The first columns of a long line.
fn cut(line: &str) -> String {
    match line.char_indices().nth(COLUMNS) {
        Some((at, _)) => format!("{}…", line.get(..at).unwrap_or(line)),
        None => line.to_owned(),
    }
}

/// The line without what a terminal would act upon.
fn printable(line: &str) -> String {
    let mut text = String::new();
    let mut chars = line.trim_end_matches('\r').chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' if chars.peek() == Some(&'[') => {
                // A control sequence ends with a letter or one of its neighbours (ECMA-48, section 5.4).
                chars.by_ref().skip(1).find(|c| ('\u{40}'..='\u{7e}').contains(c));
            }
            '\u{1b}' => {
                chars.next();
            }
            c if c.is_control() && c != '\t' => {}
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn what_a_terminal_would_act_upon_is_left_out() {
        assert_eq!(printable("\u{1b}[?2004hdemo@web1:~$ ls\r"), "demo@web1:~$ ls");
        assert_eq!(printable("\u{1b}[1;31mred\u{1b}[0m \u{7}bell"), "red bell");
    }
}
