//! The decider, from outside: every state × command, the rules one by one, and what holds whatever happens.

#[cfg(test)]
mod bounds;
#[cfg(test)]
mod factors;
#[cfg(test)]
mod matrix;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod target_key;
#[cfg(test)]
mod told;
#[cfg(test)]
mod world;
