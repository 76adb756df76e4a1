#!/usr/bin/env python3
"""Makes crates/groma-align/fixtures/losses.json: values of preference losses from their published formulas, in 50 digits.

    python scripts/make_loss_fixtures.py > crates/groma-align/fixtures/losses.json

Written from the papers that each loss file names, without the program's code; completions of one token each, so that sums and
means are the same. Needs nothing but Python.
"""

import json
from decimal import Decimal, getcontext

getcontext().prec = 50
ONE, TWO = Decimal(1), Decimal(2)


def sigmoid(x):
    return ONE / (ONE + (-x).exp())


def ls(x):
    return sigmoid(x).ln()


# a, r: policy minus reference of chosen and rejected; h = a - r; b: beta; e: label smoothing.
FORMULAS = {
    "sigmoid": lambda a, r, h, b, e: -(ONE - e) * ls(b * h) - e * ls(-b * h),
    "hinge": lambda a, r, h, b, e: max(Decimal(0), ONE - b * h),
    "ipo": lambda a, r, h, b, e: (h - ONE / (TWO * b)) ** 2,
    "robust": lambda a, r, h, b, e: (-(ONE - e) * ls(b * h) + e * ls(-b * h)) / (ONE - TWO * e),
    "sppo_hard": lambda a, r, h, b, e: (a - ONE / (TWO * b)) ** 2 + (r + ONE / (TWO * b)) ** 2,
    "nca_pair": lambda a, r, h, b, e: -ls(b * a) - ls(-b * a) / TWO - ls(-b * r) / TWO,
    "bco_pair": lambda a, r, h, b, e: -ls(b * a) - ls(-b * r),
    "apo_zero": lambda a, r, h, b, e: ONE - sigmoid(b * a) + sigmoid(b * r),
    "apo_down": lambda a, r, h, b, e: sigmoid(b * a) + ONE - sigmoid(b * h),
    "exo_pair": lambda a, r, h, b, e: sigmoid(b * h) * (ls(b * h) - (ONE - e).ln()) + sigmoid(-b * h) * (ls(-b * h) - e.ln()),
    "discopop": lambda a, r, h, b, e: (
        (ONE - sigmoid(b * h / Decimal("0.05"))) * -ls(b * h) + sigmoid(b * h / Decimal("0.05")) * (-b * h).exp()
    ),
}
SMOOTHED = {"sigmoid": ("0.0", "0.1"), "robust": ("0.0", "0.1", "0.3"), "exo_pair": ("0.001", "0.1")}
PAIRS = [  # log-probabilities: policy's chosen and rejected, the reference's
    ("-10", "-12", "-11", "-11.5"), ("-11", "-11.5", "-11", "-11.5"), ("-40.25", "-3.5", "-20.125", "-9.75"), ("-2", "-30", "-9", "-8"),
]


def main():
    cases = []
    for kind, formula in FORMULAS.items():
        for smoothing in SMOOTHED.get(kind, (None,)):
            for beta in ("0.1", "0.4"):
                for pair in PAIRS:
                    c, r, rc, rr = map(Decimal, pair)
                    value = formula(c - rc, r - rr, c - rc - r + rr, Decimal(beta), Decimal(smoothing or 0))
                    cases.append({"kind": kind, "pair": [float(x) for x in pair], "beta": float(beta),
                                  "label_smoothing": smoothing and float(smoothing), "value": float(value)})
    print(json.dumps({"made_by": "scripts/make_loss_fixtures.py", "cases": cases}, indent=0))


if __name__ == "__main__":
    main()
