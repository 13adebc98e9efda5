//! Real clients and real servers of OpenSSH with a watch between them, over pipes.

#[cfg(test)]
mod relay;
#[cfg(test)]
mod scp;
#[cfg(test)]
mod sftp;
#[cfg(test)]
mod support;
