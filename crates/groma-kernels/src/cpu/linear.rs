//! The three products of a linear layer.
use super::Cpu;
use super::matmul::{Initial, One, Right, Size, multiply, multiply_all};
use super::operand::Operand;
use super::packed::Packed;
use crate::{Buffer, LinearOutput, WeightGradient};

/// The packed copy of a weight `[outputs, inputs]` for `x wᵀ`; `None` where the weight lies plain.
pub(crate) fn forward_copy<'a>(cpu: &Cpu, w: &'a Buffer, inputs: usize, outputs: usize) -> Option<&'a Packed> {
    w.memory().weight()?.forward(cpu, inputs, outputs)
}

/// The same for `dy w`, made if there is none yet.
pub(crate) fn backward_copy<'a>(cpu: &Cpu, w: &'a Buffer, inputs: usize, outputs: usize) -> Option<&'a Packed> {
    w.memory().weight()?.backward(cpu, inputs, outputs)
}

/// The whole of a packed copy if there is one, else the weight as it lies.
fn right<'a>(copy: Option<&'a Packed>, source: impl FnOnce() -> Operand<'a>) -> Right<'a> {
    copy.map_or_else(|| Right::Plain(source()), |packed| Right::Packed { packed, panel: 0, inner: 0 })
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
        b: right(forward_copy(cpu, w, inputs, *outputs), || Operand::rows(w.host(), inputs)),
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
    let right = right(backward_copy(cpu, w, inputs, outputs), || Operand::columns(w.host(), inputs));
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
