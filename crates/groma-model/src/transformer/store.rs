//! The parameters of a loaded model, by name and by number.

use std::collections::BTreeMap;
use std::sync::Arc;

use groma_kernels::{Buffer, ParameterId, Var};

/// One parameter: a matrix `[rows, width]` (vectors have one row).
#[derive(Clone, Debug)]
pub struct StoredParameter {
    /// Canonical name, e.g. `blocks.0.attention.q.weight`.
    pub name: String,
    /// Number of rows.
    pub rows: usize,
    /// Length of a row.
    pub width: usize,
    /// Whether training changes it; gradients of others are never made.
    pub trainable: bool,
    buffer: Arc<Buffer>,
}

impl StoredParameter {
    /// A parameter with its values.
    ///
    /// # Panics
    /// If the buffer has another size than the shape: an error of the calling code.
    pub(crate) fn new(name: String, rows: usize, width: usize, trainable: bool, buffer: Buffer) -> Self {
        assert_eq!(buffer.len(), rows * width, "{name}: a parameter's buffer has its shape");
        StoredParameter { name, rows, width, trainable, buffer: Arc::new(buffer) }
    }

    /// The values.
    pub fn buffer(&self) -> &Buffer {
        &self.buffer
    }

    /// Gives it other values of the same shape, or the same ones in another form.
    pub(crate) fn set_buffer(&mut self, buffer: Buffer) {
        assert_eq!(buffer.len(), self.len(), "{}: a parameter's buffer has its shape", self.name);
        self.buffer = Arc::new(buffer);
    }

    /// The values, to be changed; `None` while a tape or a copy of the model still refers to them.
    pub fn buffer_mut(&mut self) -> Option<&mut Buffer> {
        Arc::get_mut(&mut self.buffer)
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.rows * self.width
    }

    /// Whether it holds no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Parameters by name: all of a model in forward order, or those of what is put beside it. A [`ParameterId`] is an index
/// into them, above the first of the set.
#[derive(Clone, Debug, Default)]
pub struct ParameterStore {
    parameters: Vec<StoredParameter>,
    by_name: BTreeMap<String, ParameterId>,
    first: u32,
}

/// Most parameters of a set.
const SET_SIZE: u32 = 1 << 24;

impl ParameterStore {
    /// An empty set of that number. Sets whose parameters meet on one tape need numbers of their own; a model's is 0.
    pub fn numbered(set: u8) -> Self {
        ParameterStore { first: u32::from(set) * SET_SIZE, ..Self::default() }
    }

    /// Adds a parameter.
    ///
    /// # Panics
    /// If the buffer has another size than the shape, or the name is taken: both are errors of the calling code.
    pub fn insert(&mut self, name: String, rows: usize, width: usize, trainable: bool, buffer: Buffer) -> ParameterId {
        self.push(StoredParameter::new(name, rows, width, trainable, buffer))
    }

    pub(crate) fn push(&mut self, parameter: StoredParameter) -> ParameterId {
        let id = ParameterId(self.first + self.parameters.len() as u32);
        let before = self.by_name.insert(parameter.name.clone(), id);
        assert!(before.is_none(), "{}: a parameter's name is its own", parameter.name);
        self.parameters.push(parameter);
        id
    }

    /// Keeps the first `count` parameters and hands out the others.
    pub(crate) fn truncate(&mut self, count: usize) -> Vec<StoredParameter> {
        let others = self.parameters.split_off(count);
        others.iter().for_each(|parameter| _ = self.by_name.remove(&parameter.name));
        others
    }

    /// The id of a name.
    pub fn id(&self, name: &str) -> Option<ParameterId> {
        self.by_name.get(name).copied()
    }

    /// A parameter by id.
    pub fn get(&self, id: ParameterId) -> &StoredParameter {
        &self.parameters[(id.0 - self.first) as usize]
    }

    /// A parameter by id, to be changed.
    pub fn get_mut(&mut self, id: ParameterId) -> &mut StoredParameter {
        &mut self.parameters[(id.0 - self.first) as usize]
    }

    /// All parameters with their ids, in forward order.
    pub fn iter(&self) -> impl Iterator<Item = (ParameterId, &StoredParameter)> {
        self.parameters.iter().enumerate().map(|(i, p)| (ParameterId(self.first + i as u32), p))
    }

    /// Ids of the parameters that train.
    pub fn trainable(&self) -> Vec<ParameterId> {
        self.iter().filter(|(_, p)| p.trainable).map(|(id, _)| id).collect()
    }

    /// Makes exactly those parameters trainable for which `train` holds.
    pub fn set_trainable(&mut self, train: impl Fn(&str) -> bool) {
        for parameter in &mut self.parameters {
            parameter.trainable = train(&parameter.name);
        }
    }

    /// Number of values in all parameters.
    pub fn count(&self) -> usize {
        self.parameters.iter().map(StoredParameter::len).sum()
    }

    /// The parameter as a tape sees it.
    pub fn var(&self, id: ParameterId) -> Var {
        let p = self.get(id);
        Var::parameter(id, p.buffer.clone(), p.rows, p.width, p.trainable)
    }
}
