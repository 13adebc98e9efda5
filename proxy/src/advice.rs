//! What somebody is told who has neither a certificate nor a key that opens the door: before they are let in, so nothing
//! of what is said depends on who they are, or on whether a grant of theirs exists; but for what the CA has the holder of
//! a key told, who has shown that it is theirs.
//!
//! SSH has two places for it: the instructions of a keyboard-interactive round, which stock `ssh` shows, also for the
//! jump of `ssh -J`, unless it runs in batch mode or with `LogLevel ERROR`; and one banner, which is sent before anything
//! was shown and so would greet everybody. Hence the first.

use crate::auth::CertificateRefused;
use crate::destination::Asked;
use crate::words::Words;

/// What is wrong, and the next command. `why` is what the CA said to the holder of a key.
pub(crate) fn advice(refused: Option<&CertificateRefused>, why: Option<&Words>, asked: &Asked) -> Words {
    if let Some(why) = why {
        return why.clone();
    }
    let place = match asked {
        Asked::Nonsense(why) => return Words::say(why).hint("write login+target, as in root+web1"),
        Asked::Session(asked) => asked.to_string(),
        Asked::Jump => "LOGIN@TARGET".to_owned(),
    };
    let Some(refused) = refused else {
        return Words::say(
            "this proxy lets people in by certificate, or by a key that is registered; it was shown neither",
        )
        .hint(format!("with a grant, run portcullis cert {place} and come back"))
        .hint(format!("without one, run portcullis request {place} --for 30m first"))
        .hint("or with nothing but ssh and a registered key: ssh -t -i KEY asks for one right here");
    };
    let said = Words::say(format!("your certificate opens nothing here: {refused}"));
    if *refused == CertificateRefused::Expired {
        return said
            .hint(format!("while the grant lasts, run portcullis cert {place} for a new one"))
            .hint(format!("after it, run portcullis request {place} --for 30m"));
    }
    if *refused == CertificateRefused::Early {
        return said.hint("look at the clock of the machine that you got it on, or come back later");
    }
    if *refused == CertificateRefused::Touch {
        return said.hint("come back, and touch the key when it blinks");
    }
    said.hint(format!("for one of this site, run portcullis cert {place}, and see that ssh shows that one"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_names_the_next_command() {
        let asked = Asked::at_the_front("root+web1");
        let cases = [
            (None, "portcullis request root@web1 --for 30m"),
            (Some(CertificateRefused::Expired), "portcullis cert root@web1"),
            (Some(CertificateRefused::Authority), "portcullis cert root@web1"),
            (Some(CertificateRefused::Type), "portcullis cert root@web1"),
            (Some(CertificateRefused::Early), "clock"),
            (Some(CertificateRefused::Touch), "touch the key"),
        ];
        let mut seen = std::collections::BTreeSet::new();
        for (refused, next) in cases {
            let text = advice(refused.as_ref(), None, &asked).text();
            assert!(text.contains(next), "{text}");
            assert!(seen.insert(text), "each has its own sentence");
        }
        assert!(advice(None, None, &Asked::Jump).text().contains("portcullis cert LOGIN@TARGET"));
        let hostile = advice(None, None, &Asked::at_the_front("root+\u{1b}[2J\u{202e}")).text();
        assert!(hostile.contains("login+target") && !hostile.contains(['\u{1b}', '\u{202e}']), "{hostile}");
    }
}
