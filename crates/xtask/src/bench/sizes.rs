//! How much is measured: the whole, and little to try with.

/// How many, how much and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// How many bytes one transfer moves.
    pub(crate) bytes: u64,
    /// How often each transfer is made.
    pub(crate) transfers: usize,
    /// How often a session is set up.
    pub(crate) setups: usize,
    /// How often all ways are connected anew to type.
    pub(crate) typists: usize,
    /// How many bytes are typed into one of those connections.
    pub(crate) keys: usize,
    /// How often the small crowds are dropped.
    pub(crate) drops: usize,
    /// A crowd that a real sshd holds.
    pub(crate) small: usize,
    /// A crowd on one node, as the design promises for.
    pub(crate) usual: usize,
    /// As many live sessions as one server is to hold.
    pub(crate) large: usize,
    /// The sessions of one grant among those.
    pub(crate) part: usize,
    /// For how many seconds certificates are issued.
    pub(crate) seconds: u64,
    /// How many facts there are in the ledger at the start.
    pub(crate) facts: usize,
}

impl Sizes {
    /// What the table in docs/performance.md is written from: 1,000 keystrokes each way, 1 GiB at a time.
    pub(crate) const FULL: Self = Self {
        bytes: 1 << 30,
        transfers: 5,
        setups: 30,
        typists: 5,
        keys: 200,
        drops: 5,
        small: 200,
        usual: 1000,
        large: 5000,
        part: 100,
        seconds: 10,
        facts: 1_000_000,
    };

    /// To see whether it works; the numbers say little.
    pub(crate) const QUICK: Self = Self {
        bytes: 1 << 26,
        transfers: 2,
        setups: 3,
        typists: 2,
        keys: 50,
        drops: 1,
        small: 5,
        usual: 50,
        large: 100,
        part: 10,
        seconds: 2,
        facts: 10_000,
    };
}

/// A number as it is written in a case: 5,000, or 1 M.
pub(crate) fn count(number: usize) -> String {
    if number >= 1_000_000 && number.is_multiple_of(1_000_000) {
        return format!("{} M", number / 1_000_000);
    }
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn thousands_are_set_apart() {
        let counts = [0, 5, 100, 1000, 12_345, 1_000_000, 1_234_567].map(count);
        assert_eq!(counts, ["0", "5", "100", "1,000", "12,345", "1 M", "1,234,567"]);
    }
}
