"""Curves on logarithmic axes, as an SVG file."""

import math
from html import escape

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 330, 260, 56, 34, 30, 14
STYLES = {
    "groma": 'stroke="#0b6e4f" stroke-width="2"',
    "PyTorch": 'stroke="#c1440e" stroke-width="2"',
    "ideal": 'stroke="#666" stroke-width="1.5" stroke-dasharray="5 4"',
}


def chart(panels, columns, unit):
    """`panels` are (title, [(name, [(x, y), ...]), ...]), laid out in rows of `columns`."""
    rows = math.ceil(len(panels) / columns)
    parts = [panel(*each, i % columns * WIDTH, i // columns * HEIGHT, unit) for i, each in enumerate(panels)]
    size = f'width="{columns * WIDTH}" height="{rows * HEIGHT}" viewBox="0 0 {columns * WIDTH} {rows * HEIGHT}"'
    style = 'font-family="sans-serif" font-size="11" fill="none"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>\n{"".join(parts)}</svg>\n'


def panel(title, lines, x0, y0, unit):
    xs = [x for _, points in lines for x, _ in points]
    ys = [y for _, points in lines for _, y in points]
    x_of = scale(min(xs), max(xs), x0 + LEFT, x0 + WIDTH - RIGHT)
    low, high = 10 ** math.floor(math.log10(min(ys))), 10 ** math.ceil(math.log10(max(ys)))
    y_of = scale(low, high, y0 + HEIGHT - BOTTOM, y0 + TOP)
    frame = f'x="{x0 + LEFT}" y="{y0 + TOP}" width="{WIDTH - LEFT - RIGHT}" height="{HEIGHT - TOP - BOTTOM}"'
    parts = [f'<rect {frame} stroke="#bbb"/>\n', text(x0 + LEFT, y0 + TOP - 10, f"{title} ({unit})")]
    for x, _ in lines[0][1]:
        parts.append(text(x_of(x), y0 + HEIGHT - BOTTOM + 14, f"{x:.0f}", "middle"))
    exponents = range(round(math.log10(low)), round(math.log10(high)) + 1)
    for y in (10.0**exponent for exponent in exponents):
        parts.append(f'<path d="M{x0 + LEFT} {y_of(y):.1f}H{x0 + WIDTH - RIGHT}" stroke="#ddd"/>\n')
        parts.append(text(x0 + LEFT - 5, y_of(y) + 4, f"{y:g}", "end"))
    for i, (name, points) in enumerate(lines):
        path = " ".join(f"{x_of(x):.1f},{y_of(y):.1f}" for x, y in points)
        legend = y0 + TOP + 14 + 14 * i
        parts.append(f'<polyline points="{path}" {STYLES[name]}/>\n')
        parts.append(f'<path d="M{x0 + LEFT + 8} {legend - 4}h22" {STYLES[name]}/>\n' + text(x0 + LEFT + 36, legend, name))
    return "".join(parts)


def text(x, y, words, anchor="start"):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="#222">{escape(words)}</text>\n'


def scale(low, high, start, end):
    """From values to pixels, logarithmic."""
    if low == high:
        return lambda _: (start + end) / 2
    return lambda value: start + (end - start) * math.log(value / low) / math.log(high / low)
