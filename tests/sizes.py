"""List functions and classes that are too large to understand at once.

    pip install libclang && python tests/sizes.py     # --functions 60 --members 20 are the limits

Lines of a function are counted from its signature to its end, without its docstring. Members of a class are its fields
and methods. C++ is parsed by libclang, Python by ast.
"""

from __future__ import annotations

import argparse
import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
Finding = tuple[int, str, str]  # size, kind, where


def fields_of(node: ast.ClassDef) -> set[str]:
    """Return the names of annotated fields and of attributes that methods set."""
    annotated = [n.target for n in node.body if isinstance(n, ast.AnnAssign)]
    fields = {target.id for target in annotated if isinstance(target, ast.Name)}
    for n in ast.walk(node):
        if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store) and isinstance(n.value, ast.Name):
            fields.add(n.attr)
    return fields


def python_sizes() -> Iterator[Finding]:
    """Yield the sizes of all functions and classes of the package."""
    for path in sorted((ROOT / "src").rglob("*.py")):
        where = path.relative_to(ROOT)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.end_lineno:
                docstring = node.body[0]
                has_docstring = ast.get_docstring(node) is not None and docstring.end_lineno
                start = docstring.end_lineno if has_docstring else node.body[0].lineno - 1
                yield node.end_lineno - (start or 0), "function", f"{where}:{node.lineno} {node.name}"
            elif isinstance(node, ast.ClassDef):
                methods = {n.name for n in node.body if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))}
                yield len(methods | fields_of(node)), "class", f"{where}:{node.lineno} {node.name}"


def cpp_sizes() -> Iterator[Finding]:
    """Yield the sizes of all functions and classes of the C++ library, each once."""
    from clang import cindex  # type: ignore[import-untyped,import-not-found,unused-ignore]

    kinds = cindex.CursorKind
    functions = (kinds.FUNCTION_DECL, kinds.CXX_METHOD, kinds.FUNCTION_TEMPLATE, kinds.CONSTRUCTOR)
    classes = (kinds.CLASS_DECL, kinds.STRUCT_DECL, kinds.CLASS_TEMPLATE)
    members = (kinds.FIELD_DECL, kinds.CXX_METHOD, kinds.FUNCTION_TEMPLATE, kinds.CONSTRUCTOR)
    seen: set[str] = set()

    def walk(cursor: Any) -> Iterator[Finding]:
        for child in cursor.get_children():
            file = child.location.file
            if file is not None and "cpp/tinypyr" not in str(Path(file.name).resolve()):
                continue
            if child.is_definition() and child.kind in (*functions, *classes) and file is not None:
                where = f"{Path(file.name).resolve().relative_to(ROOT)}:{child.location.line} {child.spelling}"
                if where not in seen:
                    seen.add(where)
                    if child.kind in functions:
                        yield child.extent.end.line - child.extent.start.line + 1, "function", where
                    else:
                        yield sum(c.kind in members for c in child.get_children()), "class", where
            yield from walk(child)

    for source in sorted((ROOT / "cpp/tinypyr").glob("*.cpp")):
        unit = cindex.Index.create().parse(str(source), ["-std=c++17", f"-I{ROOT / 'cpp'}", "-DTINYPYR_BASE_ONLY"])
        yield from walk(unit.cursor)


def main() -> None:
    parser = argparse.ArgumentParser(description="List large functions and classes.")
    parser.add_argument("--functions", type=int, default=60, help="lines (default: 60)")
    parser.add_argument("--members", type=int, default=20, help="members of a class (default: 20)")
    arguments = parser.parse_args()
    limits = {"function": arguments.functions, "class": arguments.members}
    for language, sizes in (("Python", python_sizes), ("C++", cpp_sizes)):
        found = list(sizes())
        large = sorted((entry for entry in found if entry[0] > limits[entry[1]]), reverse=True)
        counts = {kind: sum(entry[1] == kind for entry in found) for kind in limits}
        print(f"{language}: {counts['function']} functions, {counts['class']} classes; {len(large)} beyond the limits")
        for size, kind, where in large:
            print(f"  {size:4} {'lines' if kind == 'function' else 'members'}  {where}")


if __name__ == "__main__":
    main()
