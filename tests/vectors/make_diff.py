#!/usr/bin/env python3
"""Two editions of one small PDF: in the second a number is another (30 days are 45) and a section
stands on another page.  Plain PDF 1.4, no library, the same bytes every time.

    python3 make_diff.py .      writes terms-1.pdf and terms-2.pdf
"""
import sys

INTRO = ["Terms of the Harbour Library", "",
         "1. Borrowing", "",
         "A reader may borrow four charts at a time and keep them",
         "for %s days. The keeper writes every loan into the ledger",
         "and strikes it out on return."]
OPEN = ["2. Opening hours", "",
        "The reading room opens at nine and closes when the lamp is lit.",
        "On stormy days nobody is sent home before the wind has turned."]
DAMAGE = ["3. Damage", "",
          "Wet charts are dried on the long table, never by the stove.",
          "Whoever tears a chart pays for linen and for the hand that mends it."]
CARE = ["4. Care of the instruments", "",
        "Sextants are lent to captains only. The mirror must not be touched",
        "with bare fingers, and the case is closed at sea."]


def page_text(lines):
    out = ["BT /F1 12 Tf 72 760 Td 16 TL"]
    for line in lines:
        out.append("(%s) Tj T*" % line.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)"))
    return "\n".join(out + ["ET"]).encode()


def pdf(pages):
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>", None,
               b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]
    kids = []
    for lines in pages:
        body = page_text(lines)
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(body), body))
        objects.append(b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents %d 0 R "
                       b"/Resources << /Font << /F1 3 0 R >> >> >>" % len(objects))
        kids.append(b"%d 0 R" % len(objects))
    objects[1] = b"<< /Type /Pages /Kids [%s] /Count %d >>" % (b" ".join(kids), len(kids))
    out, at = b"%PDF-1.4\n", []
    for n, body in enumerate(objects, 1):
        at.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (n, body)
    xref = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % x for x in at)
    return out + b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, xref)


def main():
    def intro(days):
        return [s % days if "%s" in s else s for s in INTRO]
    first = [intro("30") + [""] + OPEN, DAMAGE, CARE]
    second = [intro("45"), DAMAGE, CARE + [""] + OPEN]
    for name, pages in (("terms-1.pdf", first), ("terms-2.pdf", second)):
        with open("%s/%s" % (sys.argv[1], name), "wb") as f:
            f.write(pdf(pages))


main()
