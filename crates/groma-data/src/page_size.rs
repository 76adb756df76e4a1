//! Whether a packed page holds more than it says.

use std::io::{self, BufRead, Read};

/// The ways to pack a page that the Parquet library undoes to the end, whatever size the page claims: a small file could fill
/// the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    Gzip,
    /// LZ4 in its frame format, which the library reads where Hadoop's is not found.
    Lz4,
}

impl Packing {
    /// Whether `page` unpacks to more than `size` bytes. Nothing is kept of it; damage is for the library to find, which gets
    /// no further than this.
    pub(crate) fn exceeds(self, page: impl BufRead, size: u64) -> bool {
        let unpacked = match self {
            Packing::Gzip => count(flate2::bufread::MultiGzDecoder::new(page), size),
            Packing::Lz4 => count(lz4_flex::frame::FrameDecoder::new(page), size),
        };
        unpacked > size
    }
}

/// The bytes that can be read, up to one more than `size`.
fn count(mut reader: impl Read, size: u64) -> u64 {
    let mut buffer = [0; 8192];
    let mut total = 0_u64;
    while total <= size {
        match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => total += read as u64,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_page_is_unpacked_up_to_its_size() {
        let zeros = vec![0; 1 << 20];
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(&zeros).unwrap();
        let gzip = gzip.finish().unwrap();
        let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
        lz4.write_all(&zeros).unwrap();
        let lz4 = lz4.finish().unwrap();
        for (packing, packed) in [(Packing::Gzip, &gzip), (Packing::Lz4, &lz4)] {
            assert!(!packing.exceeds(&packed[..], 1 << 20));
            assert!(packing.exceeds(&packed[..], (1 << 20) - 1));
            assert!(!packing.exceeds(&packed[..9], 100) && !packing.exceeds(&b"no such thing"[..], 0));
        }
        // Members of gzip are unpacked one after the other, here as there.
        assert!(Packing::Gzip.exceeds(&[&gzip[..], &gzip].concat()[..], 1 << 20));
    }
}
