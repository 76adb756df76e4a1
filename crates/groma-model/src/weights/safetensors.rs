//! Files of tensors in the safetensors format: a length, a JSON header, then the data.
//!
//! The header is believed only after it is checked against itself and against the size of the file, before anything is
//! allocated. Data are read a tensor at a time, in pieces, into f32: a file is never in memory as a whole. The `safetensors`
//! crate gives the element types and writes the headers; its reader wants the whole file in memory (or mapped, which is
//! unsafe), does not tell a hole from an overlap, and takes the last of two tensors of one name.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use safetensors::tensor::{Metadata, TensorInfo};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};

pub use safetensors::Dtype;

use crate::error::{Error, Result, SafetensorsProblem as Problem};
use crate::weights::tensor::Tensor;

/// The format's own limit for headers, in bytes.
const HEADER_BYTES_LIMIT: u64 = 100_000_000;
/// Far above any real file.
const TENSOR_LIMIT: usize = 500_000;
const RANK_LIMIT: usize = 8;
/// Bytes that give the length of the header.
const LENGTH_BYTES: u64 = 8;
/// Size of the pieces in which data are read and written.
const PIECE_BYTES: usize = 1 << 20;

/// An open file with a checked header.
#[derive(Debug)]
pub struct SafetensorsFile {
    path: PathBuf,
    file: File,
    /// Where the data begin.
    data_start: u64,
    entries: BTreeMap<String, Entry>,
}

/// One tensor of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Type of its elements.
    pub dtype: Dtype,
    /// Its shape.
    pub shape: Vec<usize>,
    /// First and one past the last byte, from where the data begin.
    offsets: (u64, u64),
}

impl SafetensorsFile {
    /// Opens a file and checks its header.
    ///
    /// # Errors
    /// [`Error::Pickle`] for files of pickles, [`Error::Safetensors`] for each kind of lie.
    pub fn open(path: &Path) -> Result<SafetensorsFile> {
        let mut file = File::open(path).map_err(Error::io("open", path))?;
        let bytes = file.metadata().map_err(Error::io("read", path))?.len();
        let lie = |problem| Error::Safetensors { path: path.into(), problem };
        if bytes < LENGTH_BYTES {
            return Err(lie(Problem::TooShort { bytes }));
        }
        let mut length = [0; LENGTH_BYTES as usize];
        file.read_exact(&mut length).map_err(Error::io("read", path))?;
        if is_pickle(length) {
            return Err(Error::Pickle { path: path.into() });
        }
        let header = u64::from_le_bytes(length);
        check_header_size(header, bytes - LENGTH_BYTES).map_err(lie)?;
        let mut text = vec![0; header as usize];
        file.read_exact(&mut text).map_err(Error::io("read", path))?;
        let entries = parse_header(&text).map_err(lie)?;
        check_layout(&entries, bytes - LENGTH_BYTES - header).map_err(lie)?;
        let entries = entries.into_iter().collect();
        Ok(SafetensorsFile { path: path.into(), file, data_start: LENGTH_BYTES + header, entries })
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All tensors by name.
    pub fn entries(&self) -> &BTreeMap<String, Entry> {
        &self.entries
    }

    /// Where a tensor begins, for reading several in the file's order.
    pub(crate) fn start_of(&self, name: &str) -> u64 {
        self.entries.get(name).map_or(0, |entry| entry.offsets.0)
    }

    /// Reads a tensor as f32.
    ///
    /// # Errors
    /// Where there is no such tensor, its elements are not F32, F16 or BF16, or reading fails.
    pub fn read(&self, name: &str) -> Result<Tensor> {
        let shape = self.entries.get(name).map(|entry| entry.shape.clone()).unwrap_or_default();
        let mut source = self.values(name)?;
        let values = zeros(shape.iter().product()).and_then(|mut values| {
            source.next(&mut values)?;
            Ok(values)
        });
        Ok(Tensor { shape, values: values.map_err(Error::io("read", &self.path))? })
    }

    /// The values of a tensor, to be read run by run.
    ///
    /// # Errors
    /// Where there is no such tensor, or its elements are not F32, F16 or BF16.
    pub(crate) fn values(&self, name: &str) -> Result<Values<'_>> {
        let wrong = |message| Error::Safetensors { path: self.path.clone(), problem: Problem::Header { message } };
        let entry = self.entries.get(name).ok_or_else(|| wrong(format!("there is no tensor `{name}`")))?;
        if !is_readable(entry.dtype) {
            let message = format!("`{name}` has element type {}, which is not F32, F16 or BF16", entry.dtype);
            return Err(wrong(message));
        }
        Ok(Values { file: &self.file, at: self.data_start + entry.offsets.0, dtype: entry.dtype, piece: Vec::new() })
    }
}

