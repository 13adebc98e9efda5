//! What `cargo xtask bench` cannot do with stock programs: many callers of the API at once, many live sessions from one
//! process and a target that can hold them, and a ledger with many facts. One JSON object on standard output is the
//! answer. Everything stays on the loopback, and ends by itself.
#![forbid(unsafe_code)]

mod facts;
mod issuance;
mod sessions;
mod target;

use std::collections::HashMap;
use std::io::Write as _;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context as _, Result, bail};
use portcullis_tests::Caller;

const USAGE: &str = "\
load issuance --api URL --root FILE --identity NAME --key FILE --grant ID --clients N --seconds N
load sessions --api URL --root FILE --proxy ADDRESS --user LOGIN+TARGET --command TEXT --identity NAME --key FILE
    --reviewer NAME --reviewer-key FILE --grants ID:N,ID:N --order revoke:ID|lock --at-once N --pid SERVER
load target --listen ADDRESS --host-key FILE --user-ca FILE --principal LOGIN@TARGET
load facts --data DIR --count N";

#[tokio::main]
async fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let Some((verb, rest)) = words.split_first() else { bail!(USAGE) };
    let options = Options::parse(rest)?;
    let answer = match verb.as_str() {
        "issuance" => issuance::measure(&options).await?,
        "sessions" => sessions::measure(&options).await?,
        "target" => target::serve(&options).await?,
        "facts" => facts::write(&options).await?,
        _ => bail!(USAGE),
    };
    writeln!(std::io::stdout(), "{answer}").context("standard output cannot be written")
}

/// `--name value` pairs.
struct Options(HashMap<String, String>);

impl Options {
    fn parse(words: &[String]) -> Result<Self> {
        let mut options = HashMap::new();
        for pair in words.chunks(2) {
            let [name, value] = pair else { bail!(USAGE) };
            let name = name.strip_prefix("--").context(USAGE)?;
            options.insert(name.to_owned(), value.clone());
        }
        Ok(Self(options))
    }

    /// Logs in whom the option `name` names, with the key that the option `key` names.
    async fn log_in(&self, name: &str, key: &str) -> Result<Caller> {
        let [api, root, key] = [self.text("api")?, self.text("root")?, self.text(key)?];
        Caller::log_in(api, Path::new(root), self.value(name)?, Path::new(key)).await
    }

    fn text(&self, name: &str) -> Result<&str> {
        self.0.get(name).map(String::as_str).with_context(|| format!("--{name} is missing\n{USAGE}"))
    }

    fn value<T: FromStr>(&self, name: &str) -> Result<T> {
        let text = self.text(name)?;
        text.parse().ok().with_context(|| format!("--{name} {text:?} makes no sense\n{USAGE}"))
    }
}
