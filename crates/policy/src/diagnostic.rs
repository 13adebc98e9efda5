//! What is wrong with a policy text, where, and what to write instead.

use std::fmt;

/// One thing that is wrong with a policy text.
///
/// `Display` shows it with its line and carets:
///
/// ```text
/// 3:6: there is no annotation @max_durtion
///     @max_durtion("30m")
///      ^^^^^^^^^^^
/// hint: did you mean "max_duration"?
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// What is wrong.
    pub message: String,
    /// Line, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
    /// How many characters of the line it is about; at least 1.
    pub length: usize,
    /// The line itself.
    pub source: String,
    /// What to write instead.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// A diagnostic about the bytes `start..end` of `text`. A span over several lines is shown on its first.
    pub(crate) fn at(text: &str, start: usize, end: usize, message: impl Into<String>) -> Self {
        let start = floor(text, start);
        let before = text.get(..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at.saturating_add(1));
        let rest = text.get(line_start..).unwrap_or_default();
        let source = rest.split('\n').next().unwrap_or_default().trim_end_matches('\r').to_owned();
        let line_end = line_start.saturating_add(source.len());
        let end = floor(text, end.min(line_end));
        let count = |from: usize, to: usize| text.get(from..to).unwrap_or_default().chars().count();
        Self {
            message: message.into(),
            line: before.matches('\n').count().saturating_add(1),
            column: count(line_start, start).saturating_add(1),
            length: count(start, end).max(1),
            source,
            hint: None,
        }
    }

    /// The line with its carets and, below them, the hint: what `Display` shows below the message.
    #[must_use]
    pub fn excerpt(&self) -> String {
        // A tab would move the carets, and other control characters the terminal.
        let shown: String = self.source.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let indent = " ".repeat(self.column.saturating_sub(1));
        let hint = self.hint.as_ref().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
        format!("    {shown}\n    {indent}{}{hint}", "^".repeat(self.length))
    }

    pub(crate) fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    pub(crate) fn with_hint_if(self, hint: Option<String>) -> Self {
        Self { hint, ..self }
    }
}

/// The nearest character boundary that is not behind `at`.
fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|place| text.is_char_boundary(*place)).unwrap_or(0)
}

impl std::error::Error for Diagnostic {}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}\n{}", self.line, self.column, self.message, self.excerpt())
    }
}
