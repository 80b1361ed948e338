#!/usr/bin/env python3
"""Tokenizer vectors, and comparison with other implementations.

  make_tok.py small TOK_IDS            train tok_small.merges, write tok_small.ids
  make_tok.py models TOK_IDS DIR       write tok_models.txt from DIR/*.gguf, by llama.cpp
  make_tok.py compare TOK_IDS DIR [TEXT ...]
                                       every family against llama.cpp, tiktoken and tokenizers

TOK_IDS is tests/tok_ids of a build.  DIR holds smollm2-135m.gguf and qwen2.5-coder-0.5b.gguf; for
compare also llama3.model and llama4.model, the files models/llama3/tokenizer.model and
models/llama4/tokenizer.model of the package llama-models.  Other packages: numpy, gguf, tokenizers,
tiktoken, llama-cpp-python.  What is missing is skipped, and said so.

compare is what says "equal": it prints a line per family, oracle and text, and exits 1 when one
differs.  llama.cpp approximates the character classes of llama4, so there it is no oracle; tiktoken
is, and for special tokens Meta's package.  Texts: 1.2 MB of tests/tok_text.h, every special token
between words, this source tree, and the TEXTs given.  Invalid UTF-8 is compared stretch by stretch:
llama.cpp replaces bad bytes, or aborts.
"""
import base64, glob, hashlib, os, re, struct, subprocess, sys, tempfile
from pathlib import Path

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))

CI = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
P = r"[^\r\n\p{L}\p{N}]?"
W = r"\s*[\r\n]+|\s+(?!\S)|\s+"
UP, LOW = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
O = r" ?[^\s\p{L}\p{N}]+"
PATTERN = {
    "llama4": f"{P}{UP}*{LOW}+{CI}?|{P}{UP}+{LOW}*{CI}?|\\p{{N}}{{1,3}}|{O}[\\r\\n/]*|{W}",
    "llama-bpe": f"{CI}|{P}\\p{{L}}+|\\p{{N}}{{1,3}}|{O}[\\r\\n]*|{W}",
    "qwen2": f"{CI}|{P}\\p{{L}}+|\\p{{N}}|{O}[\\r\\n]*|{W}",
    "gpt-2": GPT2,
    "smollm": GPT2,
}
FAMILIES = list(PATTERN)


def alphabet():
    own = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in own]
    return {**{b: chr(b) for b in own}, **{b: chr(256 + i) for i, b in enumerate(rest)}}


ALPHA = alphabet()
BACK = {c: b for b, c in ALPHA.items()}


def spell(b):
    return "".join(ALPHA[x] for x in b)


def our_text(tok_ids, n, seed):
    return subprocess.run([tok_ids, "-t", str(n), str(seed)], capture_output=True, check=True).stdout


def our_ids(tok_ids, model, text, special=False):
    import numpy as np
    with tempfile.NamedTemporaryFile() as f:
        f.write(text)
        f.flush()
        cmd = [tok_ids] + (["-s"] if special else []) + [model, f.name]
        p = subprocess.run(cmd, capture_output=True)
    if p.returncode:
        sys.exit(f"{cmd}: {p.stderr.decode()}")
    return np.frombuffer(p.stdout, dtype="<i4").tolist()


# --- other implementations ---------------------------------------------------------------------

def hf_tokenizer(pre, vocab, merges, whole_first):
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers as pt
    t = Tokenizer(models.BPE(vocab, merges, ignore_merges=whole_first))
    digits = [pt.Digits(individual_digits=True)] if pre == "smollm" else []
    # \s of the engine behind Split has U+0085 and not U+180E, like ours.
    split = pt.Split(Regex(PATTERN[pre]), "isolated")
    t.pre_tokenizer = pt.Sequence(digits + [split, pt.ByteLevel(add_prefix_space=False, use_regex=False)])
    return lambda text: t.encode(text.decode(), add_special_tokens=False).ids


