"""What counts as a content word, and which of them two texts share.

Identifiers are split (`getHTTPHeader_v2` is get, http, header, v2), case is dropped, function words
and the words every question about code has (function, file, value, ...) do not count, and what is
left is cut to a stem by removing English endings.  Two words are the same if their stems are equal
or if one stem begins with the other and that one has at least four letters: `encode`, `encoding`
and `encoder` meet, and so do `dir` and `dirs`, but `dir` and `direct` do not.
"""
import re

STOP = set("""
a about above after again against all also am an and any anybody anyone anything are aren as at be
because been before being below between both but by can cannot could did do does doing done down
during each either else ever every everything few for from further get gets getting give given gives
go goes had has have having he her here hers him his how however i if in instead into is isn it its
itself just keep kept kind last later least less let lets like made make makes making many may me
might more most much must my never no nor not nothing now of off often on once one ones only onto or
other others otherwise our out over own per place piece put quite rather really same say says see
seen several shall she should since so some somebody something somewhere still such sure take taken
takes than that the their them then there these they thing things this those though through thus to
together too turn turned turns two under until up upon us use used user uses using very want wanted
wants was way we well were what whatever when where whether which while who whole whom whose why will
with within without would yet you your yours
called calls call class code default does file function functions line lines logic method module
name named names object part program routine source step string value values work works
""".split())

ENDINGS = ("ization", "ations", "ation", "ments", "ment", "ingly", "ings", "ing", "ions", "ion",
           "ness", "able", "ible", "edly", "ers", "ies", "ied", "er", "ed", "es", "ly", "or", "s",
           "e", "y")


def split(text):
    """The words of a text, lower case, in order: identifiers are taken apart."""
    out = []
    for word in re.findall(r"[A-Za-z]+(?:[0-9]+[A-Za-z]*)*|[0-9]+", text):
        word = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", word)
        word = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1 \2", word)
        out += word.lower().split()
    return out


def stem(word):
    for end in ENDINGS:
        if word.endswith(end) and len(word) - len(end) >= 3:
            word = word[:-len(end)]
            break
    if len(word) > 3 and word[-1] == word[-2]:
        word = word[:-1]                # stopped, stop; running, run
    return word


def content(text):
    """The set of stems that count."""
    return {stem(w) for w in split(text)
            if w not in STOP and len(w) > 1 and not (w.isdigit() and len(w) < 3)}


def same(a, b):
    if a == b:
        return True
    short, long = sorted((a, b), key=len)
    return len(short) >= 4 and long.startswith(short)


def shared(question, span):
    """Stems of the question that the span has too, sorted."""
    theirs = content(span)
    return sorted(q for q in content(question) if any(same(q, t) for t in theirs))
