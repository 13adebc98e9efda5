//! The `source-address` of a certificate: from where alone it may be used.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// One address or network or several, as the critical option `source-address` lists them: "10.1.2.3/32,fd00::/64".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceAddresses(BTreeSet<(IpAddr, u8)>);

/// Why a list of addresses is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// Nothing there, which would be read as "from anywhere".
    #[error("a source address is needed: the address from which the proxy reaches its targets")]
    Empty,
    /// Neither an address nor a network.
    #[error("{0} is no address and no network: write 10.1.2.3 or 10.1.2.0/24")]
    Malformed(String),
    /// Bits behind the prefix are set; OpenSSH refuses such a list as a whole.
    #[error("{0} has bits set behind its prefix: OpenSSH would refuse it")]
    HostBits(String),
    /// So wide that it pins nothing.
    #[error("{0} is too wide: the narrowest networks of the proxies' own, /8 in IPv4 and /32 in IPv6 at the widest")]
    Wide(String),
}

impl SourceAddresses {
    /// From single addresses.
    ///
    /// # Errors
    /// [`SourceError::Empty`].
    pub fn from_addresses(addresses: impl IntoIterator<Item = IpAddr>) -> Result<Self, SourceError> {
        let all: BTreeSet<_> = addresses
            .into_iter()
            .map(|address| address.to_canonical())
            .map(|address| (address, if address.is_ipv4() { 32 } else { 128 }))
            .collect();
        if all.is_empty() { Err(SourceError::Empty) } else { Ok(Self(all)) }
    }
}

impl FromStr for SourceAddresses {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        if text.is_empty() {
            return Err(SourceError::Empty);
        }
        text.split(',').map(network).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for SourceAddresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (address, prefix)) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{address}/{prefix}")?;
        }
        Ok(())
    }
}

fn network(text: &str) -> Result<(IpAddr, u8), SourceError> {
    let shown = || format!("{:?}", text.chars().take(64).collect::<String>());
    let malformed = || SourceError::Malformed(shown());
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| malformed())?;
    // OpenSSH compares who comes as the IPv4 address that they are, so this would let nobody in.
    if address.to_canonical() != address {
        return Err(malformed());
    }
    let (most, least) = if address.is_ipv4() { (32, 8) } else { (128, 32) };
    let prefix: u8 = match prefix {
        None => most,
        // A sign or a leading zero would be a second way to write it.
        Some(digits) if digits.starts_with(['+', '0']) && digits != "0" => return Err(malformed()),
        Some(digits) => digits.parse().map_err(|_| malformed())?,
    };
    if prefix > most {
        return Err(malformed());
    }
    if prefix < least {
        return Err(SourceError::Wide(shown()));
    }
    if masked(address, prefix) != address {
        return Err(SourceError::HostBits(shown()));
    }
    Ok((address, prefix))
}

fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask))
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lists_are_sorted_and_each_has_its_prefix() {
        let list: SourceAddresses = "fd00::/64,10.1.2.3,10.1.0.0/16,10.1.2.3/32".parse().unwrap();
        assert_eq!(list.to_string(), "10.1.0.0/16,10.1.2.3/32,fd00::/64");
        let mapped = SourceAddresses::from_addresses(["::ffff:10.0.0.1".parse().unwrap()]).unwrap();
        assert_eq!(mapped.to_string(), "10.0.0.1/32");
    }

    #[test]
    fn what_pins_nothing_is_refused() {
        let parse = |text: &str| text.parse::<SourceAddresses>().unwrap_err();
        assert_eq!(parse(""), SourceError::Empty);
        assert_eq!(SourceAddresses::from_addresses([]).unwrap_err(), SourceError::Empty);
        for text in ["0.0.0.0/0", "10.0.0.0/7", "::/0", "2000::/31"] {
            assert!(matches!(parse(text), SourceError::Wide(_)), "{text}");
        }
        for text in ["10.1.2.3/24", "fd00::1/64"] {
            assert!(matches!(parse(text), SourceError::HostBits(_)), "{text}");
        }
        for text in [
            "web1",
            "10.0.0.1,",
            " 10.0.0.1",
            "10.0.0.1/33",
            "10.0.0.1/",
            "10.0.0.0/08",
            "10.0.0.0/+8",
            "*",
            "::ffff:10.0.0.1",
        ] {
            assert!(matches!(parse(text), SourceError::Malformed(_)), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_list_reads_back(addresses in prop::collection::vec(any::<IpAddr>(), 1..5)) {
            let list = SourceAddresses::from_addresses(addresses).unwrap();
            prop_assert_eq!(list.to_string().parse::<SourceAddresses>().unwrap(), list);
        }

        #[test]
        fn no_text_makes_it_panic(text in "[0-9a-f.:/,*]{0,40}") {
            let _ = text.parse::<SourceAddresses>();
        }
    }
}
