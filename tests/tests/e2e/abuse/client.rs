//! Somebody with a certificate and a grant, whose client keeps to no rule.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::target::Hostile;
use super::{Siege, harmless};

#[test]
fn a_packet_that_is_none_ends_its_connection_and_nothing_else() -> Result<()> {
    let siege = Siege::start()?;
    let said = siege.abuse("web1", "malformed")?.text();
    let outcomes: Vec<(&str, &str)> = said.lines().filter_map(|line| line.split_once(": ")).collect();
    ensure!(outcomes.len() == 16, "{said}");
    for (what, outcome) in &outcomes {
        // What RFC 4254 lets one pass over may be passed over; what cannot be read may not.
        let fatal = ["oversized", "a length", "cut off", "without its end", "beyond its packet"];
        let wanted: &[&str] = match fatal.iter().any(|word| what.contains(word)) {
            true => &["closed"],
            false => &["closed", "goes on"],
        };
        ensure!(wanted.contains(outcome), "{what}: {outcome}\n{said}");
    }
    siege.every_end_is_a_fact(&siege.grant, outcomes.len())?;
    siege.stands()
}

#[test]
fn more_than_the_window_ends_the_connection() -> Result<()> {
    let siege = Siege::start()?;
    let said = siege.abuse("web1", "overflow")?.text();
    ensure!(said == "closed\n", "{said}");
    siege.every_end_is_a_fact(&siege.grant, 2)?;
    siege.stands()
}

#[test]
fn a_flood_of_single_bytes_to_a_target_that_takes_none_costs_bytes_and_not_packets() -> Result<()> {
    let hostile = Hostile::start()?;
    let said = hostile.siege.abuse("web2", "bytes_one_by_one")?.text();
    ensure!(said.starts_with("sent 400000\n"), "{said}");
    hostile.siege.every_end_is_a_fact(&hostile.grant, 1)?;
    hostile.siege.stands()
}

#[test]
fn answers_that_nobody_reads_are_not_asked_for_without_end() -> Result<()> {
    let siege = Siege::start()?;
    for (verb, sessions) in [("unread_requests", 2), ("unread_openings", 3)] {
        let said = siege.abuse("web1", verb)?.text();
        ensure!(said.starts_with("not taken after") || said.starts_with("closed after"), "{verb}: {said}");
        siege.every_end_is_a_fact(&siege.grant, sessions)?;
    }
    // A few are listed, and the rest is counted.
    let refused = siege.facts(&siege.grant, "channel.refused")?;
    ensure!((1..200).contains(&refused.len()), "{} facts", refused.len());
    siege.stands()
}

#[test]
fn thousands_of_channels_are_refused_but_for_the_first() -> Result<()> {
    let siege = Siege::start()?;
    let said = siege.abuse("web1", "channels")?.text();
    let opened: usize =
        said.lines().next().and_then(|line| line.strip_prefix("opened ")).context("a count")?.parse()?;
    ensure!((1..=64).contains(&opened) && said.ends_with("goes on\n"), "{said}");
    siege.every_end_is_a_fact(&siege.grant, 2)?;
    let said = siege.abuse("web1", "jumps")?.text();
    let opened: usize = said.trim().strip_prefix("opened ").context("a count")?.parse()?;
    ensure!((1..=64).contains(&opened), "{said}");
    siege.stands()
}

#[test]
fn a_target_name_that_is_none_is_refused_and_draws_nothing() -> Result<()> {
    let siege = Siege::start()?;
    for verb in ["names_to_jump_to", "names_to_forward_to", "names_to_log_in_as"] {
        let heard = siege.abuse("web1", verb)?.text();
        ensure!(heard.lines().count() >= 12, "{verb}: {heard}");
        for line in heard.lines() {
            let answer: Value = serde_json::from_str(line)?;
            if let Some(after) = answer.get("after") {
                ensure!(after == "goes on", "{verb}: {heard}");
                continue;
            }
            let said = answer.get("said").and_then(Value::as_str).context("an answer")?;
            ensure!(!said.is_empty() && !said.contains("OPENED"), "{verb}: {line}");
            harmless(said).with_context(|| format!("{verb}: {line}"))?;
        }
    }
    siege.every_end_is_a_fact(&siege.grant, 2)?;
    // What was asked for is in the ledger, and harmless to whoever looks at it there.
    let refused = siege.facts(&siege.grant, "channel.refused")?;
    ensure!(!refused.is_empty() && refused.iter().all(|fact| fact.to_string().len() < 4096), "{refused:?}");
    let shown =
        siege.site.dana.portcullis(&["ledger", "show", "--request", &siege.grant, "--kind", "channel.refused"])?;
    ensure!(!shown.ok()?.text().contains(['\x1b', '\x07']), "an escape sequence is shown");
    ensure!(!siege.site.log().contains("\x1b[2J"), "an escape sequence is in the log");
    siege.stands()
}
