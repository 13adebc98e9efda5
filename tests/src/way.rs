//! The two ways in, and what a client is told of them.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::site::{PLACE, Site};

/// A way in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// `ssh root+web1@proxy`
    Plus,
    /// `ssh -J proxy root@web1`
    Jump,
}

impl Way {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Plus, Self::Jump];

    /// Where stock OpenSSH goes with the configuration that `portcullis ssh-config --write` wrote.
    ///
    /// # Errors
    /// alice has no such configuration.
    pub fn destination(self, site: &Site) -> Result<String> {
        match self {
            Self::Jump => Ok(PLACE.to_owned()),
            Self::Plus => {
                let config = site.alice.folder().join("ssh_config");
                let text = fs::read_to_string(&config).with_context(|| format!("{}", config.display()))?;
                let alias = text.lines().find_map(|line| line.strip_prefix("Host portcullis-"));
                Ok(format!("root+web1@portcullis-{}", alias.context("no Host block for the proxy")?))
            }
        }
    }

    /// The same, to any target, for a client that is told everything by itself: host, port, user, and what else `more` says; and the
    /// same again for the connection that carries the other one, under `through`.
    ///
    /// # Errors
    /// `more` is no object.
    pub fn route(self, site: &Site, target: &str, more: &Value) -> Result<Value> {
        let proxy = |user: &str| route("127.0.0.1", site.proxy_port(), user, more);
        match self {
            Self::Plus => proxy(&format!("root+{target}")),
            Self::Jump => {
                let mut inner = route(target, 22, "root", more)?;
                let fields = inner.as_object_mut().context("an object")?;
                fields.insert("through".to_owned(), proxy("jump=alice")?);
                Ok(inner)
            }
        }
    }
}

/// A route without a second one.
///
/// # Errors
/// `more` is no object.
pub fn route(host: &str, port: u16, user: &str, more: &Value) -> Result<Value> {
    let mut route = json!({ "host": host, "port": port, "user": user });
    let fields = route.as_object_mut().context("an object")?;
    fields.extend(more.as_object().context("an object")?.clone());
    Ok(route)
}

/// A file that `cargo xtask setup` has put into `target/tools`.
///
/// # Errors
/// It is not there; the error says what to run.
pub fn tool(path: &str) -> Result<PathBuf> {
    let tools = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/tools");
    let file = tools.join(path);
    anyhow::ensure!(file.exists(), "{} is missing: run cargo xtask setup", file.display());
    Ok(file)
}
