//! A list of networks, as CIDRs name them. Refuses to know whose they are.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

/// Some networks. An IPv4 address is the same in both of its spellings, here and in what is looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

/// How many bits of `::ffff:192.0.2.1` stand before the IPv4 address.
const MAPPED_BITS: u8 = 96;

impl Networks {
    /// Whether one of them holds this address.
    pub fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As a configuration lists them; a single address with the length of its prefix.
    pub fn iter(&self) -> impl Iterator<Item = &IpNet> {
        self.0.iter()
    }
}

impl FromIterator<IpNet> for Networks {
    fn from_iter<I: IntoIterator<Item = IpNet>>(networks: I) -> Self {
        Self(networks.into_iter().map(canonical).collect())
    }
}

/// A CIDR; a bare address is a network of its own.
pub(super) fn parse(text: &str) -> Result<IpNet, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.into());
    }
    let wrong = || format!("`{text}` is not a network; write one such as 10.0.0.0/8, or an address");
    let network: IpNet = text.parse().map_err(|_| wrong())?;
    if network.trunc() != network {
        return Err(format!("`{text}` has bits behind its prefix; write {}, or the address alone", network.trunc()));
    }
    Ok(network)
}

fn canonical(network: IpNet) -> IpNet {
    let mapped = |network: ipnet::Ipv6Net| {
        let address = network.addr().to_ipv4_mapped()?;
        Ipv4Net::new(address, network.prefix_len().checked_sub(MAPPED_BITS)?).ok()
    };
    match network {
        IpNet::V6(six) => mapped(six).map_or(network, IpNet::V4),
        IpNet::V4(_) => network,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contain(network: &str, address: &str) -> bool {
        let networks: Networks = [parse(network).unwrap()].into_iter().collect();
        networks.contain(address.parse().unwrap())
    }

    #[test]
    fn an_ipv4_address_is_the_same_in_both_spellings() {
        for network in ["10.0.0.0/8", "::ffff:10.0.0.0/104"] {
            assert!(contain(network, "10.1.2.3") && contain(network, "::ffff:10.1.2.3"), "{network}");
            assert!(!contain(network, "11.0.0.0") && !contain(network, "::10.1.2.3"), "{network}");
        }
        assert!(contain("::ffff:192.0.2.1", "192.0.2.1") && !contain("::ffff:192.0.2.1", "192.0.2.2"));
        assert!(!contain("::/0", "192.0.2.1") && contain("0.0.0.0/0", "192.0.2.1"));
    }

    #[test]
    fn a_bare_address_is_a_network_of_one() {
        assert!(contain("2001:db8::1", "2001:db8::1") && !contain("2001:db8::1", "2001:db8::2"));
        assert_eq!(parse("192.0.2.1").unwrap().to_string(), "192.0.2.1/32");
        assert_eq!(parse("2001:db8::1").unwrap().to_string(), "2001:db8::1/128");
    }

    #[test]
    fn a_network_that_is_none_is_told() {
        for wrong in
            ["", "proxy", "10.0.0.0/33", "10.0.0.0/", "10.0.0/8", "10.0.0.0/8 ", "fe80::1%eth0", "2001:db8::/129"]
        {
            assert!(parse(wrong).unwrap_err().contains("is not a network"), "{wrong}");
        }
        assert!(parse("10.0.0.5/8").unwrap_err().contains("write 10.0.0.0/8"));
    }
}
