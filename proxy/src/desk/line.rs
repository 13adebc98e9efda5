//! A command line, split into words: `ssh` sends the words of a command with one blank between them and without the
//! quotes that a shell took away, so that a reason may go on until the next option.

/// Splits at blanks; quotes keep them, a backslash keeps the next character. What is left open ends with the line.
pub(crate) fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                word.get_or_insert_default();
                quote = Some(c);
            }
            (Some('"') | None, '\\') => word.get_or_insert_default().extend(characters.next()),
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (Some(_) | None, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn blanks_separate_and_quotes_keep_them() {
        for (line, expected) in [
            ("", &[][..]),
            ("  requests   --json ", &["requests", "--json"]),
            ("deny req-1 --reason not now", &["deny", "req-1", "--reason", "not", "now"]),
            ("deny req-1 --reason 'not now'", &["deny", "req-1", "--reason", "not now"]),
            (r#"a "b \" c" d\ e ''"#, &["a", "b \" c", "d e", ""]),
            ("a 'b", &["a", "b"]),
        ] {
            assert_eq!(words(line), expected, "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_line_makes_it_fall_over(line: String) {
            prop_assert!(words(&line).iter().map(String::len).sum::<usize>() <= line.len());
        }
    }
}
