"""Two corpora of source code, the same bytes for everybody, and their text without its documentation.

The archives are upstream's own, as Debian 12 hands them out unchanged (the part of a source package
called .orig.tar.gz, which security updates leave alone).  Nothing of them is kept in this
repository: corpus.tsv lists every file with the SHA-256 of its bytes and of the text made from it.

What a question is made from must not stand in the text that is searched.  Therefore:
  Python  the docstrings of all functions, methods and classes are cut out (`pass` takes the place
          of one that is a whole body); module docstrings and comments stay
  C       the comments that stand directly above a function definition are cut out; all others stay
Lines are removed, not blanked, so the text reads as a person would have left it; all line numbers
in the lists count lines of the text that is left.
"""
import ast
import hashlib
import os
import re
import subprocess
import tarfile
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))

ARCHIVES = {
    "cpython": {
        "package": "python3.11", "file": "python3.11_3.11.2.orig.tar.gz",
        "sha256": "2411c74bda5bbcfcddaf4531f66d1adc73f247f529aee981b029513aefdbf849",
        "root": "Python-3.11.2/", "licence": "PSF-2.0"},
    "redis": {
        "package": "redis", "file": "redis_7.0.15.orig.tar.gz",
        "sha256": "4b1dc4ee6d622a09fff9c6777191209750fb5e5a725ef78ea012d6eef4c22982",
        "root": "redis-7.0.15/", "licence": "BSD-3-Clause"},
}


def sha256(data):
    return hashlib.sha256(data).hexdigest()


# ---------------------------------------------------------------- getting the archives

def fetch(folder):
    """Ask this Debian's own mirror for the source archives, leaving its settings as they are.

    deb-src is switched off on most machines, so apt gets a copy of the sources with it on and
    keeps its lists in a folder that is thrown away."""
    with tempfile.TemporaryDirectory() as tmp:
        lines = []
        for path in ["/etc/apt/sources.list", "/etc/apt/sources.list.d/debian.sources"]:
            if os.path.exists(path):
                text = open(path).read()
                text = re.sub(r"(?m)^Types:.*$", "Types: deb-src", text)
                lines.append((path, re.sub(r"(?m)^deb ", "deb-src ", text)))
        os.makedirs(tmp + "/parts")
        os.makedirs(tmp + "/lists/partial")
        for path, text in lines:
            with open(os.path.join(tmp, "parts", "debian" + os.path.splitext(path)[1]), "w") as f:
                f.write(text)
        apt = ["apt-get", "-q", "-o", "Dir::Etc::sourcelist=/dev/null",
               "-o", "Dir::Etc::sourceparts=" + tmp + "/parts",
               "-o", "Dir::State::lists=" + tmp + "/lists"]
        subprocess.run(apt + ["update"], check=True, stdout=subprocess.DEVNULL)
        for a in ARCHIVES.values():
            subprocess.run(apt + ["source", "--download-only", "--tar-only", a["package"]],
                           check=True, cwd=folder, stdout=subprocess.DEVNULL)


def read_archive(corpus, folder, paths):
    """{path: bytes} of the listed files, after the archive's hash was checked."""
    a = ARCHIVES[corpus]
    name = os.path.join(folder, a["file"])
    with open(name, "rb") as f:
        got = sha256(f.read())
    if got != a["sha256"]:
        raise SystemExit("'%s' has SHA-256 %s, not %s" % (name, got, a["sha256"]))
    out = {}
    with tarfile.open(name) as tar:
        for path in paths:
            out[path] = tar.extractfile(a["root"] + path).read()
    return out


def listed():
    """[(corpus, path, sha256 of the file, sha256 of the text, lines)] from corpus.tsv."""
    rows = []
    for line in open(os.path.join(HERE, "corpus.tsv")):
        if not line.startswith("#"):
            corpus, path, raw, text, n = line.split()
            rows.append((corpus, path, raw, text, int(n)))
    return rows