def llama_cpp_tokenizer(path, special=False):
    try:
        from llama_cpp import Llama
    except ImportError:
        return None
    m = Llama(model_path=path, vocab_only=True, verbose=False)
    return lambda text: m.tokenize(text, add_bos=False, special=special)


def meta_tokenizer(path):
    """Meta's own, with its 2048 special tokens: the judge of those that tokenizer.model leaves out."""
    try:
        from llama_models.llama4.tokenizer import Tokenizer
    except ImportError:
        return None, []
    t = Tokenizer(Path(path))
    return (lambda text: t.encode(text.decode(), bos=False, eos=False, allowed_special="all"),
            sorted(t.special_tokens, key=t.special_tokens.get))


def tiktoken_tokenizer(pre, ranks):
    try:
        import tiktoken
    except ImportError:
        return None
    e = tiktoken.Encoding("x", pat_str=PATTERN[pre], mergeable_ranks=ranks, special_tokens={})
    return lambda text: e.encode_ordinary(text.decode())


# --- tokenizer-only model files ----------------------------------------------------------------

def write_gguf(path, pre, tokens, types, merges, bos, eos):
    import gguf
    w = gguf.GGUFWriter(path, "llama")
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre(pre)
    w.add_token_list(tokens)
    w.add_token_types(types)
    w.add_token_merges(merges)
    w.add_bos_token_id(bos)
    w.add_eos_token_id(eos)
    w.add_add_bos_token(False)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.close()


def read_gguf(path):
    import gguf
    f = gguf.GGUFReader(path).fields
    get = lambda k: f["tokenizer.ggml." + k].contents()
    return {k: get(k) for k in ("tokens", "token_type", "merges", "bos_token_id", "eos_token_id")}


def read_ranks(path):
    return {base64.b64decode(l.split()[0]): int(l.split()[1]) for l in open(path, "rb") if l.strip()}


def merges_of(ranks):
    out = []
    for tok, _ in sorted(ranks.items(), key=lambda x: x[1]):
        ways = sorted((ranks[tok[:i]], ranks[tok[i:]], tok[:i], tok[i:])
                      for i in range(1, len(tok)) if tok[:i] in ranks and tok[i:] in ranks)
        out += [spell(a) + " " + spell(b) for _, _, a, b in ways]
    return out


# --- small -------------------------------------------------------------------------------------

SMALL_TEXT, SMALL_SEED = 5000, 7


def small(tok_ids):
    """A few hundred merges, learned from the mixed text itself (pieces of the gpt-2 pattern)."""
    import regex
    from collections import Counter
    text = our_text(tok_ids, 60000, 3).decode()
    words = Counter(tuple(ALPHA[b] for b in w.encode()) for w in regex.findall(GPT2, text))
    merges = []
    while len(merges) < 700:
        pairs = Counter()
        for w, n in words.items():
            for p in zip(w, w[1:]):
                pairs[p] += n
        # Most frequent, then in order of spelling: no run differs from another.
        (a, b), n = min(pairs.items(), key=lambda x: (-x[1], x[0]))
        if n < 2:
            break
        merges.append((a, b))
        new = Counter()
        for w, n in words.items():
            out, i = [], 0
            while i < len(w):
                if i + 1 < len(w) and w[i] == a and w[i + 1] == b:
                    out.append(a + b)
                    i += 2
                else:
                    out.append(w[i])
                    i += 1
            new[tuple(out)] += n
        words = new
    with open(f"{HERE}/tok_small.merges", "w") as f:
        f.writelines(f"{a} {b}\n" for a, b in merges)
    vocab = {ALPHA[b]: b for b in range(256)}
    for a, b in merges:
        vocab.setdefault(a + b, len(vocab))
    if len(vocab) != 256 + len(merges):
        sys.exit("two merges make the same token; choose another seed")
    text = our_text(tok_ids, SMALL_TEXT, SMALL_SEED)
    with open(f"{HERE}/tok_small.ids", "wb") as f:
        for pre in FAMILIES:
            ids = hf_tokenizer(pre, vocab, merges, pre == "llama-bpe")(text)
            f.write(struct.pack("<I", len(ids)) + struct.pack(f"<{len(ids)}H", *ids))
            print(pre, len(ids), "ids")


