#!/usr/bin/env python3
"""A second implementation of the formats in cache/{segment,extent,kvtype,sketch,spanidx}.h, from their
drawings alone.  Writes segment-1.kv, segment-1.sk and segment-1.si, version 1, beside this file; the
test reads them, and makes them again byte for byte.  Needs numpy and xxhash."""
import hashlib, os, struct
import numpy as np
import xxhash

f4, f2 = np.float32, np.float16
HERE = os.path.dirname(os.path.abspath(__file__))
LAYERS, HEADS, DIM, TOKENS = 2, 2, 24, 130
F16, Q8, Q4 = 1, 2, 3
ENGINE, ATTENDS, PROFILE = bytes([7]) + bytes(31), bytes([9]) + bytes(31), bytes([5]) + bytes(31)
TOK = [i * 3 - 7 for i in range(TOKENS)]


def value(which, layer):
    """f32 [TOKENS][HEADS][DIM]; which: 0 K, 1 V."""
    t, h, c = np.ogrid[:TOKENS, :HEADS, :DIM]
    n = (t * 31 + h * 13 + c * c * 17 + layer * 7 + which * 3 + t * c) % 97
    return ((n - 48) / 8 + (c == 5) * 40).astype(f4)


def xxh(b):
    """Two u64, low first."""
    d = xxhash.xxh3_128_intdigest(bytes(b))
    return struct.pack("<QQ", d & (2**64 - 1), d >> 64)


def pad(b, to):
    return b + bytes(-len(b) % to)


def f16_up(x):
    x = np.asarray(x, f4)
    h = x.astype(f2)
    return np.where(h.astype(f4) < x, np.nextafter(h, f2(np.inf)), h).astype(f2)


def f16_down(x):
    return -f16_up(-np.asarray(x, f4))


def q8_rows(x):
    """[n][d] to codes and steps."""
    step = f16_up(np.abs(x).max(1) / f4(127))
    s = step.astype(f4)[:, None]
    code = np.clip(np.rint(x / np.where(s > 0, s, 1)), -127, 127) * (s > 0)
    return code.astype(np.int8), step


def grid(lo, hi):
    lo = f16_down(lo)
    step = f16_up((hi - lo.astype(f4)) / f4(15))
    return lo, step


def q4_codes(x, lo, step):
    s = step.astype(f4)
    return np.clip(np.rint((x - lo.astype(f4)) / np.where(s > 0, s, 1)), 0, 15).astype(np.uint8)


def nibbles(code):
    half = code.shape[1] // 2
    return (code[:, :half] | code[:, half:] << 4).tobytes()


