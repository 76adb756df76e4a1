//! Gradients on their way backwards.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::gradients::Gradients;
use super::key::Key;
use crate::{Backend, Buffer};

/// Gradients on their way: those of nodes may be shared until somebody adds to them.
pub(super) struct Flow<'a> {
    pub(super) backend: Arc<dyn Backend>,
    pub(super) nodes: BTreeMap<u32, Arc<Buffer>>,
    pub(super) parameters: &'a mut Gradients,
}

impl Flow<'_> {
    /// Takes out the gradient of `key` so far, if there is any.
    pub(super) fn take(&mut self, key: Key) -> Option<Buffer> {
        match key {
            Key::Parameter(id) => self.parameters.buffers.remove(&id),
            Key::Node(node) => {
                let shared = self.nodes.remove(&node);
                shared.map(|shared| Arc::try_unwrap(shared).unwrap_or_else(|shared| (*shared).clone()))
            }
        }
    }

    /// Hands out the gradient of `key` so far, to be added to and given back; `None` where nobody wants it.
    pub(super) fn lend(&mut self, key: Option<Key>, len: usize) -> Option<Buffer> {
        let held = self.take(key?);
        Some(held.unwrap_or_else(|| self.backend.zeros(len)))
    }

    /// Takes a lent gradient back.
    pub(super) fn give_back(&mut self, key: Option<Key>, buffer: Option<Buffer>) {
        match (key, buffer) {
            (Some(Key::Parameter(id)), Some(buffer)) => {
                self.parameters.buffers.insert(id, buffer);
            }
            (Some(Key::Node(node)), Some(buffer)) => {
                self.nodes.insert(node, Arc::new(buffer));
            }
            _ => {}
        }
    }

    /// Adds to the gradient of `key` through `add`, which gets a buffer that already holds the sum so far.
    pub(super) fn add_with(&mut self, key: Option<Key>, len: usize, add: impl FnOnce(&dyn Backend, &mut Buffer)) {
        if let Some(mut buffer) = self.lend(key, len) {
            add(&*self.backend, &mut buffer);
            self.give_back(key, Some(buffer));
        }
    }

    /// Hands out the gradient of `key` so far, or an unspecified one and `true`: to be overwritten, as it is fresh.
    pub(super) fn borrow(&mut self, key: Option<Key>, len: usize) -> Option<(Buffer, bool)> {
        let held = self.take(key?);
        let fresh = held.is_none();
        Some((held.unwrap_or_else(|| self.backend.scratch(len)), fresh))
    }

    /// Sets the gradient of `key` through `add`, which adds to it, or overwrites it where it is fresh.
    pub(super) fn fill_or_add(
        &mut self,
        key: Option<Key>,
        len: usize,
        add: impl FnOnce(&dyn Backend, &mut Buffer, bool),
    ) {
        if let Some((mut buffer, fresh)) = self.borrow(key, len) {
            add(&*self.backend, &mut buffer, fresh);
            self.give_back(key, Some(buffer));
        }
    }

    /// The whole gradient of a node; it stays if the node is watched.
    pub(super) fn arrived(&mut self, node: u32, watched: &[u32]) -> Option<Arc<Buffer>> {
        if watched.contains(&node) { self.nodes.get(&node).cloned() } else { self.nodes.remove(&node) }
    }

    /// Adds a whole gradient; the first one to arrive is shared instead of copied.
    pub(super) fn add_shared(&mut self, key: Option<Key>, dy: &Arc<Buffer>) {
        if let Some(Key::Node(node)) = key
            && !self.nodes.contains_key(&node)
        {
            self.nodes.insert(node, dy.clone());
            return;
        }
        self.add_with(key, dy.len(), |backend, dx| backend.add_scaled(dx, dy, 1.0));
    }
}
