"""The tokenizer: byte-level BPE of 2,048 tokens, cut as Llama 3 cuts (GGUF calls that "llama-bpe").

    tokens.py WORK          trains it on the standard library's sources; writes WORK/tokenizer.json

Numbers are cut into groups of up to three digits, and every group is one token: 1,100 of the 2,048.
So a six-digit value is two tokens, and two names that differ in their number differ in one token.
"""
import hashlib
import json
import pathlib
import random
import sys
import sysconfig

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

N_VOCAB = 2048
BOS, EOS = "<|begin|>", "<|end|>"
CUT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
       r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def sources():
    """Files of the standard library with the training half first decided by hash: (path, text, held out)."""
    root = pathlib.Path(sysconfig.get_paths()["stdlib"])
    out, seen = [], set()
    for path in sorted(root.rglob("*.py")):
        if "site-packages" in path.parts:
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except (UnicodeDecodeError, OSError):
            continue
        digest = hashlib.sha256(text.encode()).hexdigest()
        if not 500 < len(text) < 200_000 or digest in seen:
            continue
        seen.add(digest)
        out.append((path, text, int(digest[:2], 16) < 64))
    random.Random(0).shuffle(out)
    return out


def cutter():
    return pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(CUT), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def train(path):
    numbers = [f"{i:0{n}d}" for n in (2, 3) for i in range(10 ** n)]
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = cutter()
    text = [t.translate({ord(c): " " for c in "0123456789"}) for _, t, held in sources() if not held]
    tok.train_from_iterator(text[:700], trainers.BpeTrainer(
        vocab_size=N_VOCAB - len(numbers), special_tokens=[BOS, EOS], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    data = json.loads(tok.to_str())
    model = data["model"]
    for text in numbers:
        model["vocab"][text] = len(model["vocab"])
        model["merges"].append([text[:-1], text[-1]])
    model["ignore_merges"] = True
    data["decoder"] = json.loads('{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true}')
    path.write_text(json.dumps(data, ensure_ascii=False))
    tok = Tokenizer.from_file(str(path))
    assert tok.get_vocab_size() == N_VOCAB
    assert [t for t in tok.encode("x_y = 048217\n").tokens][-3:] == ["048", "217", "Ċ"]
    return tok


if __name__ == "__main__":
    work = pathlib.Path(sys.argv[1])
    work.mkdir(parents=True, exist_ok=True)
    print(train(work / "tokenizer.json").encode("maple_orbit_317 = 482917\n").tokens)
