#!/usr/bin/env python3
"""Make seeds/gguf/: small model files, good and bad, for gguf_fuzz to start from."""
import pathlib
import struct

U8, I8, U16, I16, U32, I32, F32, BOOL, STR, ARR, U64, I64, F64 = range(13)
CODE = {U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "B", U64: "Q",
        I64: "q", F64: "d"}
BLOCK = {0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34),
         10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210),
         20: (32, 18), 23: (256, 136), 30: (1, 2)}


def string(s):
    b = s.encode()
    return struct.pack("<Q", len(b)) + b


def value(t, v):
    return string(v) if t == STR else struct.pack("<" + CODE[t], v)


def key(name, t, v, elem=None):
    out = string(name) + struct.pack("<I", t)
    if t != ARR:
        return out + value(t, v)
    return out + struct.pack("<IQ", elem, len(v)) + b"".join(value(elem, x) for x in v)


def model(keys, tensors, version=3, align=32):
    """tensors: (name, shape with ne0 first, type)."""
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(keys)) + b"".join(keys)
    data = b""
    for i, (name, ne, t) in enumerate(tensors):
        data += bytes(-len(data) % align)
        head += string(name) + struct.pack("<I", len(ne)) + struct.pack("<%dQ" % len(ne), *ne)
        head += struct.pack("<IQ", t, len(data))
        n = 1
        for x in ne:
            n *= x
        elems, size = BLOCK[t]
        data += bytes((17 * i + j) % 251 for j in range(n // elems * size))
    return head + bytes(-len(head) % align) + data


def main():
    every = [key("t%d" % t, t, 1) for t in CODE] + [key("s", STR, "text")]
    arrays = [key("a%d" % t, ARR, [0, 1, 1], t) for t in CODE]
    arrays += [key("strings", ARR, ["a", "", "\u0120bc"], STR), key("none", ARR, [], U32)]
    llama = [key("general.architecture", STR, "llama"), key("llama.block_count", U32, 1),
             key("llama.attention.layer_norm_rms_epsilon", F32, 1e-5),
             key("tokenizer.ggml.tokens", ARR, ["a", "b", "ab"], STR),
             key("tokenizer.ggml.merges", ARR, ["a b"], STR)]
    split = [key("split.no", U16, 0), key("split.count", U16, 2),
             key("split.tensors.count", I32, 2)]
    two = [("token_embd.weight", (32, 3), 8), ("blk.0.attn_norm.weight", (32,), 0)]
    good = model(llama, two)
    seeds = {
        "every_key": model(every, []),
        "arrays": model(arrays, [("t", (2, 3, 1, 2), 0)]),
        "llama": good,
        "version_2": model(llama, two, version=2),
        "every_type": model([], [("t%d" % t, (BLOCK[t][0],), t) for t in BLOCK]),
        "align_64": model([key("general.alignment", U32, 64)], two, align=64),
        "split": model(split, two),
        "empty": model([], []),
        "cut": good[:-1],
        "twice": model(llama + llama[:1], two),
        "overlap": model([], [("a", (9,), 0), ("b", (9,), 0)]).replace(
            struct.pack("<IQ", 0, 64), struct.pack("<IQ", 0, 32)),
        "wild_count": good[:8] + b"\xff" * 8 + good[16:],
        "big_endian": good[:4] + b"\0\0\0\3" + good[8:],
        "no_file": b"",
    }
    folder = pathlib.Path(__file__).with_name("seeds") / "gguf"
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in seeds.items():
        (folder / name).write_bytes(data)


main()
