//! What a client's run comes to.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use sftp::{Action, Digest, Operation, Outcome};
use sha2::{Digest as _, Sha256};

/// A client's run: what it said, and what was told of it.
pub(crate) struct Run {
    pub(crate) output: Output,
    pub(crate) operations: Vec<Operation>,
}

impl Run {
    pub(crate) fn said(&self) -> String {
        let Output { stdout, stderr, .. } = &self.output;
        format!("{}{}", String::from_utf8_lossy(stdout), String::from_utf8_lossy(stderr))
    }

    /// The operations as lines, with the test's folder taken out.
    pub(crate) fn lines(&self, folder: &Path) -> Vec<String> {
        let folder = folder.to_str().unwrap();
        self.operations.iter().map(|op| serde_json::to_string(op).unwrap().replace(folder, "")).collect()
    }

    /// The digest of what was moved of the file with this name.
    pub(crate) fn digest(&self, path: &Path) -> Option<&Digest> {
        self.operations.iter().find_map(|operation| {
            let Action::Close { path: closed, read, written, .. } = &operation.action else { return None };
            let fits = closed.as_bytes() == path.as_os_str().as_encoded_bytes() && operation.result == Outcome::Done;
            read.as_ref().or(written.as_ref()).filter(|_| fits).map(|moved| &moved.digest)
        })
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> Digest {
    Digest::Sha256(hex::encode(Sha256::digest(bytes)))
}

/// So many bytes that do not repeat within any buffer.
pub(crate) fn content(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

pub(crate) fn quiet(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped())
}