/// Zeros, if there is memory for them.
pub(crate) fn zeros(len: usize) -> std::io::Result<Vec<f32>> {
    let mut values = Vec::new();
    values.try_reserve_exact(len).map_err(|_| std::io::ErrorKind::OutOfMemory)?;
    values.resize(len, 0.0);
    Ok(values)
}

/// What is left of a tensor's values.
pub(crate) struct Values<'a> {
    file: &'a File,
    /// Where the next one lies.
    at: u64,
    dtype: Dtype,
    piece: Vec<u8>,
}

impl Values<'_> {
    /// Fills `to` with the values that follow. (The header was checked against the size of the file; if the file has shrunk
    /// since, this is an unexpected end.)
    pub(crate) fn next(&mut self, to: &mut [f32]) -> std::io::Result<()> {
        match self.dtype {
            Dtype::F32 => self.decoded(to, f32::from_le_bytes),
            Dtype::F16 => self.decoded(to, |bytes| f16::from_le_bytes(bytes).to_f32()),
            _ => self.decoded(to, |bytes| bf16::from_le_bytes(bytes).to_f32()),
        }
    }

    /// The same for elements of `WIDTH` bytes, in pieces. Each call seeks, as several may read one file.
    fn decoded<const WIDTH: usize>(
        &mut self,
        to: &mut [f32],
        decode: impl Fn([u8; WIDTH]) -> f32,
    ) -> std::io::Result<()> {
        self.file.seek(SeekFrom::Start(self.at))?;
        self.piece.resize(PIECE_BYTES, 0);
        for run in to.chunks_mut(PIECE_BYTES / WIDTH) {
            let piece = &mut self.piece[..run.len() * WIDTH];
            self.file.read_exact(piece)?;
            self.at += piece.len() as u64;
            run.iter_mut().zip(piece.as_chunks().0).for_each(|(to, bytes)| *to = decode(*bytes));
        }
        Ok(())
    }
}

/// Whether elements of this type are read.
pub(crate) fn is_readable(dtype: Dtype) -> bool {
    matches!(dtype, Dtype::F32 | Dtype::F16 | Dtype::BF16)
}

/// The first bytes of a zip archive (PyTorch since 1.6) or of a bare pickle. Read as the length of a header, those of a
/// pickle are far above the limit.
fn is_pickle(start: [u8; 8]) -> bool {
    let bare = start[0] == 0x80 && (2..=5).contains(&start[1]) && start[4..] != [0; 4];
    bare || start.starts_with(b"PK\x03\x04")
}

fn check_header_size(header: u64, available: u64) -> Result<(), Problem> {
    if header > HEADER_BYTES_LIMIT {
        return Err(Problem::HeaderTooLarge { bytes: header, limit: HEADER_BYTES_LIMIT });
    }
    if header > available {
        return Err(Problem::HeaderBeyondEnd { header, available });
    }
    Ok(())
}

fn parse_header(bytes: &[u8]) -> Result<Vec<(String, Entry)>, Problem> {
    if bytes.first() != Some(&b'{') {
        return Err(Problem::HeaderStart);
    }
    let text =
        std::str::from_utf8(bytes).map_err(|error| Problem::HeaderEncoding { valid_bytes: error.valid_up_to() })?;
    let malformed = |message: String| Problem::Header { message };
    let header: Header = serde_json::from_str(text).map_err(|error| malformed(error.to_string()))?;
    if header.0.len() > TENSOR_LIMIT {
        return Err(Problem::TooManyTensors { tensors: header.0.len(), limit: TENSOR_LIMIT });
    }
    header.0.into_iter().map(|(name, raw)| Ok((name.clone(), raw.check(&name)?))).collect()
}

/// What a header says of a tensor.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEntry {
    dtype: Dtype,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

impl RawEntry {
    /// Size by shape and type against size by offsets, in checked arithmetic.
    fn check(self, name: &str) -> Result<Entry, Problem> {
        let tensor = || name.to_owned();
        if self.shape.len() > RANK_LIMIT {
            let message = format!("`{name}` has {} dimensions; the limit is {RANK_LIMIT}", self.shape.len());
            return Err(Problem::Header { message });
        }
        let elements = self.shape.iter().try_fold(1_u64, |product, extent| product.checked_mul(*extent));
        let bits = elements.and_then(|elements| elements.checked_mul(self.dtype.bitsize() as u64));
        let bits = bits.filter(|_| self.shape.iter().all(|extent| usize::try_from(*extent).is_ok()));
        let needed = bits.ok_or_else(|| Problem::ShapeOverflow { tensor: tensor() })?.div_ceil(8);
        let given = self.data_offsets.1.checked_sub(self.data_offsets.0);
        let given = given.ok_or_else(|| Problem::NegativeSpan { tensor: tensor() })?;
        if needed != given {
            return Err(Problem::WrongSpan { tensor: tensor(), needed, given });
        }
        let shape = self.shape.iter().map(|extent| *extent as usize).collect();
        Ok(Entry { dtype: self.dtype, shape, offsets: self.data_offsets })
    }
}

