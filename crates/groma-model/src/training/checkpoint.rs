//! Tensors of a run in the making, in files.

use std::io::Write;

use groma_kernels::{Backend, Buffer};
use groma_run::atomic::AtomicDirectory;

use crate::{Error, Result, SafetensorsFile};

/// Writes tensors as one safetensors file of a directory in the making, one after the other, as flat runs of f32.
///
/// # Errors
/// Those of the disk.
pub fn write_tensors(
    target: &mut AtomicDirectory,
    name: &str,
    backend: &dyn Backend,
    tensors: &[(String, &Buffer)],
) -> Result<()> {
    let path = target.path().join(name);
    let mut header = header(tensors)?;
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut file = target.file(name)?;
    let mut write = |bytes: &[u8]| {
        file.write_all(bytes).map_err(|source| Error::Io { action: "write", path: path.clone(), source })
    };
    write(&(header.len() as u64).to_le_bytes())?;
    write(&header)?;
    for (_, buffer) in tensors {
        write(&backend.download(buffer).iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())?;
    }
    Ok(file.finish()?)
}

fn header(tensors: &[(String, &Buffer)]) -> Result<Vec<u8>> {
    let mut header = serde_json::Map::new();
    let mut start = 0;
    for (name, buffer) in tensors {
        let end = start + 4 * buffer.len();
        let entry = serde_json::json!({"dtype": "F32", "shape": [buffer.len()], "data_offsets": [start, end]});
        header.insert(name.clone(), entry);
        start = end;
    }
    serde_json::to_vec(&header).map_err(|source| Error::Weights { problem: format!("cannot write tensors: {source}") })
}

/// Puts the values of a tensor of a file into `target`.
///
/// # Errors
/// If the file has no such tensor, or one of another size.
pub fn fill_tensor(file: &mut SafetensorsFile, name: &str, target: &mut Buffer, backend: &dyn Backend) -> Result<()> {
    let tensor = file.read(name)?;
    if tensor.values.len() != target.len() {
        let problem =
            format!("{name} has {} instead of {}", groma_run::counted(tensor.values.len(), "value"), target.len());
        return Err(Error::Weights { problem });
    }
    *target = backend.upload(&tensor.values);
    Ok(())
}
