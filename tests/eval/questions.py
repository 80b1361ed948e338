"""Questions made by machine from documentation and code, the same for everybody.

Kinds, all with a gold span `path:first-last` and an answer that stands in it:
  doc      the first sentence of a docstring or of the comment above a C function.  The text that
           is searched no longer has it (corpus.py).  Gold: the function.  Answer: its name
  default  the default of a parameter (Python).  Gold: the signature
  raise    the exception that carries a message (Python).  Gold: the statement
  define   the value of a macro (C).  Gold: the line
  message  the function that sends or logs a message (C).  Gold: the statement, at most 40 lines
           below the function's head; `context` reaches from the head to it

A candidate must be unambiguous: its sentence, parameter, message or macro is unique in its corpus,
the sentence does not hold the function's own name, and no six words of it in a row are left
anywhere in the corpus.  Of the candidates, those with the smallest hashes are taken, a few per
file, so that nobody's taste comes in; skip.txt names the ones that a reader found to be no
question at all (half sentences, wrong grammar of a comment), with the reason.
"""
import ast
import hashlib
import os
import re

import corpus
import words

HERE = os.path.dirname(os.path.abspath(__file__))
TAKE = {("cpython", "doc"): 70, ("redis", "doc"): 70, ("cpython", "default"): 14,
        ("cpython", "raise"): 18, ("redis", "define"): 14, ("redis", "message"): 22}
PER_FILE = {"doc": 4, "default": 2, "raise": 2, "define": 2, "message": 2}


def digest(*parts):
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def half(question_id):
    """Tuning or held-out, by hash alone."""
    return "held-out" if int(digest("half", question_id)[:8], 16) & 1 else "tuning"


def skipped():
    out = set()
    for line in open(os.path.join(HERE, "skip.txt")):
        if line.strip() and not line.startswith("#"):
            out.add(line.split()[0])
    return out


class File:
    def __init__(self, name, path, text, units):
        self.corpus, self.path, self.text, self.units = name, path, text, units
        self.lines = text.split("\n")


def read(folder):
    """Every file of corpus.tsv as a File, both hashes checked."""
    rows, out = corpus.listed(), []
    for name in corpus.ARCHIVES:
        mine = [r for r in rows if r[0] == name]
        data = corpus.read_archive(name, folder, [r[1] for r in mine])
        for _, path, raw, want, _ in mine:
            text, units = corpus.strip(path, data[path])
            if corpus.sha256(data[path]) != raw or corpus.sha256(text.encode()) != want:
                raise SystemExit("'%s' is not the file that corpus.tsv lists" % path)
            out.append(File(name, path, text, units))
    return out


# ---------------------------------------------------------------- doc

def first_sentence(doc):
    para = re.split(r"\n\s*\n", doc.strip())[0]
    para = re.sub(r"\s+", " ", para).strip()
    m = re.match(r"(.*?[^.A-Z])\.(\s+[A-Z\"'(].*)?$", para)
    return (m.group(1) if m else para).rstrip(". :")


def doc_candidates(files):
    def norm(text):
        return re.findall(r"[a-z0-9_]+", text.lower())

    seen, runs = {}, set()
    for f in files:
        for u in f.units:
            if u.doc:
                s = " ".join(norm(first_sentence(u.doc)))
                seen[s] = seen.get(s, 0) + 1
        w = norm(f.text)
        runs.update(tuple(w[i:i + 6]) for i in range(len(w) - 5))
    for f in files:
        for u in f.units:
            short = u.name.split(".")[-1]
            if not u.doc or not 5 <= u.last - u.first + 1 <= 70 or short.startswith("__"):
                continue
            s = first_sentence(u.doc)
            w = norm(s)
            if (not 7 <= len(w) <= 34 or len(words.content(s)) < 5 or seen[" ".join(w)] > 1
                    or not re.match(r"[A-Z][a-z]+ ", s) or not s.isascii()
                    or re.search(r"[|\\<>{}=]|::|\(\)|-{3}", s) or s.count("(") != s.count(")")
                    or s.count('"') % 2 or s.lower().startswith(("see ", "like ", "same "))
                    or re.search(r"\b(wrapper|deprecated|helper|command)\b", s, re.I)):
                continue
            if short.lower() in w or words.content(short) <= words.content(s) and \
                    len(words.content(short)) > 1:
                continue
            if any(tuple(w[i:i + 6]) in runs for i in range(len(w) - 5)):
                continue
            yield (f, u.name, "Where is the %s that does this? %s." % (u.kind, s),
                   (u.first, u.last), short)


# ---------------------------------------------------------------- facts of Python

