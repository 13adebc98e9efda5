//! What a person types in a terminal, on its way to the target: escapes are taken out, and what answers a question of the
//! proxy's own goes there and nowhere else.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::time::Instant;

use crate::escape_key::EscapeKey;

use super::escape::{Escapes, Piece, Wish};

/// How long the escape key waits for the next.
const SECOND: Duration = Duration::from_secs(1);
/// How many messages may be typed ahead of a question, and how many bytes of each.
const AHEAD: usize = 64;
const ONE: usize = 4096;
/// How many wishes may wait for a good moment.
pub(super) const WISHES: usize = 4;

/// What a person wants in one channel's terminal.
#[derive(Debug)]
pub(super) enum Aside {
    /// To know how much time is left.
    Time,
    /// To know which escapes there are.
    Help,
    /// To be asked about more time; what they type meanwhile. The question is over when this is dropped.
    Extend(mpsc::Receiver<Bytes>),
}

/// What is typed in one channel.
#[derive(Debug)]
pub(super) struct Typed {
    escapes: Option<Escapes>,
    asides: mpsc::Sender<Aside>,
    /// A question that stands.
    question: Option<mpsc::Sender<Bytes>>,
    /// When what is under way is settled.
    until: Option<Instant>,
}

impl Typed {
    pub(super) fn new(key: EscapeKey, asides: mpsc::Sender<Aside>) -> Self {
        Self { escapes: key.byte().map(Escapes::new), asides, question: None, until: None }
    }

    /// Takes what was typed in a terminal; what of it goes on to the target, in order.
    pub(super) fn take(&mut self, mut typed: Bytes) -> Vec<Bytes> {
        let Some(escapes) = &mut self.escapes else { return vec![typed] };
        let mut on = Vec::new();
        while !typed.is_empty() {
            if let Some(question) = &self.question {
                // Copied, because a part of a packet would keep all of it in memory.
                let kept = typed.get(..ONE).map_or_else(|| typed.clone(), Bytes::copy_from_slice);
                match question.try_send(kept) {
                    // Whoever types more than a question could ever take has it thrown away.
                    Ok(()) | Err(TrySendError::Full(_)) => break,
                    Err(TrySendError::Closed(_)) => self.question = None,
                }
            }
            match escapes.next(&mut typed) {
                Some(Piece::On(bytes)) => on.push(bytes),
                Some(Piece::Wish(wish)) => {
                    let aside = match wish {
                        Wish::Time => Aside::Time,
                        Wish::Help => Aside::Help,
                        Wish::Extend => {
                            let (question, answers) = mpsc::channel(AHEAD);
                            self.question = Some(question);
                            Aside::Extend(answers)
                        }
                    };
                    // Who wants more than can be shown gets what is shown; a question that finds no place is over.
                    let _ = self.asides.try_send(aside);
                }
                None => break,
            }
        }
        self.until = escapes.waits().then(|| Instant::now() + SECOND);
        // In one piece, as it came: each costs a packet to the target.
        if on.len() > 1 { vec![on.concat().into()] } else { on }
    }

    /// Waits until what is under way must be settled.
    pub(super) async fn due(&self) {
        match self.until {
            Some(until) => tokio::time::sleep_until(until).await,
            None => std::future::pending().await,
        }
    }

    /// Settles what is under way: what was held goes on.
    pub(super) fn settle(&mut self) -> Option<Bytes> {
        self.until = None;
        self.escapes.as_mut()?.settle()
    }

    /// Nothing more is typed: a question that stands will not be answered.
    pub(super) fn end(&mut self) -> Option<Bytes> {
        self.question = None;
        self.settle()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed() -> (Typed, mpsc::Receiver<Aside>) {
        let (asides, wanted) = mpsc::channel(WISHES);
        (Typed::new(EscapeKey::default(), asides), wanted)
    }

    fn on(typed: &mut Typed, bytes: &'static [u8]) -> Vec<u8> {
        typed.take(Bytes::from_static(bytes)).concat()
    }

    #[test]
    fn what_is_typed_into_a_question_reaches_nobody_else() {
        let (mut typed, mut wanted) = typed();
        assert_eq!(on(&mut typed, b"ls\r\x1de30m\r"), b"ls\r");
        let Ok(Aside::Extend(mut answers)) = wanted.try_recv() else { panic!("a question") };
        assert_eq!(on(&mut typed, b"why not\r\x1dt"), b"");
        assert_eq!(answers.try_recv().unwrap(), "30m\r");
        assert_eq!(answers.try_recv().unwrap(), "why not\r\x1dt");
        assert!(wanted.try_recv().is_err(), "there are no escapes in an answer");
        drop(answers);
        assert_eq!(on(&mut typed, b"ls\r"), b"ls\r");
    }

    #[test]
    fn what_no_question_can_take_is_thrown_away() {
        let (mut typed, mut wanted) = typed();
        on(&mut typed, b"\x1de");
        for _ in 0..2 * AHEAD {
            assert_eq!(on(&mut typed, b"x"), b"");
        }
        let Ok(Aside::Extend(answers)) = wanted.try_recv() else { panic!("a question") };
        assert_eq!(answers.len(), AHEAD);
        // More wishes than have room, and among them a question.
        drop(answers);
        on(&mut typed, b"\x1dt\x1dt\x1dt\x1dt\x1dt\x1de");
        assert_eq!(on(&mut typed, b"ls\r"), b"ls\r", "a question that finds no room is none");
        assert_eq!(wanted.len(), WISHES);
    }

    #[test]
    fn what_goes_on_is_in_one_piece_whatever_is_taken_out_of_it() {
        let (mut typed, _wanted) = typed();
        let pieces = typed.take(b"\r\x1d\x1d".repeat(1000).into());
        assert_eq!(pieces.len(), 1);
        assert_eq!(pieces.concat(), b"\r\x1d".repeat(1000));
    }

    #[test]
    fn a_question_is_not_given_more_of_a_message_than_anybody_would_type() {
        let (mut typed, mut wanted) = typed();
        on(&mut typed, b"\x1de");
        let packet = Bytes::from(vec![b'x'; 10 * ONE]);
        assert!(typed.take(packet.clone()).is_empty());
        assert!(packet.is_unique(), "nobody keeps it");
        let Ok(Aside::Extend(mut answers)) = wanted.try_recv() else { panic!("a question") };
        assert_eq!(answers.try_recv().unwrap().len(), ONE);
        assert!(answers.try_recv().is_err(), "the rest is thrown away");
    }

    #[test]
    fn without_a_key_there_are_no_escapes() {
        let (asides, _wanted) = mpsc::channel(WISHES);
        let mut typed = Typed::new(EscapeKey::NONE, asides);
        assert_eq!(on(&mut typed, b"\x1de\r\x1dt"), b"\x1de\r\x1dt");
    }

    #[tokio::test(start_paused = true)]
    async fn the_key_goes_on_when_no_second_one_follows() {
        let (mut typed, _wanted) = typed();
        assert_eq!(on(&mut typed, b"\r\x1d"), b"\r");
        let before = Instant::now();
        typed.due().await;
        assert_eq!(before.elapsed(), SECOND);
        assert_eq!(typed.settle().unwrap(), "\x1d");
        assert!(tokio::time::timeout(Duration::from_secs(3600), typed.due()).await.is_err(), "nothing more is due");
        assert_eq!(on(&mut typed, b"t"), b"t");
        // And with the end of what is typed.
        assert_eq!(on(&mut typed, b"\r\x1d"), b"\r");
        assert_eq!(typed.end().unwrap(), "\x1d");
    }
}
