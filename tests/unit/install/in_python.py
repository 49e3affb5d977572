"""The commands that Python's text starts: lists of words, followed by name to the call that is given them.

A command carries the mark GO_ENVIRONMENT when each call that runs it is given an `env` with that in it. What is no
constant is the word VARIABLE.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

MARK = "GO_ENVIRONMENT"
UNKNOWN = "VARIABLE"
RUNNERS = ("run", "call", "check_call", "check_output", "Popen", "create_subprocess_exec")
SHELLS = ("system", "popen", "run", "check_output", "check_call")
Words = list[str]


@dataclass
class Scope:
    """A function, or what stands outside all of them: its nodes, and the words that each name of it stands for."""

    nodes: list[ast.AST]
    name: str = ""
    words: dict[str, Words] = field(default_factory=dict)
    own: set[str] = field(default_factory=set)
    environments: dict[str, str] = field(default_factory=dict)
    followed: set[str] = field(default_factory=set)
    """Names and functions whose words are judged where they are used."""

    def look(self, known: dict[str, Words], makers: dict[str, Words]) -> None:
        """Fills in the names; `known` are those of the module, `makers` the functions that return words."""
        self.words, self.own = dict(known), set()
        for node in self.nodes:
            if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name) and node.target.id in self.own:
                self.words[node.target.id] += self.of(node.value, makers)
            elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
                for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                    if not isinstance(target, ast.Name):
                        continue
                    self.environments[target.id] = ast.unparse(node.value)
                    if _is_words(node.value, makers) or isinstance(node.value, ast.Constant):
                        self.words[target.id] = self.of(node.value, makers)
                        self.own.add(target.id)

    def of(self, node: ast.expr, makers: dict[str, Words]) -> Words:
        """The words of an expression."""
        if isinstance(node, ast.List | ast.Tuple):
            return [word for each in node.elts for word in self.of(each, makers)]
        if isinstance(node, ast.Constant):
            return [node.value] if isinstance(node.value, str) else [UNKNOWN]
        if isinstance(node, ast.JoinedStr):
            return ["".join(str(each.value) if isinstance(each, ast.Constant) else UNKNOWN for each in node.values)]
        if isinstance(node, ast.Starred):
            return self.of(node.value, makers)
        if isinstance(node, ast.Name):
            return list(self.words.get(node.id, [UNKNOWN]))
        if isinstance(node, ast.BinOp):
            return self.of(node.left, makers) + self.of(node.right, makers)
        if isinstance(node, ast.IfExp):
            return self.of(node.body, makers) + self.of(node.orelse, makers)
        if isinstance(node, ast.Call):
            function = _last(node.func)
            if function in ("list", "tuple") and node.args:
                return self.of(node.args[0], makers)
            return list(makers.get(function, [UNKNOWN]))
        return [UNKNOWN]

    def returned(self) -> Words:
        """The words that a function makes for another; empty if none."""
        values = [node.value for node in self.nodes if isinstance(node, ast.Return) and node.value is not None]
        return [word for each in values if _is_words(each, {}) or self._is_own(each) for word in self.of(each, {})]

    def _is_own(self, node: ast.expr) -> bool:
        return isinstance(node, ast.Name) and node.id in self.own

    def marked(self, call: ast.Call) -> bool:
        """True when a call is given an environment that has the mark, itself or by one assignment."""
        given = [each.value for each in call.keywords if each.arg == "env"]
        texts = [self.environments.get(each.id, each.id) if isinstance(each, ast.Name) else ast.unparse(each)
                 for each in given]  # fmt: skip
        return any(MARK in text for text in texts)

    def commands(self, makers: dict[str, Words]) -> Iterator[Words]:
        """What this scope starts, with the marks; notes in `followed` what need not be judged elsewhere."""
        marks: dict[str, list[bool]] = {}
        for node in self.nodes:
            if isinstance(node, ast.Starred | ast.Return) and isinstance(node.value, ast.Name):
                self.followed.add(node.value.id)
            if isinstance(node, ast.Call):
                yield from self._of_call(node, makers, marks)
            elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
                self.followed.add(_last(node.value.func))
        for name in self.own - self.followed:
            given = marks.get(name, [])
            yield [*self.words[name], *([MARK] if given and all(given) else [])]

    def _of_call(self, call: ast.Call, makers: dict[str, Words], marks: dict[str, list[bool]]) -> Iterator[Words]:
        function, marked = _last(call.func), self.marked(call)
        if function == "parametrize":
            return  # words for a test, not a command
        for each in call.args:
            while isinstance(each, ast.Call) and _last(each.func) in ("list", "tuple") and each.args:
                each = each.args[0]
            if isinstance(each, ast.Name) and function in RUNNERS:
                marks.setdefault(each.id, []).append(marked)
            elif _is_words(each, makers):
                if isinstance(each, ast.Call):
                    self.followed.add(_last(each.func))
                yield [*self.of(each, makers), *([MARK] if marked else [])]
        first = call.args[0].value if call.args and isinstance(call.args[0], ast.Constant) else None
        if isinstance(first, str) and function in SHELLS:
            yield first.split()


def _last(function: ast.expr) -> str:
    return ast.unparse(function).rpartition(".")[2]


def _is_words(node: ast.expr, makers: dict[str, Words]) -> bool:
    if isinstance(node, ast.BinOp):
        return _is_words(node.left, makers) or _is_words(node.right, makers)
    return isinstance(node, ast.List | ast.Tuple) or (isinstance(node, ast.Call) and _last(node.func) in makers)


def scopes(tree: ast.AST) -> tuple[Scope, list[Scope]]:
    """What stands outside all functions, and each function."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    inside = {id(node) for function in functions for node in ast.walk(function)}
    outside = Scope([node for node in ast.walk(tree) if id(node) not in inside])
    return outside, [Scope(list(ast.walk(function)), function.name) for function in functions]


def lists_of_words(text: str) -> Iterable[Words]:
    """Each list of words in Python's text that may be a command."""
    outside, functions = scopes(ast.parse(text))
    outside.look({}, {})
    for scope in functions:
        scope.look(outside.words, {})
    makers = {scope.name: scope.returned() for scope in functions if scope.returned()}
    found: list[Words] = []
    for scope in (outside, *functions):
        scope.look(outside.words, makers)
        found += scope.commands(makers)
    followed = {name for scope in (outside, *functions) for name in scope.followed}
    return [*found, *(words for name, words in makers.items() if name not in followed)]
