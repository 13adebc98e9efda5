//! The crate against the real thing: ssh-keygen, ssh-agent, a software security key.

#[cfg(test)]
mod agent;
#[cfg(test)]
mod directory;
#[cfg(test)]
mod edit;
#[cfg(test)]
mod login;
#[cfg(test)]
mod presence;
#[cfg(test)]
mod proof;
#[cfg(test)]
mod short_scalar;
#[cfg(test)]
mod support;
