#!/usr/bin/env python3
"""Flags what g++ 12 miscompiles in coroutines (GCC PR 107288) and coroutines that outlive what they captured.

In the full expression of a co_await there may be no second co_await, no ?:, no capturing lambda and no braced initialiser:
g++ 12 destroys such temporaries twice, at every level of optimisation and without a word. Name them in statements of their
own. Further: no co_await in a catch block, and no capturing lambda that is itself a coroutine (C++ Core Guidelines CP.51).

A finding is one line `file:line: what is wrong`. Usage: check_coawait.py [FILE ..] (default: src, include and tests).
"""
import pathlib
import re
import sys
from dataclasses import dataclass

TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*|/\*.*?\*/|^[ \t]*\#(?:[^\n\\]|\\.)*)
      | (?P<text>(?:u8|[uUL])?R"(?P<delimiter>[^()\s\\]{0,16})\(.*?\)(?P=delimiter)"
               | (?:u8|[uUL])?"(?:\\.|[^"\\\n])*"
               | (?:u8|[uUL])?'(?:\\.|[^'\\\n])+')
      | (?P<number>\.?\d(?:['\w.]|(?<=[eEpP])[+-])*)
      | (?P<name>[A-Za-z_]\w*)
      | (?P<sign>::|->|\[\[|\]\]|.)""",
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)

OPENING = {"(": ")", "[": "]", "{": "}"}
DECLARES_A_SCOPE = {"struct", "class", "union", "enum", "namespace", "extern"}
BEFORE_A_BLOCK = {")", "else", "do", "try", "const", "noexcept", "override", "final", "mutable", ";", ":"}


@dataclass
class Token:
    text: str
    line: int
    partner: int = -1  # index of the matching bracket
    role: str = ""  # of "{": block, lambda or init; of "[": captures, plain
    captures: bool = False  # of a lambda's "{" and of its "[": something is captured


def tokenize(source: str) -> list[Token]:
    tokens, line = [], 1
    for match in TOKEN.finditer(source):
        if match.lastgroup != "space":
            text = '""' if match.group("text") else match.group()
            # "]]" closes two subscripts more often than an attribute; brackets are matched one by one.
            parts = list(text) if text in ("[[", "]]") else [text]
            tokens.extend(Token(part, line) for part in parts)
        line += match.group().count("\n")
    return tokens


def match_brackets(tokens: list[Token]) -> None:
    open_at: list[int] = []
    for i, token in enumerate(tokens):
        if token.text in OPENING:
            open_at.append(i)
        elif token.text in OPENING.values() and open_at and OPENING[tokens[open_at[-1]].text] == token.text:
            token.partner = open_at.pop()
            tokens[token.partner].partner = i


def is_name(token: Token) -> bool:
    return bool(re.match(r"[A-Za-z_]", token.text))


def starts_lambda(tokens: list[Token], at: int) -> bool:
    """Whether the "[" at this place introduces a lambda: not a subscript, not an attribute, not a structured binding."""
    before = tokens[at - 1] if at else Token(";", 0)
    if before.text in (")", "]", "[", '""') or (at + 1 < len(tokens) and tokens[at + 1].text == "["):
        return False
    if is_name(before) and before.text not in ("return", "co_return", "co_await", "co_yield", "case", "else"):
        return False
    if before.text in ("&", "&&") or before.text == "auto":
        # `auto& [a, b] =` is a structured binding; `x && [..] {` is too rare to matter.
        return False
    return tokens[at].partner > 0


def lambda_body(tokens: list[Token], at: int) -> int:
    """The "{" of the lambda whose "[" is at this place, or -1."""
    i = tokens[at].partner + 1
    while i < len(tokens):
        text = tokens[i].text
        if text == "{":
            return i
        if text in (";", ")", "]", "}", ","):
            return -1
        i = tokens[i].partner + 1 if text in "([" and tokens[i].partner > i else i + 1
    return -1


def statement_start(tokens: list[Token], at: int) -> int:
    """The first token of the statement, declaration or member that the token at this place belongs to."""
    i = at - 1
    while i >= 0:
        token = tokens[i]
        if token.text in (")", "]") and token.partner >= 0:
            i = token.partner
        elif token.text == "}" and token.partner >= 0 and tokens[token.partner].role in ("init", "lambda"):
            i = token.partner
        elif token.text in (";", "}", "{"):
            break
        i -= 1
    return i + 1


def classify_braces(tokens: list[Token]) -> None:
    for i, token in enumerate(tokens):
        if token.text == "[" and starts_lambda(tokens, i):
            body = lambda_body(tokens, i)
            if body > 0:
                token.role, token.captures = "captures", token.partner > i + 1
                tokens[body].role, tokens[body].captures = "lambda", token.captures
    for i, token in enumerate(tokens):
        if token.text == "{" and not token.role:
            token.role = "block" if opens_block(tokens, i) else "init"


def opens_block(tokens: list[Token], at: int) -> bool:
    before = tokens[at - 1].text if at else ";"
    if before in BEFORE_A_BLOCK:
        return True
    if before in ("{", "}"):
        # A block within a block or after one; within an initialiser another initialiser.
        opening = at - 1 if before == "{" else tokens[at - 1].partner
        return opening < 0 or tokens[opening].role in ("block", "lambda")
    head = [t.text for t in tokens[statement_start(tokens, at) : at]]
    if head and (DECLARES_A_SCOPE & set(head[:1]) or (head[0] == "template" and DECLARES_A_SCOPE & set(head))):
        return "=" not in head
    # A trailing return type, or a constructor's last member initialiser is followed by the body only after ")" or "}".
    return "->" in head and ")" in head and head.index("->") > head.index(")") and "=" not in head


def full_expression(tokens: list[Token], at: int) -> list[int]:
    """Indices of the tokens around a co_await up to the next ";" or block, lambda bodies left out."""
    start = at - 1
    while start >= 0:
        token = tokens[start]
        if token.text == "}" and token.partner >= 0:
            if tokens[token.partner].role == "block":
                break
            start = token.partner
        elif token.text == ";" or (token.text == "{" and token.role != "init"):
            break
        start -= 1
    inside, i = [], start + 1
    while i < len(tokens):
        token = tokens[i]
        if i > at and (token.text == ";" or (token.text == "{" and token.role == "block")):
            break
        if i > at and token.text == "}" and token.partner < at and tokens[token.partner].role != "init":
            break
        inside.append(i)
        i = token.partner if token.text == "{" and token.role == "lambda" and token.partner > i else i
        i += 1
    return inside


def enclosing(tokens: list[Token], at: int) -> list[int]:
    """The "{" around a token, innermost first."""
    found, i = [], at - 1
    while i >= 0:
        if tokens[i].text in OPENING.values() and tokens[i].partner >= 0:
            i = tokens[i].partner
        elif tokens[i].text == "{":
            found.append(i)
        i -= 1
    return found


def is_catch(tokens: list[Token], brace: int) -> bool:
    before = brace - 1
    if before < 0 or tokens[before].text != ")" or tokens[before].partner < 1:
        return False
    return tokens[tokens[before].partner - 1].text == "catch"


def check(source: str) -> list[tuple[int, str]]:
    tokens = tokenize(source)
    match_brackets(tokens)
    classify_braces(tokens)
    found = []
    for i, token in enumerate(tokens):
        if token.text not in ("co_await", "co_return", "co_yield"):
            continue
        around = enclosing(tokens, i)
        for brace in around:
            if tokens[brace].role == "lambda":
                if tokens[brace].captures:
                    found.append((token.line, f"{token.text} in a lambda that captures: make it a named function"))
                break
            if token.text == "co_await" and is_catch(tokens, brace):
                found.append((token.line, "co_await in a catch block: note the error, leave the block, then await"))
        if token.text != "co_await":
            continue
        expression = full_expression(tokens, i)
        texts = [tokens[k].text for k in expression]
        if [k for k in expression if tokens[k].text == "co_await"][0] != i:
            found.append((token.line, "a second co_await in one statement: one to a statement"))
        if "?" in texts:
            found.append((token.line, "co_await beside ?: - use if and a named variable"))
        if any(tokens[k].role == "captures" and tokens[k].captures for k in expression):
            found.append((token.line, "co_await beside a capturing lambda: name the lambda on a line of its own"))
        if any(tokens[k].text == "{" and tokens[k].role == "init" for k in expression):
            found.append((token.line, "co_await beside a braced initialiser: name the value on a line of its own"))
    return sorted(set(found))


def main(arguments: list[str]) -> int:
    paths = [pathlib.Path(a) for a in arguments]
    if not paths:
        paths = sorted(p for folder in ("src", "include", "tests") for p in pathlib.Path(folder).rglob("*.[ch]pp"))
    status = 0
    for path in paths:
        for line, message in check(path.read_text(encoding="utf-8")):
            print(f"{path}:{line}: {message}")
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
