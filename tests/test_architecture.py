"""Which module may import which."""
import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MODULES = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in (ROOT / "src").rglob("*.py")}
IMPORT = (ast.Import, ast.ImportFrom)


def imports(name, of=ast.walk):
    """{module of src/: line} for each import of a module. `of` lists the nodes of its syntax tree."""
    found = {}
    for node in of(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = ".".join([*name.split(".")[:-node.level], *filter(None, [node.module])])
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                found[whole if whole in MODULES else base] = node.lineno
    return found


def at_import(tree):
    """The nodes that run when a module is imported, without those for a type checker alone."""
    pending = list(tree.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        yield node
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            pending.extend(ast.iter_child_nodes(node))


def test_no_modules_import_each_other_in_a_circle():
    edges = {name: set(imports(name, at_import)) & set(MODULES) for name in MODULES}
    while leaves := {name for name, needed in edges.items() if not needed & edges.keys()}:
        edges = {name: needed for name, needed in edges.items() if name not in leaves}
    assert not edges


def test_no_module_imports_a_command():
    commands = {f"src.cli.{name}" for name in ("train", "eval", "infer", "export", "launch", "cloud")}
    found = [(name, line) for name in MODULES if not name.startswith("src.cli.") and name != "src.launch"
             for module, line in imports(name).items() if module in commands]
    assert not found


@pytest.mark.parametrize("room, others", [
    ("data", ("train", "dehaze", "evaluate", "export", "distributed", "video", "report")),
    ("network", ("train", "dehaze", "evaluate", "export", "runtime", "distributed", "video", "report")),
    ("export", ("train", "dehaze", "evaluate", "video", "report")),
    ("distributed", ("data", "train", "dehaze", "evaluate", "export", "video", "report")),
    ("report", ("train", "dehaze", "evaluate", "export", "distributed", "video")),
    ("video", ("data", "train", "dehaze", "evaluate", "export", "distributed", "report"))])
def test_a_room_stays_out_of_the_others(room, others):
    found = [(name, line) for name in MODULES if name.startswith(f"src.{room}.")
             for module, line in imports(name).items() if module.split(".")[1] in others]
    assert not found


def test_what_is_imported_from_a_module_is_defined_there():
    """No module imports a name from a module that has imported the name itself."""
    found = []
    for name, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level:
                base = ".".join([*name.split(".")[:-node.level], *filter(None, [node.module])])
                if base in MODULES:
                    found += [(name, base, alias.name) for alias in node.names
                              if alias.name in names_imported_by(base)]
    assert not found


def names_imported_by(name):
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    return {alias.asname or alias.name for node in ast.walk(tree) if isinstance(node, IMPORT) for alias in node.names}
