#!/usr/bin/env python3
"""Make seeds/tok/: texts, a small model file, templates and a tiktoken file, for tok_fuzz."""
import base64
import pathlib
import struct

OUT = pathlib.Path(__file__).parent / "seeds" / "tok"


def string(s):
    b = s.encode()
    return struct.pack("<Q", len(b)) + b


def model(pre, template):
    tokens = ["\u0120", "a", "b", "t", "h", "e", "th", "the", "\u0120the", "\u00e6", "<|eot|>", "<think>", "<|im_start|>",
              "<|im_end|>", "[PAD]", "\u4e00"]
    types = [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 3, 4, 3, 3, 5, 1]
    merges = ["t h", "th e", "\u0120 the", "q q"]
    kv = [("general.architecture", 8, string("llama")), ("tokenizer.ggml.model", 8, string("gpt2")),
          ("tokenizer.ggml.pre", 8, string(pre)), ("tokenizer.chat_template", 8, string(template)),
          ("tokenizer.ggml.bos_token_id", 4, struct.pack("<I", 10)),
          ("tokenizer.ggml.eos_token_id", 4, struct.pack("<I", 13)),
          ("tokenizer.ggml.add_bos_token", 7, b"\x01"),
          ("tokenizer.ggml.tokens", 9, struct.pack("<IQ", 8, len(tokens)) + b"".join(map(string, tokens))),
          ("tokenizer.ggml.token_type", 9, struct.pack(f"<IQ{len(types)}i", 5, len(types), *types)),
          ("tokenizer.ggml.merges", 9, struct.pack("<IQ", 8, len(merges)) + b"".join(map(string, merges)))]
    b = b"GGUF" + struct.pack("<IQQ", 3, 0, len(kv))
    for key, t, v in kv:
        b += string(key) + struct.pack("<I", t) + v
    return b + bytes(-len(b) % 32)


TEMPLATES = {
    "chatml": "{{ '<|im_start|>system\\nBe kind.<|im_end|>\\n' }}{{ '<think>\\n\\n</think>\\n\\n' }}",
    "llama3": "{{ '<|start_header_id|>' + role }}",
    "llama4": "{{ \"<|header_start|>\" }}",
    "cut": "'<|im_start|>system\\nIt\\",
}
TEXTS = {
    "words": "The cat's 12345 HTTPServers  don't\tSTOP.\r\n\r\n  return x->y; // <|eot|><think>\n",
    "scripts": "\u65e5\u672cABC e\u0301 \u0645\u0631\u062d\u0628\u0627 \u0928\u092e\u0938\u094d\u0924\u0947 \U0001f468\u200d\U0001f469 \u0663\u00b2 \u01c5 '\u017f\u0085\u3000\u3000x",
    "runs": " " * 40 + "x" + "a" * 200 + "\n \n" + "9" * 10 + "//\n/",
}


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    for name, text in TEXTS.items():
        for k in range(5):
            (OUT / f"{name}_{k}").write_bytes(bytes([k | (k % 4) << 3]) + text.encode())
    (OUT / "invalid").write_bytes(b"\x00a\xff\xfe\xe6\x97 \xe6\x97\xa5\xc0\x80\xed\xa0\x80\xf5 \xf4\x90\x80\x80b")
    for name, text in TEMPLATES.items():
        (OUT / f"template_{name}").write_bytes(b"\x06" + text.encode())
    for pre in ("llama4", "qwen2"):
        (OUT / f"model_{pre}").write_bytes(b"\x05" + model(pre, TEMPLATES["chatml"]))
    ranks = [b"a", b"b", b"ab", b"\xe6", b"abab"]
    (OUT / "ranks").write_bytes(b"\x07" + b"".join(base64.b64encode(t) + b" %d\n" % i for i, t in enumerate(ranks)))


main()
