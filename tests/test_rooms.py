"""The plan of the code: what may import what, and how much may stand in one place. It reads imports, type-only ones included."""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "gradlens"
MOST_MODULES_AT_THE_ROOT = 8
MOST_FILES_IN_A_FOLDER = 24
MOST_LINES = 300


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in PACKAGE.rglob("*.py")}


def imported_by(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports by a relative name"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else str(node.module) for name in names}
    return found & MODULES.keys()


def room_of(module: str) -> str:
    """The folder of a module. The front of a package, and a module beside rooms, is a room of its own."""
    path = MODULES[module]
    beside_rooms = any(inner.is_dir() and (inner / "__init__.py").exists() for inner in path.parent.iterdir())
    return module if path.name == "__init__.py" or beside_rooms else module.rpartition(".")[0]


def circle(arrows: dict[str, set[str]]) -> list[str]:
    """Returns a way from a room back to itself, or nothing."""
    done: set[str] = set()

    def search(room: str, way: list[str]) -> list[str]:
        if room in way:
            return [*way[way.index(room) :], room]
        if room in done:
            return []
        for other in sorted(arrows.get(room, ())):
            if found := search(other, [*way, room]):
                return found
        done.add(room)
        return []

    return next((found for room in sorted(arrows) if (found := search(room, []))), [])


def test_imports_between_rooms_go_one_way():
    arrows = defaultdict(set)
    for module, path in MODULES.items():
        arrows[room_of(module)] |= {room_of(other) for other in imported_by(path)} - {room_of(module)}
    assert circle(arrows) == []


def test_a_circle_is_found():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]


def test_no_room_imports_a_private_module_of_another():
    private = [
        (module, other)
        for module, path in MODULES.items()
        for other in imported_by(path)
        if other.rpartition(".")[2].startswith("_")
        and other.rpartition(".")[0] not in (module, module.rpartition(".")[0])
    ]
    assert private == []


def test_few_modules_stand_at_the_root():
    assert len(list(PACKAGE.glob("*.py"))) <= MOST_MODULES_AT_THE_ROOT


def test_folders_can_be_seen_at_a_glance():
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    assert {
        str(folder): n for folder in folders if (n := len(list(folder.glob("*.py")))) > MOST_FILES_IN_A_FOLDER
    } == {}


def test_no_module_beside_the_command_hides_one_of_python():
    # `python -m gradlens dashboard` has the package's folder on its path: Streamlit puts it there.
    folders = PACKAGE, ROOT / "app" / "gradlens_dashboard"
    names = {path.stem for folder in folders for path in folder.glob("*.py")}
    names |= {path.parent.name for folder in folders for path in folder.glob("*/__init__.py")}
    assert names & sys.stdlib_module_names <= {"__init__", "__main__"}


# Of these the same thing is meant wherever they are defined, or each framework has its own.
SAME = {"Floats", "LensCallback"}


def test_the_name_of_a_class_or_type_means_one_thing():
    homes = defaultdict(set)
    for module, path in MODULES.items():
        for node in ast.parse(path.read_text()).body:
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            names = (
                [node.name] if isinstance(node, ast.ClassDef) else [t.id for t in targets if isinstance(t, ast.Name)]
            )
            for name in names:
                if name[0].isupper() and not name.isupper():  # constants such as MOST are their module's own
                    homes[name].add(module)
    assert {name: found for name, found in homes.items() if len(found) > 1 and name not in SAME} == {}


def test_no_file_is_long():
    paths = (path for folder in ("gradlens", "app", "experiments", "tests") for path in (ROOT / folder).rglob("*.py"))
    lines = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in paths}
    assert {name: n for name, n in lines.items() if n > MOST_LINES} == {}


def test_tests_share_pieces_that_are_no_tests():
    imports = re.compile(r"^\s*(?:from|import) tests\.[\w.]*\btest_\w+", re.MULTILINE)
    assert [str(path) for path in (ROOT / "tests").rglob("*.py") if imports.search(path.read_text())] == []


# The part of a room's files that have a test of their own name in the same place. Scenarios, and what several files do
# together, are tested elsewhere.
TESTED = 2 / 3
HOMES = {PACKAGE: ROOT / "tests", ROOT / "app" / "gradlens_dashboard": ROOT / "tests" / "app"}


def does_something(source: str) -> bool:
    """Says whether a file has functions or methods, or is a script; else it has types, protocols and constants only."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef):
            protocol = any("Protocol" in ast.unparse(base) for base in node.bases)
            if not protocol and any(isinstance(member, ast.FunctionDef) for member in node.body):
                return True
        elif isinstance(node, ast.Expr):
            if not isinstance(node.value, ast.Constant):
                return True
        elif isinstance(node, (ast.FunctionDef, ast.With, ast.For)):
            return True
    return False


def test_each_room_has_tests_named_after_its_files():
    tested, files = defaultdict(int), defaultdict(int)
    for home, tests in HOMES.items():
        for path in home.rglob("*.py"):
            if path.name.startswith("__") or not does_something(path.read_text()):
                continue
            place = path.relative_to(home)
            room = home.name if len(place.parts) == 1 else f"{home.name}/{place.parts[0]}"
            files[room] += 1
            tested[room] += (tests / place).with_name(f"test_{place.name.lstrip('_')}").exists()
    assert len(files) > 15
    assert {room: f"{tested[room]} of {n}" for room, n in files.items() if tested[room] < TESTED * n} == {}


def test_a_file_of_types_alone_needs_no_test():
    assert not does_something(
        '"""Types."""\nSIZE = 3\nclass Engine(Protocol):\n    def arm(self): ...\nclass E(Exception):\n    size = 1\n'
    )
    assert does_something("class A:\n    def f(self): ...")
    assert does_something("def f(): ...")
    assert does_something("print(1)")
