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
    """Chapters 1 and 2 share a file; chapter 3 lies in a folder whose name needs escapes, in a
    file whose name is not ASCII."""
    def page(inner):
        return ('<?xml version="1.0" encoding="utf-8"?>\n'
                '<html xmlns="http://www.w3.org/1999/xhtml"><head><title/><script src="x.js"/></head>'
                "<body>\n%s\n</body></html>" % inner)
    nav = "".join('<li><a href="%s">%s</a></li>' % (h, esc(c[0])) for h, c in zip(
        ["text/one.xhtml", "text/one.xhtml#c2", "text/part%202/zw%C3%B6lf.xhtml"], CHAPTERS))
    return zipped([
        ("mimetype", "application/epub+zip"),
        ("META-INF/container.xml",
         '<?xml version="1.0"?><container version="1.0" '
         'xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles><rootfile '
         'full-path="OPS/book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>'),
        ("OPS/book.opf",
         '<?xml version="1.0"?><package xmlns="http://www.idpf.org/2007/opf" version="3.0">'
         '<metadata/><manifest><item id="nav" href="nav.xhtml" properties="nav" '
         'media-type="application/xhtml+xml"/><item id="b" href="text/part%202/zw%C3%B6lf.xhtml" '
         'media-type="application/xhtml+xml"/><item id="a" href="text/one.xhtml" '
         'media-type="application/xhtml+xml"/></manifest>'
         '<spine><itemref idref="a"/><itemref idref="b"/></spine></package>'),
        ("OPS/nav.xhtml", page('<nav epub:type="toc" xmlns:epub="http://www.idpf.org/2007/ops">'
                               "<ol>%s</ol></nav>" % nav)),
        ("OPS/text/part 2/zwölf.xhtml", page(body(2))),
        ("OPS/text/one.xhtml", page("<h1>%s</h1>\n%s\n<a id=\"x\"/>%s" % (TITLE, body(0), body(1)))),
    ])


def docx():
    ns = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'

    def par(s, style=None, extra=""):
        props = '<w:pPr><w:pStyle w:val="%s"/></w:pPr>' % style if style else ""
        half = len(s) // 2
        return ('<w:p>%s<w:r><w:t xml:space="preserve">%s</w:t></w:r><w:r><w:rPr><w:b/></w:rPr>'
                '<w:t xml:space="preserve">%s</w:t></w:r>%s</w:p>' % (props, esc(s[:half]), esc(s[half:]), extra))
    out = [par(TITLE, "Kop")]
    for i, (name, paras) in enumerate(CHAPTERS):
        out.append(par(name, "Kop2"))
        for j, p in enumerate(paras):
            note = '<w:r><w:footnoteReference w:id="2"/></w:r>' if (i, j) == (1, 0) else ""
            gone = "<w:del><w:r><w:delText>deleted words</w:delText></w:r></w:del>" if i == 0 else ""
            out.append(par(p, None, note + gone))
    out.append("<w:tbl>" + "".join("<w:tr>" + "".join(
        "<w:tc>%s</w:tc>" % par(c) for c in r) + "</w:tr>" for r in SHIPS) + "</w:tbl>")
    out.append(par(LAST))
    head = '<?xml version="1.0" encoding="UTF-8"?>'
    return zipped([
        ("[Content_Types].xml", head + '<Types xmlns="http://schemas.openxmlformats.org/package/2006/'
         'content-types"/>'),
        ("word/document.xml", head + "<w:document %s><w:body>%s</w:body></w:document>" % (ns, "".join(out))),
        ("word/styles.xml", head + '<w:styles %s><w:style w:styleId="Kop"><w:name w:val="Title"/></w:style>'
         '<w:style w:styleId="H2"><w:name w:val="heading 2"/></w:style>'
         '<w:style w:styleId="Kop2"><w:name w:val="Mine"/><w:basedOn w:val="H2"/></w:style></w:styles>' % ns),
        ("word/footnotes.xml", head + '<w:footnotes %s><w:footnote w:id="2">%s</w:footnote></w:footnotes>'
         % (ns, par("Weighed in 1911, when it was taken down for cleaning."))),
    ])


