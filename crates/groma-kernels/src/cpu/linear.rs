//! The three products of a linear layer.
use super::Cpu;
use super::matmul::{Initial, One, Right, Size, multiply, multiply_all};
use super::pack::{Operand, Packed};
use crate::pool::Stay;
use crate::{Buffer, LinearOutput, WeightGradient};
use std::sync::OnceLock;

/// The packed copy of a frozen weight `[outputs, inputs]` for `x wᵀ`, made if there is none yet; `None` where the weight is
/// not frozen.
pub(crate) fn forward_copy<'a>(cpu: &Cpu, w: &'a Buffer, inputs: usize, outputs: usize) -> Option<&'a Packed> {
    let copy = w.memory().frozen().map(|frozen| &frozen.forward);
    packed(cpu, copy, Operand::rows(w.host(), inputs), outputs, inputs)
}

/// The same for `dy w`.
pub(crate) fn backward_copy<'a>(cpu: &Cpu, w: &'a Buffer, inputs: usize, outputs: usize) -> Option<&'a Packed> {
    let copy = w.memory().frozen().map(|frozen| &frozen.backward);
    packed(cpu, copy, Operand::columns(w.host(), inputs), inputs, outputs)
}

/// The whole of a packed copy if there is one, else the weight as it lies.
fn right<'a>(copy: Option<&'a Packed>, source: Operand<'a>) -> Right<'a> {
    copy.map_or(Right::Plain(source), |packed| Right::Packed { packed, panel: 0, inner: 0 })
}

/// The copy in its cell, made if there is none yet.
fn packed<'a>(
    cpu: &Cpu,
    copy: Option<&'a OnceLock<Packed>>,
    source: Operand<'_>,
    columns: usize,
    inner: usize,
) -> Option<&'a Packed> {
    let copy = copy?;
    if copy.get().is_none() {
        // Two threads may both pack; one copy stays. Waiting inside `get_or_init` could deadlock, as packing runs on the pool.
        let arithmetic = cpu.arithmetic.for_weight(source.data);
        let _second = copy.set(Packed::new(arithmetic, &cpu.pool, source, columns, 0..inner, Stay::Long));
    }
    copy.get().filter(|packed| packed.fits(cpu.arithmetic, columns, inner))
}

/// What a gradient starts from.
fn initial(fresh: bool) -> Initial<'static> {
    if fresh { Initial::Zero } else { Initial::Result }
}

/// See [`crate::Backend::linears`].
pub(crate) fn forward(cpu: &Cpu, layers: &mut [LinearOutput<'_>], x: &[f32], rows: usize, inputs: usize) {
    let products = layers.iter_mut().map(|LinearOutput { y, w, bias, outputs }| One {
        m: rows,
        n: *outputs,
        a: Operand::rows(x, inputs),
        b: right(forward_copy(cpu, w, inputs, *outputs), Operand::rows(w.host(), inputs)),
        c: y.host_mut(),
        initial: bias.map_or(Initial::Zero, |bias| Initial::Bias(bias.host())),
    });
    multiply_all(cpu.arithmetic, &cpu.pool, inputs, products.collect());
}

/// `dx += dy w`, or `dx = dy w` if fresh.
#[allow(clippy::too_many_arguments, reason = "operands and shape of a kernel")]
pub(crate) fn backward_input(
    cpu: &Cpu,
    dx: &mut [f32],
    fresh: bool,
    dy: &[f32],
    w: &Buffer,
    rows: usize,
    inputs: usize,
    outputs: usize,
) {
    let right = right(backward_copy(cpu, w, inputs, outputs), Operand::columns(w.host(), inputs));
    let size = Size { m: rows, n: inputs, k: outputs };
    multiply(cpu.arithmetic, &cpu.pool, size, Operand::rows(dy, outputs), right, dx, initial(fresh));
}

/// See [`crate::Backend::linear_backward_weights`].
pub(crate) fn backward_weight(cpu: &Cpu, layers: &mut [WeightGradient<'_>], x: &[f32], rows: usize, inputs: usize) {
    let products = layers.iter_mut().map(|WeightGradient { dw, fresh, dy, outputs }| One {
        m: *outputs,
        n: inputs,
        a: Operand::columns(dy.host(), *outputs),
        b: Right::Plain(Operand::columns(x, inputs)),
        c: dw.host_mut(),
        initial: initial(*fresh),
    });
    multiply_all(cpu.arithmetic, &cpu.pool, rows, products.collect());
}
