#!/usr/bin/env python3
"""The page identity of cache/ident.h, computed with hashlib: prints the span of tests/kvtype_test.c."""
import hashlib, struct

engine, pre, zero = bytes([1]) + bytes(31), bytes([2]) + bytes(31), bytes(32)
tok = [i * 7 - 3 for i in range(130)]
prev = zero
for i in range(0, len(tok), 64):
    t = tok[i:i + 64]
    prev = hashlib.blake2b(b"folio page 1\n" + engine + bytes([2]) + pre + prev + struct.pack("<I", len(t))
                           + struct.pack("<%di" % len(t), *t), digest_size=32).digest()
print(prev.hex())
