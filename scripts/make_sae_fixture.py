#!/usr/bin/env python3
"""A small TopK dictionary with what SAELens makes of some rows.

Usage: make_sae_fixture.py      (needs torch and sae_lens 6)

Writes crates/groma-interp/fixtures/saelens_topk.json: k, weights in groma's layout (`encoder` [latents, width], `decoder` [width,
latents]), rows, and SAELens' feature activations and reconstructions of them, in f32.
"""

import json
import pathlib

import torch
from sae_lens import TopKSAE, TopKSAEConfig

OUT = pathlib.Path(__file__).resolve().parent.parent / "crates" / "groma-interp" / "fixtures" / "saelens_topk.json"
WIDTH, LATENTS, K, ROWS = 12, 30, 4, 9


def flat(tensor):
    return tensor.detach().contiguous().reshape(-1).tolist()


def main():
    torch.manual_seed(11)
    sae = TopKSAE(TopKSAEConfig(d_in=WIDTH, d_sae=LATENTS, k=K, dtype="float32", device="cpu", apply_b_dec_to_input=True))
    with torch.no_grad():
        sae.W_enc.copy_(torch.randn(WIDTH, LATENTS) * 0.5)
        sae.W_dec.copy_(torch.randn(LATENTS, WIDTH) * 0.5)
        sae.b_enc.copy_(torch.randn(LATENTS) * 0.2 - 0.4)
        sae.b_dec.copy_(torch.randn(WIDTH) * 0.2)
        rows = torch.randn(ROWS, WIDTH)
        # Nothing is above zero for the last row, so that fewer than k latents are active.
        rows[-1] = sae.b_dec
        features = sae.encode(rows)
        if features.is_sparse:
            features = features.to_dense()
        reconstruction = sae.decode(features)
    fixture = {
        "k": K,
        "encoder": flat(sae.W_enc.T),
        "encoder_bias": flat(sae.b_enc),
        "decoder": flat(sae.W_dec.T),
        "decoder_bias": flat(sae.b_dec),
        "rows": flat(rows),
        "latents": flat(features),
        "reconstruction": flat(reconstruction),
    }
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(fixture) + "\n")
    print((features > 0).sum(-1).tolist())


if __name__ == "__main__":
    main()
