"""The table: ratios of speed and memory, absolute figures beside them."""

import statistics

HEADER = (
    "| workload | peer | speed groma : peer, median (min - max) | by processor time | groma, median (best) "
    "| peer, median (best) | unit | peak memory, MiB, groma / peer | agreement | rounds | load average |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|"
)


def rows(workload, ours, peers, agreements, loads):
    """One line a peer; the ratio to the fastest of them is bold."""
    fastest = min(peers, key=lambda peer: statistics.median(peer.seconds))
    return [row(workload, ours, peer, agreements[peer], loads, peer is fastest) for peer in peers]


def row(workload, ours, peer, agreement, loads, bold):
    ratios = [theirs / mine for mine, theirs in zip(ours.seconds, peer.seconds)]
    cpu = statistics.median(peer.cpu_seconds) / max(statistics.median(ours.cpu_seconds), 1e-9)
    ratio = f"{statistics.median(ratios):.2f}"
    cells = [
        workload.label,
        peer.name,
        f"{f'**{ratio}**' if bold else ratio} ({min(ratios):.2f} - {max(ratios):.2f})",
        f"{cpu:.2f}",
        figures(workload, ours),
        figures(workload, peer),
        workload.unit,
        f"{ours.peak_mib():.0f} / {peer.peak_mib():.0f} = {ours.peak_mib() / peer.peak_mib():.2f}",
        agreement,
        str(len(ratios)),
        f"{min(loads):.1f} - {max(loads):.1f}",
    ]
    return f"| {' | '.join(cells)} |"


def figures(workload, engine):
    """Median and best: rates, or seconds where that is the unit."""
    median, best = statistics.median(engine.seconds), min(engine.seconds)
    if workload.unit != "s":
        median, best = workload.amount / median, workload.amount / best
    return f"{number(median)} ({number(best)})"


def number(x):
    return f"{x:.0f}" if x >= 100 else f"{x:.3g}"
