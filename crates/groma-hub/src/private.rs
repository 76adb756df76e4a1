//! Addresses of this machine and of networks behind it, in every spelling that a system's resolver takes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether a host is an address of this machine or of a network behind it.
pub(crate) fn is_private(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase();
    // A zone says through which interface; the address is what it is.
    let host = host.split('%').next().unwrap_or_default();
    let named = ["localhost", "localdomain", "local", "internal"];
    if named.iter().any(|name| host == *name || host.ends_with(&format!(".{name}"))) {
        return true;
    }
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(v4)) => is_private_v4(v4),
        Ok(IpAddr::V6(v6)) => is_private_v6(v6),
        Err(_) => numeric(host).is_some_and(is_private_v4),
    }
}

fn is_private_v4(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    let is_shared = first == 100 && (64..128).contains(&second);
    address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || is_shared
        || first == 0
        || first >= 240
}

fn is_private_v6(address: Ipv6Addr) -> bool {
    let part = address.segments();
    let v4 = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    let inner = match part {
        // Mapped, compatible, translated (NAT64), and by way of 6to4.
        [0, 0, 0, 0, 0, 0xffff | 0, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(v4(high, low)),
        [0x64, 0xff9b, 1, ..] => Some(Ipv4Addr::LOCALHOST),
        [0x2002, high, low, ..] => Some(v4(high, low)),
        _ => None,
    };
    address.is_loopback()
        || address.is_unspecified()
        || address.is_unique_local()
        || address.is_unicast_link_local()
        || address.is_multicast()
        || inner.is_some_and(is_private_v4)
}

/// One to four numbers, decimal, octal or hexadecimal, of which the last fills what is left, as `inet_aton` reads them.
fn numeric(host: &str) -> Option<Ipv4Addr> {
    let number = |text: &str| match text.strip_prefix("0x") {
        Some("") => Some(0),
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None if text.len() > 1 && text.starts_with('0') => u64::from_str_radix(text, 8).ok(),
        None => text.parse().ok(),
    };
    let parts = host.split('.').map(number).collect::<Option<Vec<u64>>>()?;
    let (last, first) = parts.split_last()?;
    let left = 32_u32.checked_sub(8 * u32::try_from(first.len()).ok()?).filter(|left| *left > 0)?;
    if first.iter().any(|part| *part > 255) || *last >= 1 << left {
        return None;
    }
    let high = first.iter().fold(0_u64, |all, part| all << 8 | part) << left;
    u32::try_from(high | last).ok().map(Ipv4Addr::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_known() {
        let private = [
            "localhost",
            "LOCALHOST.",
            "a.localhost",
            "printer.local",
            "metadata.google.internal",
            "127.0.0.1",
            "127.1",
            "127.0.1",
            "2130706433",
            "0x7f000001",
            "0x7f.1",
            "0177.0.0.1",
            "017700000001",
            "0",
            "0.0.0.0",
            "10.0.0.1",
            "10.1",
            "0xa.1",
            "192.168.1.1",
            "192.168.257",
            "172.16.0.1",
            "169.254.169.254",
            "0xa9fea9fe",
            "2852039166",
            "100.64.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "[::1]",
            "[::]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[::127.0.0.1]",
            "[64:ff9b::7f00:1]",
            "[2002:7f00:1::]",
            "[2002:a00:1::1]",
            "[fe80::1%25eth0]",
            "[fc00::1]",
            "[fd12::1]",
            "[ff02::1]",
            "127.0.0.1.",
        ];
        for host in private {
            assert!(is_private(host), "{host}");
        }
        let public = [
            "huggingface.co",
            "cdn-lfs.huggingface.co",
            "8.8.8.8",
            "1.1.1.1",
            "134744072",
            "0x08080808",
            "[2606:4700::1111]",
            "[::ffff:8.8.8.8]",
            "[64:ff9b::808:808]",
            "[2002:808:808::]",
            "locals.example",
            "internal.example",
            "256.1.1.1",
            "1.2.3.4.5",
            "10.example",
        ];
        for host in public {
            assert!(!is_private(host), "{host}");
        }
    }
}
