//! The control plane as its clients see it: a real CA on a loopback port, driven over HTTPS.

#[cfg(test)]
mod distrust;
#[cfg(test)]
mod doubt;
#[cfg(test)]
mod edges;
#[cfg(test)]
mod extension;
#[cfg(test)]
mod factor;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod flow;
#[cfg(test)]
mod fronts;
#[cfg(test)]
mod lists;
#[cfg(test)]
mod matrix;
#[cfg(test)]
mod near;
#[cfg(test)]
mod pass;
#[cfg(test)]
mod presence;
#[cfg(test)]
mod proxies;
#[cfg(test)]
mod reviewers;
#[cfg(test)]
mod rotate;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod site;
#[cfg(test)]
mod target_key;
#[cfg(test)]
mod touch;
#[cfg(test)]
mod unbroken;