/// Tensors must cover the data without overlap, hole or remainder.
fn check_layout(entries: &[(String, Entry)], available: u64) -> Result<(), Problem> {
    let mut sorted: Vec<_> = entries.iter().map(|(name, entry)| (entry.offsets, name.as_str())).collect();
    sorted.sort_unstable();
    let mut covered = 0;
    let mut previous = "";
    for ((start, end), name) in sorted {
        if start < covered {
            return Err(Problem::Overlap { tensor: name.into(), other: previous.into() });
        }
        if start > covered {
            return Err(Problem::Hole { tensor: name.into(), bytes: start - covered });
        }
        (covered, previous) = (end, name);
    }
    if covered > available {
        return Err(Problem::DataBeyondEnd { needed: covered, available });
    }
    if covered < available {
        return Err(Problem::TrailingBytes { bytes: available - covered });
    }
    Ok(())
}

/// The header's tensors in the order of the file; two of one name are an error.
struct Header(Vec<(String, RawEntry)>);

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Header;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
        let mut names = std::collections::BTreeSet::new();
        let mut entries = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            if !names.insert(name.clone()) {
                return Err(A::Error::custom(format!("`{name}` is listed twice")));
            }
            if name == "__metadata__" {
                map.next_value::<BTreeMap<String, String>>()?;
            } else {
                entries.push((name, map.next_value()?));
            }
        }
        Ok(Header(entries))
    }
}

/// How weights are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ElementType {
    /// All 32 bits.
    #[default]
    F32,
    /// IEEE half precision; values beyond 65504 cannot be stored.
    F16,
    /// The upper half of an f32, rounded to nearest even.
    Bf16,
}

impl ElementType {
    /// Its name in `config.json`.
    pub fn name(self) -> &'static str {
        match self {
            ElementType::F32 => "float32",
            ElementType::F16 => "float16",
            ElementType::Bf16 => "bfloat16",
        }
    }

    /// Size of an element.
    pub fn width_bytes(self) -> usize {
        match self {
            ElementType::F32 => 4,
            ElementType::F16 | ElementType::Bf16 => 2,
        }
    }

    /// What a value becomes by being stored.
    pub fn round(self, value: f32) -> f32 {
        match self {
            ElementType::F32 => value,
            ElementType::F16 => f16::from_f32(value).to_f32(),
            ElementType::Bf16 => bf16::from_f32(value).to_f32(),
        }
    }

    fn dtype(self) -> Dtype {
        match self {
            ElementType::F32 => Dtype::F32,
            ElementType::F16 => Dtype::F16,
            ElementType::Bf16 => Dtype::BF16,
        }
    }

    fn encode(self, values: &[f32], out: &mut Vec<u8>) {
        match self {
            ElementType::F32 => out.extend(values.iter().flat_map(|value| value.to_le_bytes())),
            ElementType::F16 => out.extend(values.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes())),
            ElementType::Bf16 => out.extend(values.iter().flat_map(|value| bf16::from_f32(*value).to_le_bytes())),
        }
    }
}

/// A tensor to be written, made when its turn comes.
pub(crate) struct Pending<'a> {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) tensor: &'a Tensor,
    /// Write the matrix with rows and columns exchanged; `shape` is the exchanged one.
    pub(crate) transposed: bool,
}

impl Pending<'_> {
    pub(crate) fn bytes(&self, element: ElementType) -> u64 {
        (self.tensor.values.len() * element.width_bytes()) as u64
    }
}

/// Writes a whole file, a tensor at a time, in the given order.
pub(crate) fn write_file(mut out: impl Write, tensors: &[Pending<'_>], element: ElementType) -> std::io::Result<()> {
    let mut end = 0;
    let infos = tensors.iter().map(|tensor| {
        let start = end;
        end += tensor.bytes(element) as usize;
        let info = TensorInfo { dtype: element.dtype(), shape: tensor.shape.clone(), data_offsets: (start, end) };
        (tensor.name.clone(), info)
    });
    // Without this, transformers refuses the file.
    let format = [("format".to_owned(), "pt".to_owned())].into_iter().collect();
    let metadata = Metadata::new(Some(format), infos.collect()).map_err(std::io::Error::other)?;
    let mut header = serde_json::to_vec(&metadata)?;
    header.resize(header.len().next_multiple_of(LENGTH_BYTES as usize), b' ');
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(&header)?;
    let mut piece = Vec::with_capacity(PIECE_BYTES);
    for pending in tensors {
        let exchanged = pending.transposed.then(|| pending.tensor.transposed());
        let tensor = exchanged.as_ref().unwrap_or(pending.tensor);
        for values in tensor.values.chunks(PIECE_BYTES / 4) {
            piece.clear();
            element.encode(values, &mut piece);
            out.write_all(&piece)?;
        }
    }
    Ok(())
}
