#!/usr/bin/env python3
"""Writes the sample book in every format folio reads, from one text in this file.

    python3 samples/make_samples.py samples

Only the standard library; the same bytes on every run.  book.txt is the text itself; what the
others must come out as is in tests/vectors/extract/.
"""
import io, json, os, sys, zipfile

TITLE = "The Lighthouse at Orrin Bay"
CHAPTERS = [
    ("The Keeper", [
        "Mara Teld kept the light at Orrin Bay for thirty-one years. The lamp burned whale oil when "
        "she came and paraffin when she left, and she trimmed its wick every four hours.",
        "Her log had one rule: write what you saw, not what you feared. On the night of 9 March the "
        "log says only \u201cfog, bell rung 214 times\u201d.",
    ]),
    ("The Bell", [
        "The bell hung on the seaward wall. It weighed 386 kilograms and had been cast in Vell "
        "from two older bells, so that on cold days it rang with two notes \u2013 a fifth apart.",
        "Nobody on the coast set a clock by it, but everybody knew it.",
    ]),
    ("The Ledger", [
        "After her death the ledger was found behind the stove. It listed every ship that had "
        "passed since the year of the great storm:",
    ]),
]
SHIPS = [("Ship", "Port", "Tons"), ("Halcyon", "Vell", "212"), ("Nor\u2019easter", "Brim", "87"),
         ("Patience", "", "140")]
LAST = "The last line was in another hand. It said: \u201cThe light is out. Go round by Caul.\u201d"


def esc(s):
    return s.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def text():
    out = [TITLE, ""]
    for name, paras in CHAPTERS:
        out += [name, ""]
        for p in paras:
            out += [p, ""]
    out += ["\t".join(r) for r in SHIPS] + ["", LAST]
    return "\n".join(out) + "\n"


def table():
    rows = ["<tr>" + "".join("<%s>%s</%s>" % (c, esc(x), c) for x in r) + "</tr>"
            for r, c in zip(SHIPS, ["th"] + ["td"] * 9)]
    return "<table>\n" + "\n".join(rows) + "\n</table>"


def body(i):
    name, paras = CHAPTERS[i]
    out = ['<h2 id="c%d">%s</h2>' % (i + 1, esc(name))] + ["<p>%s</p>" % esc(p) for p in paras]
    if i == len(CHAPTERS) - 1:
        out += [table(), "<p>%s</p>" % esc(LAST)]
    return "\n".join(out)


def html():
    return ('<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8">'
            "<title>%s</title>\n<style>p { margin: 0 }</style></head>\n<body>\n<h1>%s</h1>\n%s\n"
            '<script>document.write("<p>never shown</p>");</script>\n</body>\n</html>\n'
            % (TITLE, TITLE, "\n".join(body(i) for i in range(len(CHAPTERS)))))


def zipped(files):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        for name, data in files:
            info = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_STORED if name == "mimetype" else zipfile.ZIP_DEFLATED
            z.writestr(info, data)
    return out.getvalue()


def epub():
    """Chapters