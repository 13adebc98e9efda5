//! The nearest known word.

/// "did you mean …?" for the known word that is nearest, if one is near.
pub(crate) fn hint<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let lower = word.to_lowercase();
    let near = |candidate: &str| strsim::damerau_levenshtein(&lower, &candidate.to_lowercase());
    let limit = (word.chars().count() / 3).clamp(1, 4);
    let (distance, best) = known.into_iter().map(|candidate| (near(candidate), candidate)).min()?;
    (distance <= limit).then(|| format!("did you mean \"{best}\"?"))
}