def default_candidates(files):
    for f in files:
        for node, name in functions(f.text):
            short = name.split(".")[-1]
            if short == "test" or short[0] == "_" and short != "__init__":
                continue
            a = node.args
            pairs = list(zip((a.posonlyargs + a.args)[::-1], a.defaults[::-1]))
            pairs += [(k, d) for k, d in zip(a.kwonlyargs, a.kw_defaults) if d is not None]
            for arg, d in pairs:
                if not isinstance(d, ast.Constant) or isinstance(d.value, (bool, type(None))):
                    continue
                answer = str(d.value)
                if len(answer) < 2 or not answer.isascii() or "\n" in answer or " " in answer:
                    continue
                if not re.search(r"\w\w", answer) or answer in ("utf-8", "localhost"):
                    continue        # any reader would guess these
                yield (f, name + "/" + arg.arg,
                       "What is the default of the parameter %s of %s?" % (arg.arg, name),
                       (node.lineno, max(node.lineno, node.body[0].lineno - 1)), answer)


def raise_candidates(files):
    for f in files:
        for node, name in functions(f.text):
            for r in ast.walk(node):
                if not (isinstance(r, ast.Raise) and isinstance(r.exc, ast.Call) and r.exc.args
                        and isinstance(r.exc.func, (ast.Name, ast.Attribute))):
                    continue
                m = r.exc.args[0]
                if isinstance(m, ast.BinOp):
                    m = m.left
                if not (isinstance(m, ast.Constant) and isinstance(m.value, str)):
                    continue
                text = m.value
                if len(text.split()) < 4 or "\n" in text or not text.isascii() or '"' in text:
                    continue
                answer = r.exc.func.id if isinstance(r.exc.func, ast.Name) else r.exc.func.attr
                yield (f, name + "/" + text,
                       'Which exception is raised with the message "%s"?' % text,
                       (r.lineno, r.end_lineno), answer)


def functions(text):
    def visit(node, inside):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield child, inside + child.name
            elif isinstance(child, ast.ClassDef):
                yield from visit(child, inside + child.name + ".")
    return visit(ast.parse(text), "")


# ---------------------------------------------------------------- facts of C

def define_candidates(files):
    for f in files:
        for i, line in enumerate(f.lines, 1):
            m = re.match(r"#define\s+([A-Z][A-Z0-9_]{5,})\s+([^/\\]+?)\s*(/\*.*)?$", line)
            if m and re.search(r"\d\d", m.group(2)) and len(m.group(2)) < 24:
                yield (f, m.group(1), "What is %s defined as?" % m.group(1), (i, i), m.group(2))


def message_candidates(files):
    for f in files:
        for u in f.units:
            body = "\n".join(f.lines[u.first - 1:u.last])
            for m in re.finditer(r'\b(addReplyError\w*|serverLog|serverPanic|rdbCheckError)\s*\('
                                 r'[^";]*"((?:[^"\\]|\\.)*)"\s*[,)]',
                                 body):
                text = m.group(2)
                if len(text.split()) < 4 or "\\" in text or u.name in text:
                    continue
                first = u.first + body.count("\n", 0, m.start())
                if first - u.first > 40:
                    continue
                last = u.first + body.count("\n", 0, m.end())
                yield (f, u.name + "/" + text,
                       'Which function gives the message "%s"?' % text, (first, last), u.name,
                       (u.first, last))


# ---------------------------------------------------------------- taking

MAKERS = {"doc": doc_candidates, "default": default_candidates, "raise": raise_candidates,
          "define": define_candidates, "message": message_candidates}


def take(files):
    """The questions, as dicts, sorted by id."""
    out, skip = [], skipped()
    for (name, kind), count in TAKE.items():
        mine = [f for f in files if f.corpus == name]
        found = list(MAKERS[kind](mine))
        asked = {}
        for c in found:
            asked[c[2]] = asked.get(c[2], 0) + 1
        found = sorted(((digest(kind, name, c[0].path, c[1]), c) for c in found
                        if asked[c[2]] == 1), key=lambda pair: pair[0])
        per_file, taken = {}, 0
        for key, (f, symbol, question, (first, last), answer, *context) in found:
            qid = "%s-%s-%s" % (name, kind, key[:8])
            if taken == count or qid in skip or per_file.get(f.path, 0) == PER_FILE[kind]:
                continue
            per_file[f.path] = per_file.get(f.path, 0) + 1
            taken += 1
            out.append({"id": qid, "kind": kind, "corpus": name, "half": half(qid),
                        "question": question, "path": f.path, "lines": [first, last],
                        "context": list(context[0]) if context else [first, last],
                        "symbol": symbol.split("/")[0], "answer": answer})
    return sorted(out, key=lambda q: q["id"])
