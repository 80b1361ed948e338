#!/usr/bin/env python3
"""Remakes tests/fuzz/seeds/catalog/: inputs of catalog_fuzz.c, see there."""
import os, random, struct, subprocess, tempfile

out = os.path.join(os.path.dirname(os.path.abspath(__file__)), "seeds", "catalog")
os.makedirs(out, exist_ok=True)


def put(name, data):
    with open(os.path.join(out, name), "wb") as f:
        f.write(data)


random.seed(7)
for i in range(12):
    page = i * 4
    patch = b"".join(
        struct.pack("<I", page * 8192 + random.randrange(8176))[:3] + bytes([random.randrange(256)])
        for _ in range(1 + i % 4)
    )
    put("patch%02d" % i, bytes([i % 2]) + patch)
put("header", bytes([0]) + b"".join(struct.pack("<I", at)[:3] + b"\x7f" for at in (18, 20, 28, 32, 52, 60)))
put("map-good", bytes([2]) + struct.pack("<H", 2) + bytes([9, 9]) + bytes([0, 10, 1, 1, 1]) + b"a" + bytes([0]))
put("map-long-line", bytes([2]) + struct.pack("<H", 10) + b"\xff" * 9 + b"\x01")
put("map-names-past-end", bytes([2]) + struct.pack("<H", 2) + bytes([9, 9, 0, 0, 1, 1, 200, 65]))
for version in (2, 4):
    with tempfile.TemporaryDirectory() as d:
        run = lambda *a: subprocess.run(["git", "-C", d, *a], check=True, capture_output=True)
        run("init", "-q")
        for name in ("a/.folders", "a/.folio/format", "b"):
            os.makedirs(os.path.dirname(os.path.join(d, name)), exist_ok=True)
            open(os.path.join(d, name), "w").close()
        run("add", "-f", ".")
        run("update-index", "--index-version", str(version))
        put("index-v%d" % version, bytes([3]) + open(os.path.join(d, ".git/index"), "rb").read())
