#!/usr/bin/env python3
"""The checks of this folder find what they are for and leave right code alone: python3 tests/lint/test_checks.py"""
import pathlib
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import check_coawait  # noqa: E402
import check_includes  # noqa: E402

WRONG = {
    "second co_await": "void f() { use(co_await a(), co_await b()); }",
    "?:": "void f() { auto s = ok ? co_await body() : fallback; }",
    "capturing lambda": "void f() { co_await run([text] { return text; }); }",
    "capturing lambda by reference": "void f() { co_await run(1, [&](int x) mutable -> int { return x; }); }",
    "braced initialiser as argument": "void f() { co_await add(event{.id = id, .text = text}); }",
    "braced initialiser around": "void f() { reply r{co_await body(), 200}; }",
    "braced initialiser before": "void f() { join(name{1}, co_await body()); }",
    "braced list": 'void f() { co_await send({{"a", "b"}}); }',
    "braced return": "task f() { co_return reply{co_await body(), 200}; }",
    "in a condition": "void f() { if (co_await ready(limit{5})) { go(); } }",
    "in a catch block": "void f() { try { g(); } catch (const error& e) { co_await h(); } }",
    "in a block of a catch block": "void f() { try { g(); } catch (...) { if (x) { co_await h(); } } }",
    "coroutine lambda that captures": "void f() { auto job = [this]() -> task { co_await h(); }; }",
    "coroutine lambda that captures and returns": "void f() { auto job = [x]() -> task { if (x) { co_return; } }; }",
    "template argument before a brace": "void f() { co_await add(std::vector<int>{1, 2}); }",
}
RIGHT = {
    "named arguments": "void f() { event e{.id = id, .text = text}; co_await add(std::move(e)); }",
    "named lambda": "void f() { auto job = [text] { return text; }; co_await run(std::move(job)); }",
    "one after the other": "void f() { auto a = co_await x(); auto b = co_await y(); }",
    "if instead of ?:": "void f() { std::string s = fallback; if (ok) s = co_await body(); }",
    "a condition and its block": "void f() { while (co_await next()) { point p{1, 2}; int n = p.x ? 1 : 2; } }",
    "a range": "void f() { auto list = co_await all(); for (auto& x : list) { use(x); } }",
    "in a try block": "void f() { try { co_await h(); } catch (...) { note(); } co_await after(); }",
    "a lambda without captures": "void f() { co_await run([] { return 1; }); }",
    "a coroutine lambda without captures": "void f() { auto job = [](int n) -> task { co_await h(n); }; }",
    "a subscript": "void f() { co_await list[index]->run(); }",
    "in a comment or a string": 'void f() { g("co_await x ? {y} : z"); /* co_await a{b} */ } // co_await c{d}',
    "in a raw string": 'void f() { g(R"x(co_await a{b} ? " : c)x"); }',
    "a trailing return type": "auto f(int n) -> awaitable<void> { co_await g(n); }",
    "a member function": "struct s { awaitable<void> f() const { co_await g(); } int n{0}; };",
    "a constructor before it": "struct s { s() : a_{1}, b_(2) {} awaitable<void> f() { co_await g(); } };",
    "a namespace": "namespace a::b { awaitable<void> f() { co_await g(); } }",
    "a character": "void f() { char c = '{'; co_await g('\\''); int n = 1'000; }",
}


class coawait(unittest.TestCase):
    def test_wrong(self):
        for name, source in WRONG.items():
            with self.subTest(name):
                self.assertTrue(check_coawait.check(source), source)

    def test_right(self):
        for name, source in RIGHT.items():
            with self.subTest(name):
                self.assertEqual(check_coawait.check(source), [], source)

    def test_lines_and_exit_status(self):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "a.cpp"
            file.write_text("// one\nvoid f()\n{\n    co_await add(event{1});\n}\n")
            run = subprocess.run([sys.executable, HERE / "check_coawait.py", file], capture_output=True, text=True)
            self.assertEqual(run.returncode, 1)
            self.assertIn("a.cpp:4: ", run.stdout)
            file.write_text("void f()\n{\n    co_await add(e);\n}\n")
            self.assertEqual(subprocess.run([sys.executable, HERE / "check_coawait.py", file]).returncode, 0)


class includes(unittest.TestCase):
    def findings(self, files):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for name, text in files.items():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_text(text)
            return check_includes.findings(root)

    def test_wrong(self):
        cases = [
            ("src/core/a.cpp", "#include <dtbridge/rules/policy.hpp>"),
            ("src/poll/a.cpp", "#include <dtbridge/deliver/options.hpp>"),
            ("src/deliver/a.cpp", '#include "dtbridge/poll/poller.hpp"'),
            ("include/dtbridge/rules/a.hpp", "#  include <dtbridge/archive/archive.hpp>"),
            ("src/app/a.hpp", "#include <boost/beast/http.hpp>"),
            ("src/net/a.hpp", "#include <boost/asio/ssl.hpp>"),
            ("src/config/a.hpp", "#include <toml++/toml.h>"),
            ("src/config/a.cpp", "#include <toml++/toml.h>"),
            ("src/toml/a.cpp", "#include <toml++/toml.h>"),
            ("src/toml/a.cpp", "#include <dtbridge/rules/policy.hpp>"),
            ("src/cluster/a.cpp", "#include <dtbridge/archive/archive.hpp>"),
            ("src/db/a.hpp", "#include <sqlite3.h>"),
            ("src/archive/a.cpp", "#include <sqlite3.h>"),
            ("src/rules/a.cpp", "#include <boost/asio/post.hpp>"),
            ("include/dtbridge/net/a.hpp", "#include <openssl/ssl.h>"),
            ("src/other/a.cpp", "#include <string>"),
            ("src/app/a.cpp", "#include <dtbridge/nowhere/a.hpp>"),
        ]
        for name, text in cases:
            with self.subTest(name + " " + text):
                self.assertEqual(len(self.findings({name: "#pragma once\n" + text + "\n"})), 1)

    def test_private_headers(self):
        files = {"src/rules/keys.hpp": "#pragma once\n", "src/app/a.cpp": "#include <rules/keys.hpp>\n"}
        self.assertEqual(len(self.findings(files)), 1)
        files = {"src/rules/keys.hpp": "#pragma once\n", "src/rules/a.cpp": "#include <rules/keys.hpp>\n"}
        self.assertEqual(self.findings(files), [])

    def test_right(self):
        files = {
            "src/deliver/a.cpp": "#include <dtbridge/archive/archive.hpp>\n#include <dtbridge/rules/policy.hpp>\n",
            "src/config/a.cpp": "#include <dtbridge/poll/options.hpp>\n#include <dtbridge/toml/document.hpp>\n",
            "src/toml/document.cpp": "#include <dtbridge/core/text.hpp>\n#include <toml++/toml.h>\n",
            "src/net/a.cpp": "#include <boost/beast/http.hpp>\n#include <boost/asio/ssl.hpp>\n",
            "include/dtbridge/core/a.hpp": "#include <dtbridge/core/text.hpp>\n#include <string>\n",
            "src/db/a.cpp": "#include <sqlite3.h>\n// #include <dtbridge/app/x.hpp>\n",
        }
        self.assertEqual(self.findings(files), [])

    def test_an_empty_tree_is_a_finding(self):
        self.assertEqual(len(self.findings({"README.md": "x"})), 1)


if __name__ == "__main__":
    unittest.main()