# ---------------------------------------------------------------- functions and their documentation

class Unit:
    """One function: name, first and last line (from 1) of the text it is in, its documentation."""

    def __init__(self, name, first, last, doc, kind):
        self.name, self.first, self.last, self.doc, self.kind = name, first, last, doc, kind


def _python(text):
    """(lines to drop, {line: replacement}, units with line numbers of the full text)."""
    drop, replace, units = set(), {}, []

    def visit(node, inside):
        for child in ast.iter_child_nodes(node):
            if not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                visit(child, inside)
                continue
            first = min([child.lineno] + [d.lineno for d in child.decorator_list])
            doc, body = None, child.body[0]
            if (isinstance(body, ast.Expr) and isinstance(body.value, ast.Constant)
                    and isinstance(body.value.value, str)):
                alone = len(child.body) == 1
                if body.lineno > child.lineno and (alone or
                                                   child.body[1].lineno > body.end_lineno):
                    doc = ast.get_docstring(child)
                    drop.update(range(body.lineno, body.end_lineno + 1))
                    if alone:
                        drop.discard(body.lineno)
                        replace[body.lineno] = " " * body.col_offset + "pass"
                    elif body.end_lineno < len(lines) and not lines[body.end_lineno].strip():
                        drop.add(body.end_lineno + 1)
            name = inside + child.name
            if not isinstance(child, ast.ClassDef):
                units.append(Unit(name, first, child.end_lineno, doc,
                                  "method" if inside else "function"))
                visit(child, name + ".<locals>.")
            else:
                visit(child, name + ".")

    lines = text.split("\n")
    visit(ast.parse(text), "")
    return drop, replace, units


def _c(text):
    lines = text.split("\n")
    drop, units = set(), []
    at = 0
    while at < len(lines):
        start = lines[at]
        if not re.match(r"[A-Za-z_]", start) or re.match(r"(typedef|extern)\b", start):
            at += 1
            continue
        head, end = start, at
        while end - at < 8 and end + 1 < len(lines) and not re.search(r"[{;]\s*(/\*.*)?$", head):
            end += 1
            head += " " + lines[end].strip()
        m = re.match(r"[^=;{]*?\b(\w+)\s*\(", head)
        if not m or not re.search(r"\)\s*{\s*(/\*.*)?$", head) or m.group(1) in ("defined", "if"):
            at += 1
            continue
        last = end
        while last < len(lines) and lines[last].rstrip() != "}":
            last += 1
        if last == len(lines):
            at += 1
            continue
        doc, top = None, at - 1
        if top >= 0 and lines[top].rstrip().endswith("*/"):
            while top >= 0 and not lines[top].lstrip().startswith("/*"):
                top -= 1
            body = "\n".join(lines[top:at])
            if top >= 0 and lines[top].startswith("/*") and body.count("/*") == 1:
                doc = body
                drop.update(range(top + 1, at + 1))
        units.append(Unit(m.group(1), at + 1, last + 1, doc, "function"))
        at = last + 1
    return drop, {}, units


def _clean_comment(doc):
    doc = re.sub(r"^/\*+|\*+/$", "", doc.strip())
    return "\n".join(re.sub(r"^\s*\*? ?", "", x).rstrip() for x in doc.split("\n")).strip()


def strip(path, data):
    """(text without documentation, [Unit] with line numbers of that text)."""
    text = data.decode("utf-8").replace("\r\n", "\n").replace("\f", "")
    drop, replace, units = (_python if path.endswith(".py") else _c)(text)
    lines, number, out = text.split("\n"), [0], []
    for i, line in enumerate(lines, 1):
        if i not in drop:
            out.append(replace.get(i, line))
        number.append(len(out))
    for u in units:
        u.first, u.last = number[u.first - 1] + 1, number[u.last]
        if u.doc and path.endswith(".c"):
            u.doc = _clean_comment(u.doc)
    text = "\n".join(out)
    return text, units
