#!/usr/bin/env python3
"""Make quant.bin: random blocks of every tensor type, and what the gguf package makes of them.

Needs numpy and gguf (0.19.0 was used).  A record of the file, little-endian:

    u32 type | u32 n_elem | u32 n_byte | bytes of the blocks | f32 values [n_elem]

The blocks are random bytes, but for the half-precision factors: those are finite and of every size,
zero and subnormal ones too, because what an infinity times zero looks like in bits is up to the
processor.
"""
import pathlib

import gguf
import numpy as np
from gguf.quants import dequantize

# Where the halves of a block lie, by type; blocks for a record.
HALVES = {
    "Q4_0": ([0], 24), "Q4_1": ([0, 2], 24), "Q5_0": ([0], 24), "Q5_1": ([0, 2], 24),
    "Q8_0": ([0], 24), "Q2_K": ([80, 82], 5), "Q3_K": ([108], 5), "Q4_K": ([0, 2], 5),
    "Q5_K": ([0, 2], 5), "Q6_K": ([208], 5), "IQ4_NL": ([0], 24), "IQ4_XS": ([0], 5),
}


def finite(raw):
    """Halves with an exponent that is not all ones."""
    h = raw.copy()
    h[(h >> 10 & 31) == 31] ^= 0x4000
    return h


def main():
    rng = np.random.default_rng(20240611)
    out = bytearray()
    types = gguf.GGMLQuantizationType
    for name in ["F32", "F16", "BF16", *HALVES]:
        elems, size = gguf.GGML_QUANT_SIZES[types[name]]
        at, n = HALVES.get(name, ([], 300))
        raw = rng.integers(0, 256, (n, size), dtype=np.uint8)
        if name == "F16":
            raw = finite(raw.view(np.uint16)).view(np.uint8)
        elif elems == 1:
            raw[:, -1] &= 0xBF      # no exponent of all ones
        for a in at:
            raw[:, a:a + 2] = finite(np.ascontiguousarray(raw[:, a:a + 2]).view(np.uint16)).view(np.uint8)
        values = dequantize(raw.reshape(1, -1) if elems > 1 or name == "BF16"
                            else raw.reshape(-1).view(np.float16 if name == "F16" else np.float32),
                            types[name]).astype(np.float32).reshape(-1)
        assert values.size == n * elems and np.isfinite(values).all(), name
        out += np.array([int(types[name]), values.size, raw.size], dtype="<u4").tobytes()
        out += raw.tobytes() + values.astype("<f4").tobytes()
    path = pathlib.Path(__file__).with_name("quant.bin")
    path.write_bytes(out)
    print(path, len(out))


main()
