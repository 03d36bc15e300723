#!/usr/bin/env python3
"""Makes a manual page (mdoc) of a page of docs/, so that every command and key is described in one place.

    man.py docs/configuration.md OUT

The page says what it becomes in comments at its top: <!-- man: NAME SECTION DATE --> <!-- nd: one line --> and
<!-- see: dtbridge(1), .. -->. Understood is what the pages use: headings, paragraphs, lists, tables, code blocks, `code`,
**bold** and links. A table becomes a tagged list: its first column is the tag. Anything else is an error.
"""
import re
import sys


def escaped(text, code=False):
    """Characters that roff would take for its own."""
    text = text.replace("\\", "\\e")
    if code:
        for char, name in (("-", "\\-"), ("'", "\\(aq"), ("`", "\\(ga"), ("^", "\\(ha"), ("~", "\\(ti"), ('"', "\\(dq")):
            text = text.replace(char, name)
    return "".join(c if ord(c) < 127 else f"\\[u{ord(c):04X}]" for c in text)


def line_start(text):
    return "\\&" + text if text[:1] in (".", "'") else text


def inline(text):
    out = []
    for part in re.split(r"(`[^`]+`|\*\*[^*]+\*\*|\[[^\]]+\]\([^)]+\))", text):
        if part.startswith("`"):
            out.append("\\fB" + escaped(part[1:-1], code=True) + "\\fP")
        elif part.startswith("**"):
            out.append("\\fB" + escaped(part[2:-2]) + "\\fP")
        elif part.startswith("[") and "](" in part:
            out.append(escaped(part[1:part.index("](")].replace("`", "")))
        else:
            out.append(escaped(part))
    return "".join(out)


def sentences(text):
    """One line each, as roff wants it."""
    return "\n".join(line_start(s) for s in re.split(r"(?<=[\w)`\"*%][.?!])\s+(?=[A-Z`*\"\[])", text))


def paragraph(text):
    return "\n".join(line_start(s) for s in inline(sentences(text)).split("\n"))


def cells(line):
    return [c.strip().replace("\\|", "|") for c in re.split(r"(?<!\\)\|", line.strip().strip("|"))]


class Page:
    def __init__(self, source):
        self.lines = source.split("\n")
        self.facts = dict(re.findall(r"<!-- (man|nd|see): (.*?) -->", source))
        self.out = []
        self.fresh = True  # right behind a heading, where no paragraph macro may stand

    def put(self, *lines):
        self.out += lines

    def space(self):
        if not self.fresh:
            self.put(".Pp")
        self.fresh = False

    def head(self):
        name, section, date = self.facts["man"].split(" ", 2)
        self.put(".\\\" Made from docs/ by cmake/man.py.", f".Dd {date}", f".Dt {name.upper()} {section}", ".Os", ".Sh NAME",
                 f".Nm {name}", f".Nd {self.facts['nd']}")

    def foot(self):
        self.put(".Sh SEE ALSO")
        pages = sorted(re.findall(r"([a-z.-]+)\((\d)\)", self.facts["see"]), key=lambda page: page[::-1])
        for n, (name, section) in enumerate(pages):
            self.put(f".Xr {name} {section}" + (" ," if n + 1 < len(pages) else ""))

    def table(self, rows):
        heads = cells(rows[0])
        self.put(".Bl -tag -width Ds")
        for row in rows[2:]:
            fields = cells(row)
            self.put(".It " + inline(fields[0]))
            said = []
            for name, text in list(zip(heads, fields))[1:]:
                if text:
                    plain = name in ("", "meaning", "type") or len(heads) == 2
                    said.append(paragraph(text if plain else f"{name}: {text}"))
            self.put("\n.br\n".join(said) if said else "\\&")
        self.put(".El")

    def blocks(self):
        i = 0
        while i < len(self.lines):
            line = self.lines[i]
            if not line.strip() or line.startswith(("# ", "<!--")):
                i += 1
            elif line.startswith("## "):
                title = line[3:].replace("`", "")
                self.put(".Sh " + escaped(title if title.startswith("[") else title.upper()))
                self.fresh = True
                i += 1
            elif line.startswith("### "):
                self.put(".Ss " + inline(line[4:].replace("`", "")))
                self.fresh = True
                i += 1
            elif line.startswith("|"):
                end = self.until(i, lambda s: not s.startswith("|"))
                self.fresh = False  # a list makes its own space
                self.table(self.lines[i:end])
                i = end
            elif line.startswith(("```", "    ")):
                fenced = line.startswith("```")
                start = i + 1 if fenced else i
                end = self.until(start, (lambda s: s.startswith("```")) if fenced else
                                 (lambda s: s.strip() and not s.startswith("    ")))
                text = self.lines[start:end]
                while text and not text[-1].strip():
                    text.pop()
                self.put(".Bd -literal -offset indent")
                self.put(*(line_start(escaped(t if fenced else t[4:], code=True)) for t in text))
                self.put(".Ed")
                self.fresh = False
                i = end + 1 if fenced else end
            elif re.match(r"- |\d+\. ", line):
                i = self.list(i)
            else:
                end = self.until(i, lambda s: not s.strip() or s.startswith(("|", "#", "```", "- ")))
                self.space()
                self.put(paragraph(" ".join(s.strip() for s in self.lines[i:end])))
                i = end

    def list(self, i):
        numbered = self.lines[i][0].isdigit()
        self.fresh = False
        self.put(".Bl -enum" if numbered else ".Bl -bullet")
        while i < len(self.lines) and re.match(r"- |\d+\. ", self.lines[i]):
            end = self.until(i + 1, lambda s: not s.startswith("  ") or not s.strip())
            text = " ".join(s.strip() for s in self.lines[i:end])
            self.put(".It", paragraph(re.sub(r"^(- |\d+\. )", "", text)))
            i = end
        self.put(".El")
        return i

    def until(self, i, stop):
        while i < len(self.lines) and not stop(self.lines[i]):
            i += 1
        return i

    def text(self):
        self.head()
        self.blocks()
        self.foot()
        return "\n".join(self.out) + "\n"


def main():
    source, out = sys.argv[1:3]
    with open(source, encoding="utf-8") as f:
        page = Page(f.read())
    with open(out, "w", encoding="ascii") as f:
        f.write(page.text())


if __name__ == "__main__":
    main()
