"""Which module may import which. The tests see every import: within functions, for type checkers, of both names."""
import ast
import functools
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
MODULES = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in (ROOT / "src").rglob("*.py")}
MOVED = {name for name, path in MODULES.items() if path.read_text(encoding="utf-8").startswith('"""Moved to ')}

# room -> the rooms that it may import. A module beside the rooms is a room of its own. The cli may import all.
MAY_IMPORT = {
    "spec": (), "errors": (), "files": ("errors",), "packages": (), "protobuf": (),
    "network": ("protobuf", "spec", "errors", "files"),
    "data": ("spec", "errors", "files"),
    "video": ("spec", "errors", "files"),
    "report": ("data", "spec", "errors", "files"),
    "web": ("dehaze", "errors", "files"),
    "convert": ("spec", "errors", "files"),
    "distributed": ("spec", "errors", "files"),
    "device": ("distributed", "errors"),
    "runtime": ("network", "device", "packages", "protobuf", "spec", "errors", "files"),
    "dehaze": ("runtime", "network", "data", "video", "spec", "errors", "files"),
    "evaluate": ("dehaze", "data", "distributed", "report", "spec", "errors", "files"),
    "export": ("runtime", "network", "spec", "errors", "files"),
    "train": ("evaluate", "dehaze", "runtime", "network", "data", "distributed", "device", "spec", "errors", "files"),
    "serve": ("dehaze", "data", "errors"),
    "__init__": ("dehaze",), "moved": (),
}

# What may be imported within a function, and why. Our own modules may be, if they import one of these.
LAZY = {
    "mindspore": "takes seconds; flags and files are checked first, and ONNX files run without it",
    "cv2": "takes a quarter of a second, and few functions need it",
    "av": "takes time, and photos do not need it",
    "skimage": "takes a second; it holds the photos of the demo and the reference's measures",
    "jinja2": "optional, for --report",
    "psutil": "belongs to training and export, which need many packages that photos do not need",
    "matplotlib": "takes a second, for one picture at the end of a training",
    "tensorboardX": "optional, for --tracker tensorboard",
    "wandb": "optional, for --tracker wandb",
    "pyiqa": "optional, for eval.py --iqa",
    "onnx": "optional, for --file_format ONNX",
    "onnxruntime": "optional, for --file_format ONNX",
    "tifffile": "takes a second, for TIFF files alone",
    "pillow_heif": "optional, for HEIC",
    "rawpy": "optional, for camera raw",
    "torch": "optional, for PyTorch weights",
    "safetensors": "optional, for PyTorch weights",
    "moxing": "exists in ModelArts alone",
    "fcntl": "does not exist on Windows",
    "resource": "does not exist on Windows",
}


class Import(NamedTuple):
    by: str  # the importing module
    of: str  # a module of ours, or a package
    is_lazy: bool  # within a function
    is_typing: bool  # for a type checker alone


def imports(name):
    """Every import in a module of ours, relative or absolute."""
    pending = [(ast.parse(MODULES[name].read_text(encoding="utf-8")), False, False)]
    while pending:
        node, is_lazy, is_typing = pending.pop()
        for of in imported(name, node):
            yield Import(name, of, is_lazy, is_typing)
        is_lazy = is_lazy or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        is_typing = is_typing or (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
        pending += [(child, is_lazy, is_typing) for child in ast.iter_child_nodes(node)]


def imported(name, node):
    """The modules that one import statement names."""
    if isinstance(node, ast.Import):
        return [as_ours(alias.name) for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    here = name.split(".") if MODULES[name].name == "__init__.py" else name.split(".")[:-1]
    if MODULES[name].name == "__init__.py":
        here = here[:-1]
    base = ".".join([*here[:len(here) - node.level + 1], *filter(None, [node.module])]) if node.level else node.module
    return [as_ours(f"{base}.{alias.name}", base) for alias in node.names]


def as_ours(name, otherwise=None):
    """The name under src/, also of a module that is imported as part of `aecrnet`."""
    for found in (name, otherwise or name):
        ours = "src" + found[len("aecrnet"):] if found.split(".")[0] == "aecrnet" else found
        if ours in MODULES:
            return ours
        if f"{ours}.__init__" in MODULES:
            return f"{ours}.__init__"
    return otherwise or name


ALL = {name: list(imports(name)) for name in MODULES}


def room(name):
    return name.split(".")[1]


def test_the_imports_of_a_module_are_found(tmp_path, monkeypatch):
    path = tmp_path / "module.py"
    path.write_text("import numpy\nfrom .entry import run_as_program\nfrom .. import spec\n"
                    "def f():\n    import src.files\n    from aecrnet.errors import one_line\n"
                    "if TYPE_CHECKING:\n    from ..network.health import Health\n")
    monkeypatch.setitem(MODULES, "src.cli.module", path)
    found = {(one.of, one.is_lazy, one.is_typing) for one in imports("src.cli.module")}
    assert found == {("numpy", False, False), ("src.cli.entry", False, False), ("src.spec", False, False),
                     ("src.files", True, False), ("src.errors", True, False), ("src.network.health", False, True)}


def test_no_modules_import_each_other_in_a_circle():
    edges = {name: {one.of for one in ALL[name]} & set(MODULES) for name in MODULES}
    while leaves := {name for name, needed in edges.items() if not needed & edges.keys()}:
        edges = {name: needed for name, needed in edges.items() if name not in leaves}
    assert not edges


def test_the_rooms_form_no_circle():
    rooms = {name: set(others) for name, others in MAY_IMPORT.items()}
    while leaves := {name for name, needed in rooms.items() if not needed & rooms.keys()}:
        rooms = {name: needed for name, needed in rooms.items() if name not in leaves}
    assert not rooms


@pytest.mark.parametrize("name", sorted({room(name) for name in set(MODULES) - MOVED} - {"cli"}))
def test_a_room_imports_only_rooms_below_it(name):
    found = {(one.by, one.of) for module in MODULES if room(module) == name and module not in MOVED
             for one in ALL[module] if one.of in MODULES}
    assert not {(by, of) for by, of in found if room(of) not in (name, *MAY_IMPORT[name])}


def test_no_module_imports_an_old_path():
    assert not {(one.by, one.of) for name in MODULES for one in ALL[name] if one.of in MOVED}


def test_only_what_is_slow_or_may_be_missing_is_imported_within_a_function():
    found = [one for name in set(MODULES) - MOVED for one in ALL[name] if one.is_lazy]
    unfounded = {(one.by, one.of) for one in found if not packages(one.of) & LAZY.keys()}
    assert not unfounded
    assert LAZY.keys() <= set().union(*(packages(one.of) for one in found))  # the table names nothing in vain


def packages(name):
    """The packages that the import of `name` loads."""
    if name not in MODULES:
        return {name.split(".")[0]}
    loaded, pending = set(), {name}
    while pending:
        module = pending.pop()
        loaded.add(module)
        pending |= {one.of for one in ALL.get(module, ()) if not one.is_lazy and not one.is_typing} - loaded
    return {module.split(".")[0] for module in loaded} - {"src"}


def test_what_is_imported_from_a_module_is_defined_there():
    """No module imports a name from a module that has imported the name itself."""
    found = []
    for name, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level:
                found += [(name, base, alias.name) for base, alias in zip(imported(name, node), node.names)
                          if base in MODULES and alias.name in names_imported_by(base)
                          and not base.endswith(f".{alias.name}")]
    assert not found


@functools.cache
def names_imported_by(name):
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    return {alias.asname or alias.name for node in ast.walk(tree)
            if isinstance(node, (ast.Import, ast.ImportFrom)) for alias in node.names}
