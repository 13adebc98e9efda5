//! Plays on a paused clock, so that waiting costs nothing and is exact.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use super::*;

/// Pieces that come one after the other, each after a pause.
struct Pieces(VecDeque<(Duration, Vec<u8>)>);

impl Source for Pieces {
    async fn chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        let Some((pause, _)) = self.0.front() else { return Ok(None) };
        tokio::time::sleep(*pause).await;
        Ok(self.0.pop_front().map(|(_, bytes)| bytes))
    }
}

/// A screen that notes when it got what.
#[derive(Clone)]
struct Screen(Arc<Mutex<Vec<(u64, String)>>>, Instant);

impl AsyncWrite for Screen {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        self.0.lock().unwrap().push((self.1.elapsed().as_millis() as u64, text));
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

const CAST: &str = "{\"version\":2,\"width\":20,\"height\":4}\n[0.000000, \"o\", \"\"]\n[1.000000, \"o\", \"one\"]\n\
                    [11.000000, \"o\", \"\\r\\ntwo\"]\n[12.000000, \"r\", \"20x5\"]\n[13.000000, \"o\", \"\\u001b[2J\\u001b[Hthree\"]\n";

async fn play(options: PlayOptions, pieces: Vec<(u64, &str)>) -> Vec<(u64, String)> {
    let pieces = pieces.into_iter().map(|(pause, text)| (Duration::from_millis(pause), text.as_bytes().to_vec()));
    let mut screen = Screen(Arc::default(), Instant::now());
    let seen = Arc::clone(&screen.0);
    Player::new(options).unwrap().play(&mut Pieces(pieces.collect()), &mut screen).await.unwrap();
    let mut seen = std::mem::take(&mut *seen.lock().unwrap());
    if let Some((_, last)) = seen.last_mut() {
        *last = last.replace(Player::RESET, "");
    }
    seen.retain(|(_, text)| !text.is_empty());
    seen
}

fn at(millis: u64, text: &str) -> (u64, String) {
    (millis, text.to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_recording_plays_in_its_own_time() {
    let seen = play(PlayOptions::default(), vec![(0, CAST)]).await;
    assert_eq!(seen, [at(1000, "one"), at(11_000, "\r\ntwo"), at(13_000, "\x1b[2J\x1b[Hthree")]);
}

#[tokio::test(start_paused = true)]
async fn speed_and_idle_limit_shorten_it() {
    let options = PlayOptions { speed: 2.0, idle_limit: Some(Duration::from_secs(3)), ..PlayOptions::default() };
    let seen = play(options, vec![(0, CAST)]).await;
    assert_eq!(seen, [at(500, "one"), at(2000, "\r\ntwo"), at(3000, "\x1b[2J\x1b[Hthree")]);
    for speed in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(Player::new(PlayOptions { speed, ..PlayOptions::default() }).is_err());
    }
}

/// Plays [`CAST`] while wishes come, each after a pause in milliseconds; then nobody has any more.
async fn steered(wishes: &[(u64, Wish)]) -> Vec<(u64, String)> {
    let (send, receive) = mpsc::channel(8);
    let wishes = wishes.to_vec();
    tokio::spawn(async move {
        for (pause, wish) in wishes {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            send.send(wish).await.unwrap();
        }
    });
    let mut screen = Screen(Arc::default(), Instant::now());
    let mut pieces = Pieces([(Duration::ZERO, CAST.as_bytes().to_vec())].into());
    Player::default().steered(&mut pieces, &mut screen, Some(receive)).await.unwrap();
    let seen = screen.0.lock().unwrap().clone();
    seen.into_iter()
        .map(|(at, text)| (at, text.replace(Player::RESET, "")))
        .filter(|(_, text)| !text.is_empty())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_pause_stops_the_time_and_what_was_left_of_it_follows() {
    let seen = steered(&[(3000, Wish::Pause), (60_000, Wish::Pause)]).await;
    assert_eq!(seen, [at(1000, "one"), at(71_000, "\r\ntwo"), at(73_000, "\x1b[2J\x1b[Hthree")]);
}

#[tokio::test(start_paused = true)]
async fn a_step_shows_one_event_and_stays_paused() {
    let seen = steered(&[(2000, Wish::Step), (5000, Wish::Step), (1000, Wish::Pause)]).await;
    // The second step is the change of size, which shows nothing.
    assert_eq!(seen, [at(1000, "one"), at(2000, "\r\ntwo"), at(9000, "\x1b[2J\x1b[Hthree")]);
}

#[tokio::test(start_paused = true)]
async fn the_speed_changes_in_the_middle_of_a_pause() {
    let seen = steered(&[(3000, Wish::Faster), (2000, Wish::Slower), (0, Wish::Slower)]).await;
    // 2 s at once the speed, 4 s at twice, and the last 4 s at half of it.
    assert_eq!(seen, [at(1000, "one"), at(13_000, "\r\ntwo"), at(17_000, "\x1b[2J\x1b[Hthree")]);
}

#[tokio::test(start_paused = true)]
async fn whoever_pauses_and_goes_away_holds_nothing_up() {
    let seen = steered(&[(500, Wish::Pause)]).await;
    assert_eq!(seen, [at(1000, "one"), at(11_000, "\r\ntwo"), at(13_000, "\x1b[2J\x1b[Hthree")]);
}

#[tokio::test(start_paused = true)]
async fn a_start_within_shows_the_screen_at_once() {
    let options = PlayOptions { start: Duration::from_secs(12), ..PlayOptions::default() };
    let seen = play(options, vec![(0, CAST)]).await;
    assert_eq!(seen.len(), 2, "{seen:?}");
    let (when, picture) = &seen[0];
    assert_eq!(*when, 0);
    let mut terminal = Terminal::new(20, 4).unwrap();
    terminal.feed(picture.as_str());
    assert_eq!(terminal.screen().text(), ["one", "two", "", ""]);
    assert_eq!(seen[1], at(1000, "\x1b[2J\x1b[Hthree"));
}

#[tokio::test(start_paused = true)]
async fn a_start_beyond_the_end_shows_the_last_screen() {
    let options = PlayOptions { start: Duration::from_secs(100), ..PlayOptions::default() };
    let seen = play(options, vec![(0, CAST)]).await;
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert!(seen[0].0 == 0 && seen[0].1.contains("three"), "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn following_shows_the_screen_and_then_what_happens() {
    let options = PlayOptions { follow: true, ..PlayOptions::default() };
    let seen = play(
        options,
        vec![(0, CAST), (5000, "[20.000000, \"o\", \" four\"]\n"), (700, "[30.000000, \"o\", \" five\"]\n")],
    )
    .await;
    assert_eq!(seen.len(), 3, "{seen:?}");
    assert!(seen[0].0 <= 201 && seen[0].1.contains("three"), "{seen:?}");
    assert_eq!(seen[1].1, " four");
    assert!((5000..=5201).contains(&seen[1].0), "{seen:?}");
    assert_eq!((seen[2].0 - seen[1].0, seen[2].1.as_str()), (700, " five"));
}

#[tokio::test(start_paused = true)]
async fn a_hostile_recording_is_filtered_unless_asked() {
    let text = "{\"version\":2,\"width\":20,\"height\":4}\n[0, \"o\", \"a\\u001b]52;c;eA==\\u0007b\"]\n";
    assert_eq!(play(PlayOptions::default(), vec![(0, text)]).await, [at(0, "ab")]);
    let raw = PlayOptions { raw: true, ..PlayOptions::default() };
    assert_eq!(play(raw, vec![(0, text)]).await, [at(0, "a\x1b]52;c;eA==\x07b")]);
}

#[tokio::test(start_paused = true)]
async fn a_full_screen_program_is_left_at_the_end() {
    let text = "{\"version\":2,\"width\":20,\"height\":4}\n[0, \"o\", \"\\u001b[?1049hvim\"]\n";
    assert_eq!(play(PlayOptions::default(), vec![(0, text)]).await, [at(0, "\x1b[?1049hvim"), at(0, "\x1b[?1049l")]);
}

#[tokio::test(start_paused = true)]
async fn a_byte_log_plays_as_text() {
    let text = "{\"portcullis-bytes\":1}\n{\"t\":0.5,\"s\":\"out\",\"b64\":\"aMM=\"}\n{\"t\":1,\"s\":\"err\",\"b64\":\"IQ==\"}\n{\"t\":2,\"s\":\"out\",\"b64\":\"qQ==\"}\n";
    assert_eq!(play(PlayOptions::default(), vec![(0, text)]).await, [at(500, "h"), at(1000, "!"), at(2000, "é")]);
}

#[tokio::test(start_paused = true)]
async fn a_torn_recording_plays_up_to_the_tear_and_says_so() {
    let text = "{\"version\":2,\"width\":20,\"height\":4}\n[0, \"o\", \"a\"]\n[1, \"o\", \"b";
    let mut screen = Screen(Arc::default(), Instant::now());
    let pieces = Pieces([(Duration::ZERO, text.as_bytes().to_vec())].into());
    let result = Player::default().play(&mut { pieces }, &mut screen).await;
    assert!(matches!(result, Err(PlayError::Parse(crate::ParseError::Torn { line: 3 }))), "{result:?}");
    assert!(screen.0.lock().unwrap()[0].1.starts_with('a'));
}
