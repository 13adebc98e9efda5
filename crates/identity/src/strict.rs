//! Strict TOML: one parse into a type; every error says file, line, column and the line itself, and an unknown key
//! says which known one is nearest.

use std::fmt;
use std::ops::Range;

use serde::de::DeserializeOwned;

/// A place in a file where something is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StrictError {
    file: String,
    line: usize,
    column: usize,
    width: usize,
    source_line: String,
    message: String,
    hint: Option<String>,
}

/// Parses `text` into `T`, whose types derive `Deserialize` with `deny_unknown_fields`. `file` is only named in errors.
///
/// # Errors
/// The first thing that is wrong, with its place. An unknown key is answered with the nearest known one.
pub fn parse<T: DeserializeOwned>(text: &str, file: &str) -> Result<T, StrictError> {
    toml::from_str(text).map_err(|error| {
        let span = error.span().unwrap_or(0..0);
        let (message, hint) = explain(error.message(), text, &span);
        let error = StrictError::at(text, file, span, message);
        match hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    })
}

impl StrictError {
    /// An error found after parsing, at the bytes `span` of `text` (as [`toml::Spanned`] gives them).
    #[must_use]
    pub fn at(text: &str, file: &str, span: Range<usize>, message: impl Into<String>) -> Self {
        let start = floor_boundary(text, span.start);
        let before = text.get(..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let rest = text.get(line_start..).unwrap_or_default();
        let source_line = rest.lines().next().unwrap_or_default();
        let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
        let marked = text.get(start..floor_boundary(text, span.end)).unwrap_or_default();
        let width = marked.lines().next().unwrap_or_default().chars().count();
        Self {
            file: file.to_owned(),
            line: before.matches('\n').count() + 1,
            column,
            width: width.max(1),
            source_line: source_line.to_owned(),
            message: message.into(),
            hint: None,
        }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The file, as it was named to the parser.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The line, counted from 1.
    #[must_use]
    pub const fn line(&self) -> usize {
        self.line
    }

    /// The column in characters, counted from 1.
    #[must_use]
    pub const fn column(&self) -> usize {
        self.column
    }

    /// What is wrong, without its place.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for StrictError {
    /// Place and message on the first line, then the line of the file with a mark, then the hint.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
        let number = self.line.to_string();
        // A file can hold escape sequences, and this text ends on terminals: a control character is shown as a space.
        let printable = |c: char| if c.is_control() { ' ' } else { c };
        let shown: String = self.source_line.chars().take(SHOWN).map(printable).collect();
        writeln!(f, " {number} | {shown}")?;
        let (gutter, indent) = (" ".repeat(number.len()), " ".repeat(self.column.saturating_sub(1).min(SHOWN)));
        write!(f, " {gutter} | {indent}{}", "^".repeat(self.width.min(SHOWN)))?;
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for StrictError {}

/// The known name nearest to `name`, when one is near enough to be meant.
#[must_use]
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = known.into_iter().filter_map(|candidate| Some((distance(name, candidate)?, candidate)));
    near.min_by_key(|(distance, _)| *distance).map(|(_, candidate)| candidate)
}

/// How many slips of the finger lie between `name` and a known one, when it is near enough to be meant.
#[must_use]
pub fn distance(name: &str, known: &str) -> Option<usize> {
    let most = 1 + known.chars().count() / 3;
    // Every character more or less is a slip of its own: what is clearly shorter or longer is not worth the measuring.
    if name.chars().count().abs_diff(known.chars().count()) > most {
        return None;
    }
    let distance = strsim::damerau_levenshtein(&name.to_lowercase(), &known.to_lowercase());
    (distance <= most).then_some(distance)
}

/// How much of a line is shown.
const SHOWN: usize = 160;

/// Turns serde's sentences about keys and types into ours; anything else passes as it is. serde writes them in one place
/// each: "unknown field `x`, expected one of `a`, `b`", "missing field `x`", "invalid type: integer `5`, expected a string".
fn explain(message: &str, text: &str, span: &Range<usize>) -> (String, Option<String>) {
    for (lead, noun) in [("unknown field `", "key"), ("unknown variant `", "value")] {
        let Some((name, expected)) = message.strip_prefix(lead).and_then(|rest| rest.split_once("`, ")) else {
            continue;
        };
        let known: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
        let listed = known.join(", ");
        let hint = match nearest(name, known.iter().copied()) {
            Some(near) if known.len() > 1 => format!("did you mean \"{near}\"? Known here: {listed}"),
            Some(near) => format!("did you mean \"{near}\"?"),
            None if known.is_empty() => "nothing can be set here".to_owned(),
            None => format!("known here: {listed}"),
        };
        return (format!("unknown {noun} \"{name}\""), Some(hint));
    }
    if let Some(name) = message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
        return (format!("the key \"{name}\" is missing"), None);
    }
    let wrong = ["invalid type: ", "invalid value: "].iter().find_map(|lead| message.strip_prefix(lead));
    match wrong.and_then(|rest| rest.split_once(", expected ")) {
        Some((found, expected)) => mistyped(key_before(text, span.start), found, expected),
        None => (message.to_owned(), None),
    }
}

/// A value of another type than the key takes.
fn mistyped(key: Option<&str>, found: &str, expected: &str) -> (String, Option<String>) {
    let (kind, value) = found.split_once(' ').unwrap_or((found, ""));
    let value = value.trim_start_matches("point ").trim_matches('`');
    let is = match kind {
        "string" => format!("the text {value}"),
        "integer" | "floating" => format!("the number {value}"),
        "boolean" => value.to_owned(),
        "sequence" => "a list".to_owned(),
        "map" => "a table".to_owned(),
        _ => found.to_owned(),
    };
    let (takes, hint) = match (expected, kind) {
        ("a string" | "path string" | "str", "integer" | "floating" | "boolean") => {
            ("a text", Some(format!("write it in quotes: \"{value}\"")))
        }
        ("a string" | "path string" | "str", _) => ("a text in quotes", None),
        ("a sequence", "string") => ("a list", Some(format!("write it in brackets: [{value}]"))),
        ("a sequence", _) => ("a list in brackets", None),
        ("a boolean", _) => ("true or false without quotes", None),
        ("u16", "integer") => ("a whole number from 0 to 65535", None),
        ("u8" | "u32" | "u64" | "usize", "integer") => ("a whole number of another size", None),
        ("u8" | "u16" | "u32" | "u64" | "usize" | "i64", _) => ("a whole number without quotes", None),
        ("a map", _) => ("a table", None),
        (structure, _) if structure.starts_with("struct ") => ("a table", None),
        (other, _) => (other, None),
    };
    let what = key.map_or_else(|| "this".to_owned(), |key| format!("\"{key}\""));
    (format!("{what} is {is}, and {takes} is expected"), hint)
}

/// The key whose value begins at `at`, when it stands on the same line.
fn key_before(text: &str, at: usize) -> Option<&str> {
    let line = text.get(..at)?.rsplit('\n').next()?;
    let (key, between) = line.rsplit_once('=')?;
    // Within a list there may be other values between the two.
    let near = between.chars().all(|c| c.is_whitespace() || c == '[');
    let key = key.rsplit([',', '{']).next()?.trim();
    (near && !key.is_empty()).then_some(key)
}

/// The last character boundary at or before `at`.
fn floor_boundary(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at).rev().find(|&place| text.is_char_boundary(place)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "kebab-case")]
    struct Config {
        #[serde(default)]
        listen: Option<String>,
        #[serde(default)]
        token_life: Option<u32>,
        #[serde(default)]
        mode: Option<Mode>,
        #[serde(default)]
        part: Vec<Part>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum Mode {
        Strict,
        BestEffort,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Part {
        name: String,
    }

    fn refused(text: &str) -> StrictError {
        parse::<Config>(text, "portcullis.toml").unwrap_err()
    }

    #[test]
    fn an_unknown_key_names_the_nearest_known_one() {
        let error = refused("# a comment\nlisten = \"x\"\ntokn-life = 5\n");
        assert_eq!((error.line(), error.column()), (3, 1));
        assert_eq!(error.message(), "unknown key \"tokn-life\"");
        assert_eq!(error.hint(), Some("did you mean \"token-life\"? Known here: listen, token-life, mode, part"));
        let shown = error.to_string();
        assert!(shown.starts_with("portcullis.toml:3:1: unknown key"), "{shown}");
        assert!(shown.contains("\n 3 | tokn-life = 5\n   | ^^^^^^^^^\n"), "{shown}");
    }

    #[test]
    fn an_unknown_key_in_a_table_of_one_key() {
        let error = refused("[[part]]\nname = \"a\"\n\n[[part]]\nnam = \"b\"\n");
        assert_eq!((error.line(), error.column()), (5, 1));
        assert_eq!(error.hint(), Some("did you mean \"name\"?"));
    }

    #[test]
    fn a_key_near_to_nothing_lists_what_is_known() {
        let error = refused("zzzzzzzz = 1\n");
        assert_eq!(error.hint(), Some("known here: listen, token-life, mode, part"));
    }

    #[test]
    fn an_unknown_value_names_the_nearest_too() {
        let error = refused("mode = \"best-efort\"\n");
        assert_eq!(error.message(), "unknown value \"best-efort\"");
        assert_eq!(error.hint(), Some("did you mean \"best-effort\"? Known here: strict, best-effort"));
        assert_eq!((error.line(), error.column()), (1, 8));
    }

    #[test]
    fn wrong_types_syntax_and_duplicates_have_a_place() {
        for (text, line, word) in [
            ("listen = 5\n", 1, "\"listen\" is the number 5, and a text is expected"),
            ("\n\nlisten = \n", 3, ""),
            ("listen = \"a\"\nlisten = \"b\"\n", 2, "duplicate"),
            ("token-life = -1\n", 1, "-1"),
            ("[[part]]\n", 1, "the key \"name\" is missing"),
            ("part = 5\n", 1, "\"part\" is the number 5, and a list in brackets is expected"),
            ("[[part]]\nname = true\n", 2, "\"name\" is true, and a text is expected"),
            ("part = [{ name = 1.5 }]\n", 1, "\"name\" is the number 1.5, and a text is expected"),
            (
                "token-life = \"5\"\n",
                1,
                "\"token-life\" is the text \"5\", and a whole number without quotes is expected",
            ),
            ("listen = [\"a\"]\n", 1, "\"listen\" is a list, and a text in quotes is expected"),
        ] {
            let error = refused(text);
            assert_eq!(error.line(), line, "{error}");
            assert!(error.message().contains(word), "{error}");
            assert!(!error.message().contains("invalid") && !error.message().contains('`'), "{error}");
        }
        assert_eq!(refused("listen = 5\n").hint(), Some("write it in quotes: \"5\""));
    }

    #[test]
    fn a_place_behind_wide_characters_counts_characters() {
        let text = "a = \"äöü\" # é\nb = 1";
        let at = text.find('#').unwrap();
        let error = StrictError::at(text, "f", at..at + 1, "here");
        assert_eq!((error.line(), error.column()), (1, 11));
    }

    #[test]
    fn no_escape_sequence_reaches_the_terminal() {
        let shown = refused("listen = \"\u{1b}[31m\"\n").to_string();
        assert!(!shown.contains('\u{1b}'), "{shown:?}");
    }

    #[test]
    fn a_whole_file_parses() {
        let config: Config =
            parse("listen = \"x\"\nmode = \"strict\"\ntoken-life = 3\n[[part]]\nname = \"n\"", "f").unwrap();
        assert_eq!((config.listen.as_deref(), config.token_life, config.part.len()), (Some("x"), Some(3), 1));
        assert!(matches!(config.mode, Some(Mode::Strict)));
        assert_eq!(config.part[0].name, "n");
        assert!(matches!(parse::<Config>("mode = \"best-effort\"", "f").unwrap().mode, Some(Mode::BestEffort)));
    }

    proptest! {
        #[test]
        fn no_text_and_no_span_make_it_panic(text in "\\PC{0,80}", start in 0usize..120, length in 0usize..120) {
            let _ = parse::<Config>(&text, "f").map_err(|error| error.to_string());
            let _ = StrictError::at(&text, "f", start..start + length, "x").to_string();
        }
    }
}