def block(kind, k, v):
    """One head's block: k, v [n][DIM]."""
    if kind == F16:
        b = k.astype(f2).tobytes() + v.astype(f2).tobytes()
    elif kind == Q8:
        (kc, ks), (vc, vs) = q8_rows(k), q8_rows(v)
        b = kc.tobytes() + vc.tobytes() + ks.tobytes() + vs.tobytes()
    else:
        g = 64 if DIM % 64 == 0 else 32 if DIM % 32 == 0 else DIM
        klo, kst = grid(k.min(0), k.max(0))
        vg = v.reshape(len(v), DIM // g, g)
        vlo, vst = grid(vg.min(2), vg.max(2))
        vc = q4_codes(vg, vlo[:, :, None], vst[:, :, None]).reshape(len(v), DIM)
        b = (nibbles(q4_codes(k, klo, kst)) + nibbles(vc) + kst.tobytes() + klo.tobytes()
             + vst.tobytes() + vlo.tobytes())
    return pad(b, 64)


def pages():
    return [(p, TOK[p * 64:p * 64 + 64]) for p in range((TOKENS + 63) // 64)]


def identities():
    out, prev = [], bytes(32)
    for _, t in pages():
        prev = hashlib.blake2b(b"folio page 1\n" + ENGINE + bytes([2]) + ATTENDS + prev
                               + struct.pack("<I", len(t)) + struct.pack("<%di" % len(t), *t),
                               digest_size=32).digest()
        out.append(prev)
    return out


IDS = identities()
SPAN = IDS[-1]
GEOM = struct.pack("<4I", LAYERS, HEADS, DIM, 64)


def extent(want):
    data = b""
    for layer in range(LAYERS):
        k, v = value(0, layer), value(1, layer)
        for p, t in pages():
            n = len(t)
            kind = Q8 if want == Q4 and (p == 0 or n < 64) else want
            rows = slice(p * 64, p * 64 + n)
            body = b"".join(block(kind, k[rows, h], v[rows, h]) for h in range(HEADS))
            rest = b"STRP" + struct.pack("<IIHBB", layer, p, n, kind, 0) + SPAN + body
            data += xxh(rest) + rest
    tables = b"".join(IDS) + struct.pack("<%di" % TOKENS, *TOK)
    data_off = len(pad(bytes(256) + tables, 64))
    head = (struct.pack("<II", 1, data_off) + GEOM
            + struct.pack("<IIBB6xQ", TOKENS, len(IDS), want, 2, len(data) // LAYERS)
            + ENGINE + ATTENDS + SPAN)
    rest = pad(head, 224) + tables
    rest = rest + bytes(data_off - 32 - len(rest))
    return b"FOLIOEXT" + struct.pack("<Q", data_off + len(data)) + xxh(rest) + rest + data


def splitmix_bit(c):
    m = 2**64 - 1
    z = (c + 1) * 0x9e3779b97f4a7c15 & m
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9 & m
    z = (z ^ z >> 27) * 0x94d049bb133111eb & m
    return (z ^ z >> 31) & 1


def rotate(x):
    d = len(x)
    b = d & -d
    x = x * np.array([-1 if splitmix_bit(c) else 1 for c in range(d)], f4)
    for at in range(0, d, b):
        h = 1
        while h < b:
            for i in range(at, at + b, 2 * h):
                lo, hi = x[i:i + h].copy(), x[i + h:i + 2 * h].copy()
                x[i:i + h], x[i + h:i + 2 * h] = lo + hi, lo - hi
            h *= 2
    return x * f4(1 / np.sqrt(np.float64(b)))


def lanes(x):
    a = np.zeros(8, f4)
    for i in range(0, len(x), 8):
        a = a + x[i:i + 8]
    return ((a[0] + a[4]) + (a[2] + a[6])) + ((a[1] + a[5]) + (a[3] + a[7]))


def sketch():
    n_block = (TOKENS + 31) // 32
    data, sums = b"", b""
    for layer in range(LAYERS):
        k, part = value(0, layer), b""
        for h in range(HEADS):
            means, factor = b"", np.zeros(n_block * 32, f2)
            sign = np.zeros((n_block, DIM // 8, 32), np.uint8)
            for p, t in pages():
                total = np.zeros(DIM, f4)
                for i in range(len(t)):
                    total = total + k[p * 64 + i, h]
                mean = (total / f4(len(t))).astype(f2)
                means += mean.tobytes()
                for i in range(len(t)):
                    at = p * 64 + i
                    r = rotate(k[at, h] - mean.astype(f4))
                    l1, l2 = lanes(np.abs(r)), lanes(r * r)
                    factor[at] = l2 / l1 if l1 > 0 else 0
                    sign[at // 32, :, at % 32] = np.packbits(r >= 0, bitorder="little")
            part += pad(means + factor.tobytes() + sign.tobytes(), 64)
        data += part
        sums += xxh(part)
    head_bytes = len(pad(bytes(128) + sums, 64))
    rest = (struct.pack("<IIQI12x", 1, TOKENS, len(data) // LAYERS, head_bytes) + SPAN + GEOM
            + bytes(16) + sums)
    rest = rest + bytes(head_bytes - 32 - len(rest))
    return b"FOLIOSKT" + struct.pack("<Q", head_bytes + len(data)) + xxh(rest) + rest + data


def spanidx(pairs):
    data = b""
    for layer, head in pairs:
        code, step = q8_rows(value(0, layer)[:, head])
        data += pad(code.tobytes() + step.tobytes(), 64)
    rest = (struct.pack("<IIIIQ8x", 1, TOKENS, len(pairs), DIM, len(data) // len(pairs)) + SPAN
            + PROFILE + bytes(64) + data)
    return b"FOLIOSIX" + struct.pack("<Q", 192 + len(data)) + xxh(rest) + rest


def segment(kind, batches):
    """batches: lists of records."""
    capacity = 1 << 20
    head = b"FOLIOSEG" + struct.pack("<Q", capacity) + bytes(16) + struct.pack("<II", 1, kind)
    head = pad(head, 4096)
    out = head[:16] + xxh(head) + head[32:]
    for records in batches:
        out = pad(out, 4096) + b"".join(records)
    return pad(out, 4096)


for name, kind, batches in (("kv", 1, [[extent(Q4), extent(F16)], [extent(Q8)]]),
                            ("sk", 2, [[sketch()]]), ("si", 3, [[spanidx([(0, 1), (1, 0)])]])):
    with open(os.path.join(HERE, "segment-1." + name), "wb") as f:
        f.write(segment(kind, batches))
