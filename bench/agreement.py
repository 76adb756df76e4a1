"""Whether two engines computed the same. Each function takes their results, one a repetition, and returns in words how
well they agree, or raises `Disagreement`."""


class Disagreement(Exception):
    pass


def numbers(tolerance):
    """Numbers, or lists of numbers, within a relative tolerance."""

    def compare(ours, theirs):
        pairs = list(zip(flat(ours), flat(theirs), strict=True))
        worst = max(abs(a - b) / max(abs(a), abs(b)) for a, b in pairs)
        if not worst <= tolerance:
            raise Disagreement(f"they differ by {worst:.1e}: {ours} and {theirs}")
        return f"{len(pairs)} numbers within {worst:.0e}"

    return compare


def tokens(ours, theirs):
    """The same tokens in every sequence."""
    pairs = list(zip(ours[0], theirs[0], strict=True))
    different = [i for i, (a, b) in enumerate(pairs) if a != b]
    if different:
        a, b = pairs[different[0]]
        place = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
        raise Disagreement(f"{len(different)} of {len(pairs)} sequences differ, the first one at token {place}")
    return f"the same {sum(len(sequence) for sequence in ours[0])} tokens"


def predictions(ours, theirs):
    """The same choice for every item of every subject."""
    ours, theirs = ours[0], theirs[0]
    if sorted(ours) != sorted(theirs):
        raise Disagreement(f"subjects differ: {sorted(ours)} and {sorted(theirs)}")
    pairs = [pair for subject in sorted(ours) for pair in zip(ours[subject], theirs[subject], strict=True)]
    different = sum(a != b for a, b in pairs)
    if different:
        raise Disagreement(f"{different} of {len(pairs)} predictions differ")
    return f"the same {len(pairs)} predictions"


def flat(value):
    return [x for item in value for x in flat(item)] if isinstance(value, list) else [value]
