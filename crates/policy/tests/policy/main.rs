//! Policies from outside: what is refused, what is judged, and how it is explained.

#[cfg(test)]
mod explained;
#[cfg(test)]
mod judged;
#[cfg(test)]
mod named;
#[cfg(test)]
mod refused;
#[cfg(test)]
mod world;