# --- models ------------------------------------------------------------------------------------

MODEL_TEXT, MODEL_SEED = 1200000, 11


def models(tok_ids, folder):
    text = our_text(tok_ids, MODEL_TEXT, MODEL_SEED)
    with open(f"{HERE}/tok_models.txt", "w") as f:
        for name in ("smollm2-135m", "qwen2.5-coder-0.5b"):
            path = f"{folder}/{name}.gguf"
            sha = hashlib.sha256(open(path, "rb").read()).hexdigest()
            ids = llama_cpp_tokenizer(path)(text)
            h = hashlib.blake2b(struct.pack(f"<{len(ids)}i", *ids), digest_size=32).hexdigest()
            f.write(f"{name}.gguf {sha} {len(ids)} {h}\n")
            print(name, len(ids))


# --- compare -----------------------------------------------------------------------------------

def invalid(text, n=4000):
    """The text with n bad bytes put in, and its well-formed stretches."""
    bad = [0x80, 0xbf, 0xc0, 0xc1, 0xf5, 0xff, 0xe4, 0xf0, 0xed]
    chars = text.decode()
    step = max(1, len(chars) // n)
    parts = [chars[i:i + step].encode() for i in range(0, len(chars), step)]
    out = b"".join(p + bytes([bad[i % len(bad)]]) for i, p in enumerate(parts))
    stretches, at = [], 0
    while at < len(out):
        try:
            out[at:].decode()
            stretches.append(out[at:])
            break
        except UnicodeDecodeError as e:
            stretches += [out[at:at + e.start], out[at + e.start:at + e.start + 1]]
            at += e.start + 1
    return out, stretches


def without(text, added, has):
    """What `tokenizers` is no judge of: added tokens, which are not told to it here, and bytes that
    have no token, over which it merges their neighbours (llama.cpp and we do not)."""
    for t in added:
        text = text.replace(t.encode(), b"")
    if len(has) == 256:
        return text
    return "".join(c for c in text.decode() if has.issuperset(c.encode())).encode()


def compare(tok_ids, folder, extra):
    texts = {"mixed": our_text(tok_ids, 1200000, 1)}
    tree = sorted(sum((glob.glob(f"{ROOT}/{p}") for p in ("*/*.[ch]", "*/*/*.py", "*.ac", "*.am", "*/*.md")), []))
    texts["tree"] = b"".join(open(p, "rb").read() for p in tree)
    for p in extra:
        texts[p] = open(p, "rb").read().decode("utf-8", "ignore").encode()
    bad = 0

    def judge(family, oracle, what, ours, theirs, n):
        nonlocal bad
        same = ours == theirs
        first = next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), min(len(ours), len(theirs)))
        print(f"{family:10} {oracle:10} {what:10} {n:8} bytes {len(ours):7} ids "
              + ("equal" if same else f"DIFFER at id {first}: {ours[first:first+5]} / {theirs[first:first+5]}"),
              flush=True)
        bad += not same

    with tempfile.TemporaryDirectory() as tmp:
        sources = []
        for name, pres in (("smollm2-135m", ("smollm", "gpt-2")), ("qwen2.5-coder-0.5b", ("qwen2", "gpt-2", "smollm"))):
            path = f"{folder}/{name}.gguf"
            if not os.path.exists(path):
                print(f"# skipped: no {path}")
                continue
            v = read_gguf(path)
            for pre in pres:
                out = f"{tmp}/{name}-{pre}.gguf"
                write_gguf(out, pre, v["tokens"], v["token_type"], v["merges"], v["bos_token_id"], v["eos_token_id"])
                sources.append((pre, out, v["tokens"], v["token_type"], v["merges"], None))
        for name, pre in (("llama3", "llama-bpe"), ("llama4", "llama4")):
            path = f"{folder}/{name}.model"
            if not os.path.exists(path):
                print(f"# skipped: no {path}")
                continue
            ranks = read_ranks(path)
            tokens = [spell(t) for t, _ in sorted(ranks.items(), key=lambda x: x[1])]
            special = ["<|begin_of_text|>", "<|end_of_text|>", "<|eom|>", "<|eot|>"]
            special += [f"<|reserved_special_token_{i}|>" for i in range(250)]
            merges, out = merges_of(ranks), f"{tmp}/{name}.gguf"
            types = [1] * len(tokens) + [3] * len(special)
            write_gguf(out, pre, tokens + special, types, merges, len(tokens), len(tokens) + 1)
            sources.append((pre, out, tokens + special, types, merges, ranks))
            if name == "llama4":
                os.symlink(os.path.abspath(path), f"{tmp}/tokenizer.model")
                sources.append((pre, f"{tmp}/tokenizer.model", tokens, types[:len(tokens)], merges, ranks))
        for pre, path, tokens, types, merges, ranks in sources:
            oracles = {}
            if path.endswith(".gguf") and pre != "llama4":
                oracles["llama.cpp"] = llama_cpp_tokenizer(path)
            if ranks:
                oracles["tiktoken"] = tiktoken_tokenizer(pre, ranks)
            vocab = {t: i for i, t in enumerate(tokens) if types[i] == 1}
            oracles["tokenizers"] = hf_tokenizer(pre, vocab, [tuple(m.split(" ")) for m in merges], pre == "llama-bpe")
            for oracle, encode in oracles.items():
                if encode is None:
                    print(f"# skipped: no {oracle}")
                    continue
                for what, text in texts.items():
                    if oracle == "tokenizers":
                        text = without(text, [t for t, k in zip(tokens, types) if k == 4],
                                       {BACK[t] for t, k in zip(tokens, types) if k == 1 and len(t) == 1})
                    judge(pre, oracle, os.path.basename(what), our_ids(tok_ids, path, text), encode(text), len(text))
                text, stretches = invalid(texts["mixed"][:200000].decode("utf-8", "ignore").encode())
                byte = {BACK[t]: i for t, i in vocab.items() if len(t) == 1}
                want = []
                for s in stretches:
                    try:
                        s.decode()
                        want += encode(s) if s else []
                    except UnicodeDecodeError:
                        want += [byte[s[0]]] if s[0] in byte else []
                judge(pre, oracle, "invalid", our_ids(tok_ids, path, text), want, len(text))
            if path.endswith(".gguf") and pre != "llama4":
                special = [t for t, k in zip(tokens, types) if k in (2, 3, 4)]
                # Not many times over: llama.cpp takes quadratic time here.
                text = "".join(f"one {s}two{s}{s}\n" for s in special * (1 + 300 // len(special))).encode()
                encode = llama_cpp_tokenizer(path, special=True)
                if encode:
                    judge(pre, "llama.cpp", "specials", our_ids(tok_ids, path, text, True), encode(text), len(text))
                    encode = llama_cpp_tokenizer(path)
                    judge(pre, "llama.cpp", "as text", our_ids(tok_ids, path, text), encode(text), len(text))
            if not path.endswith(".gguf"):
                encode, special = meta_tokenizer(path)
                if encode:
                    text = "".join(f"one {s}two{s}{s}\n" for s in special).encode()
                    judge(pre, "meta", "specials", our_ids(tok_ids, path, text, True), encode(text), len(text))
    return bad


def main():
    a = sys.argv[1:]
    if len(a) == 2 and a[0] == "small":
        small(a[1])
    elif len(a) == 3 and a[0] == "models":
        models(a[1], a[2])
    elif len(a) >= 3 and a[0] == "compare":
        sys.exit(1 if compare(a[1], a[2], a[3:]) else 0)
    else:
        sys.exit(__doc__)


main()
