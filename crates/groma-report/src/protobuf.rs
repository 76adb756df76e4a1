//! Protobuf's wire format, as far as messages are written: fields of numbers and bytes, and the checksums around messages.

pub(crate) const VARINT: u64 = 0;
pub(crate) const FIXED_64: u64 = 1;
pub(crate) const BYTES: u64 = 2;
pub(crate) const FIXED_32: u64 = 5;

pub(crate) fn key(out: &mut Vec<u8>, field: u64, kind: u64) {
    varint(out, field << 3 | kind);
}

pub(crate) fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn double(out: &mut Vec<u8>, field: u64, value: f64) {
    key(out, field, FIXED_64);
    out.extend(value.to_le_bytes());
}

pub(crate) fn bytes(out: &mut Vec<u8>, field: u64, value: &[u8]) {
    key(out, field, BYTES);
    varint(out, value.len() as u64);
    out.extend(value);
}

/// A field that is a message, or a text.
pub(crate) fn field(number: u64, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    bytes(&mut out, number, value);
    out
}

/// CRC-32C (Castagnoli), as TensorFlow's records have it.
pub(crate) const CASTAGNOLI: u32 = 0x82f6_3b78;
/// The CRC-32 of zlib, as W&B's records have it.
pub(crate) const ZLIB: u32 = 0xedb8_8320;

/// A reflected CRC-32 of this polynomial.
pub(crate) fn crc32(polynomial: u32, data: &[u8]) -> u32 {
    !data.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ polynomial } else { crc >> 1 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check values of CRC-32C (RFC 3720, B.4) and of CRC-32 (the catalogue of parametrised CRC algorithms).
    #[test]
    fn checksums_of_the_standard() {
        assert_eq!((crc32(CASTAGNOLI, b"123456789"), crc32(ZLIB, b"123456789")), (0xe306_9283, 0xcbf4_3926));
        assert_eq!(crc32(CASTAGNOLI, &[0; 32]), 0x8a91_36aa);
    }
}
