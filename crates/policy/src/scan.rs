//! Where policies and their annotations stand in the text. Cedar keeps these places to itself, so they are found
//! again here.

use std::ops::Range;

/// One policy in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// From its first annotation to its semicolon.
    pub(crate) whole: Range<usize>,
    /// The word `permit` or `forbid`.
    pub(crate) effect: Range<usize>,
    /// Its annotations, in order.
    pub(crate) annotations: Vec<Annotation>,
}

/// One annotation in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Annotation {
    /// Its name, without the `@`.
    pub(crate) name: Range<usize>,
    /// Its value between the quotes, when it has one.
    pub(crate) value: Option<Range<usize>>,
}

/// The policies of a text, in order.
pub(crate) fn places(text: &str) -> Vec<Place> {
    let mut places = Vec::new();
    let mut place: Option<Place> = None;
    let mut tokens = tokens(text).peekable();
    while let Some((token, span)) = tokens.next() {
        let here = place.get_or_insert_with(|| Place {
            whole: span.clone(),
            effect: span.start..span.start,
            annotations: Vec::new(),
        });
        here.whole.end = span.end;
        match token {
            Token::Sign(';') => places.extend(place.take()),
            Token::Sign('@') if here.effect.is_empty() => {
                let Some((_, name)) = tokens.next_if(|(token, _)| *token == Token::Word) else { continue };
                let mut value = None;
                if tokens.next_if(|(token, _)| *token == Token::Sign('(')).is_some()
                    && let Some((_, span)) = tokens.next_if(|(token, _)| *token == Token::Text)
                {
                    value = Some(span.start.saturating_add(1)..span.end.saturating_sub(1));
                    tokens.next_if(|(token, _)| *token == Token::Sign(')'));
                }
                here.annotations.push(Annotation { name, value });
            }
            Token::Word if here.effect.is_empty() => here.effect = span,
            Token::Word | Token::Text | Token::Sign(_) => {}
        }
    }
    places
}

/// A token of Cedar's notation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token {
    Word,
    /// With its quotes.
    Text,
    Sign(char),
}

/// The tokens of a text, without white space and comments.
pub(crate) fn tokens(text: &str) -> impl Iterator<Item = (Token, Range<usize>)> {
    let mut chars = text.char_indices().peekable();
    std::iter::from_fn(move || {
        loop {
            let (start, c) = chars.next()?;
            if c.is_whitespace() {
                continue;
            }
            if c == '/' && chars.next_if(|(_, next)| *next == '/').is_some() {
                while chars.next_if(|(_, next)| *next != '\n').is_some() {}
                continue;
            }
            let token = if c == '"' {
                // To the quote that no backslash hides.
                while let Some((_, inner)) = chars.next() {
                    match inner {
                        '\\' => _ = chars.next(),
                        '"' => break,
                        _ => {}
                    }
                }
                Token::Text
            } else if c.is_alphanumeric() || c == '_' {
                while chars.next_if(|(_, next)| next.is_alphanumeric() || *next == '_').is_some() {}
                Token::Word
            } else {
                Token::Sign(c)
            };
            let end = chars.peek().map_or(text.len(), |(at, _)| *at);
            return Some((token, start..end));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_and_annotations_are_found_among_comments_and_strings() {
        let text = "// @not(\"this\");\n@id(\"a;b\\\"\") @ touch\npermit (principal, action, resource)\nwhen { \"//;@x\" == \"\" };\nforbid(principal, action, resource); // end;";
        let places = places(text);
        let show = |range: &Range<usize>| &text[range.clone()];
        assert_eq!(places.len(), 2);
        let found: Vec<_> = places[0].annotations.iter().map(|a| (show(&a.name), a.value.as_ref().map(show))).collect();
        assert_eq!(found, [("id", Some("a;b\\\"")), ("touch", None)]);
        assert_eq!((show(&places[0].effect), show(&places[1].effect)), ("permit", "forbid"));
        assert!(show(&places[0].whole).starts_with("@id") && show(&places[0].whole).ends_with("};"));
        assert_eq!(show(&places[1].whole), "forbid(principal, action, resource);");
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(\\PC|[@(){};\"/\\\\\n]|permit|forbid){0,80}") {
            for place in places(&text) {
                proptest::prop_assert!(text.get(place.whole).is_some());
                proptest::prop_assert!(text.get(place.effect).is_some());
                for annotation in place.annotations {
                    proptest::prop_assert!(text.get(annotation.name).is_some());
                    proptest::prop_assert!(annotation.value.is_none_or(|value| text.get(value).is_some()));
                }
            }
        }
    }
}