def pdf_page_lines(paras, width=78):
    lines = []
    for p in paras:
        line = ""
        for w in p.split():
            if len(line) + len(w) + 1 > width:
                lines.append(line)
                line = w
            else:
                line = (line + " " + w).strip()
        lines += [line, ""]
    return lines


def pdf(pages, encrypt_dict=None):
    """pages: lists of lines, an empty list is a page without text (a scan)."""
    objs = ["<< /Type /Catalog /Pages 2 0 R >>", None,
            "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"]
    kids = []
    for lines in pages:
        ops = ["BT /F1 11 Tf 14 TL 60 780 Td"]
        for l in lines:
            s = l.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")
            ops.append("(%s) Tj T*" % s)
        stream = " ".join(ops + ["ET"]) if lines else "60 60 200 200 re f"
        objs.append("<< /Length %d >>\nstream\n%s\nendstream" % (len(stream.encode("cp1252")), stream))
        objs.append("<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents %d 0 R "
                    "/Resources << /Font << /F1 3 0 R >> >> >>" % len(objs))
        kids.append("%d 0 R" % len(objs))
    objs[1] = "<< /Type /Pages /Kids [%s] /Count %d >>" % (" ".join(kids), len(kids))
    out = b"%PDF-1.4\n"
    offs = []
    for i, o in enumerate(objs):
        offs.append(len(out))
        out += b"%d 0 obj\n" % (i + 1) + o.encode("cp1252") + b"\nendobj\n"
    xref = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objs) + 1)
    out += b"".join(b"%010d 00000 n \n" % o for o in offs)
    extra = encrypt_dict or ""
    out += ("trailer\n<< /Size %d /Root 1 0 R %s >>\nstartxref\n%d\n%%%%EOF\n"
            % (len(objs) + 1, extra, xref)).encode()
    return out


def book_pdf():
    pages = [pdf_page_lines([name] + paras) for name, paras in CHAPTERS]
    pages[0] = [TITLE, ""] + pages[0]
    pages.insert(2, [])
    pages[-1] += ["  ".join(r) for r in SHIPS] + [""] + pdf_page_lines([LAST])
    return pdf(pages)


def notebook():
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": ["# %s\n" % TITLE, "\n", CHAPTERS[0][1][0]]},
        {"cell_type": "code", "execution_count": 1, "metadata": {},
         "source": ["rings = [214, 3]\n", "print(sum(rings))"],
         "outputs": [{"output_type": "stream", "name": "stdout", "text": ["working 1/2\rworking 2/2\n", "217\n"]},
                     {"output_type": "display_data", "metadata": {},
                      "data": {"image/png": "iVBORw0KGgo=", "text/plain": ["<Figure>"]}}]},
        {"cell_type": "markdown", "metadata": {}, "source": "## The Bell\n\n" + CHAPTERS[1][1][0]},
        {"cell_type": "code", "execution_count": None, "metadata": {}, "source": "1 / 0",
         "outputs": [{"output_type": "error", "ename": "ZeroDivisionError", "evalue": "division by zero",
                      "traceback": ["\u001b[0;31mZeroDivisionError\u001b[0m: division by zero"]}]},
    ]
    return json.dumps({"cells": cells, "metadata": {"language_info": {"name": "python"}},
                       "nbformat": 4, "nbformat_minor": 5}, indent=1, ensure_ascii=False) + "\n"


def markdown():
    out = ["---", "title: x", "---", "# " + TITLE, ""]
    for name, paras in CHAPTERS:
        out += ["## " + name, ""]
        for p in paras:
            out += [p, ""]
    out += ["```", "# no heading, a comment", "```", "", "Underlined", "----------", "", LAST]
    return "\n".join(out) + "\n"


def main(folder):
    for name, data in [("book.txt", text()), ("book.md", markdown()), ("book.html", html()),
                       ("book.epub", epub()), ("book.docx", docx()), ("book.pdf", book_pdf()),
                       ("book.ipynb", notebook())]:
        with open(os.path.join(folder, name), "wb") as f:
            f.write(data.encode() if isinstance(data, str) else data)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else ".")
