#!/usr/bin/env python3
"""Seeds of record_fuzz: the records of tests/vectors/segment-1.*, whole, cut, and with wild fields."""
import os, struct

here = os.path.dirname(os.path.abspath(__file__))
out = os.path.join(here, "seeds", "record")
os.makedirs(out, exist_ok=True)


def records(name):
    b = open(os.path.join(here, "..", "vectors", name), "rb").read()
    at = 4096
    while at < len(b):
        if b[at:at + 5] == b"FOLIO":
            n = struct.unpack("<Q", b[at + 8:at + 16])[0]
            yield b[at:at + n]
            at += n
        else:
            at += 64


def put(name, kind, b):
    with open(os.path.join(out, name), "wb") as f:
        f.write(bytes([kind]) + b)


q8 = list(records("segment-1.kv"))[2]
q4 = list(records("segment-1.kv"))[0]
sk, si = next(records("segment-1.sk")), next(records("segment-1.si"))
put("extent_q4", 0, q4)
put("extent_as_is", 1, q8)
put("extent_cut", 0, q8[:2000])
put("extent_head", 0, q8[:256])
put("extent_wild_count", 0, q8[:56] + struct.pack("<I", 1 << 24) + q8[60:1024])
put("extent_wild_heads", 0, q8[:44] + struct.pack("<I", 0xffffffff) + q8[48:1024])
put("extent_wild_tables", 0, q8[:36] + struct.pack("<I", 0xffffffc0) + q8[40:1024])
put("extent_type", 0, q8[:64] + bytes([9]) + q8[65:1024])
put("sketch", 2, sk)
put("sketch_cut", 2, sk[:300])
put("sketch_wild_head", 2, sk[:48] + struct.pack("<I", 0xffffffff) + sk[52:])
put("sketch_wild_count", 2, sk[:36] + struct.pack("<I", 1 << 24) + sk[40:])
put("spanidx", 3, si)
put("spanidx_wild", 3, si[:40] + struct.pack("<II", 0xffffffff, 0xfffffff8) + si[48:])
