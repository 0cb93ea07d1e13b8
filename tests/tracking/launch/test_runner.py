"""Programs run by `gradlens track` behave as under `python`: the same output, errors, exit code and signals."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import pytest

from tests.tracking.processes import Outcome, run


def plain(cwd: Path, *program: str, **environment: str) -> Outcome:
    """Runs ``python program...`` in a fresh interpreter, whose every habit counts here."""
    return run([sys.executable, *program], cwd, **environment)


def tracked(cwd: Path, *program: str, **environment: str) -> Outcome:
    """Runs ``gradlens track program...``, likewise."""
    return run([str(Path(sys.executable).with_name("gradlens")), "track", *program], cwd, **environment)


# What a program finds around it.
SURROUNDINGS = """
import sys, pickle, inspect, warnings
class Own: pass
def of_loader(loader): return type(loader).__name__
print(sys.argv, sys.path[0], __name__, __file__, repr(__package__), __doc__, of_loader(__loader__))
print(__spec__ and (__spec__.name, __spec__.origin))
print(sys.modules["__main__"].__dict__ is globals(), __builtins__, __annotations__, sorted(k for k in globals() if k[0] == "_"))
print(type(pickle.loads(pickle.dumps(Own()))) is Own, inspect.getsource(Own).strip(), warnings.filters)
"""

PROGRAMS = {
    "surroundings": SURROUNDINGS,
    "exit code": "import sys; print('out'); sys.exit(3)",
    "exit text": "import sys; sys.exit('that went wrong')",
    "exit none": "import sys; sys.exit(None)",
    "exit object": "raise SystemExit(['odd'])",
    "exit in a function that cleans up": "import sys\ntry:\n  sys.exit(4)\nfinally:\n  print('cleaned')",
    "exception": "def f():\n  raise ValueError('x')\nf()",
    "chain": "try:\n  1 / 0\nexcept ZeroDivisionError as e:\n  raise RuntimeError('no') from e",
    "group": "def f():\n  raise KeyError(1)\ntry:\n  f()\nexcept KeyError as e:\n  raise ExceptionGroup('g', [e, ValueError(2)])",
    "syntax error": "x = (1,\nprint('a'\n",
    "coding": "# -*- coding: latin-1 -*-\nprint('fine')",
    "future": "from __future__ import annotations\ndef f(x: undefined): pass\nprint(f.__annotations__)",
    "interrupt": "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(5)",
    "interrupt caught": "import os, signal\ntry:\n  os.kill(os.getpid(), 2)\nexcept KeyboardInterrupt:\n  print('on')",
    "terminated": "import os, signal\nprint('a', flush=True)\nos.kill(os.getpid(), signal.SIGTERM)",
    "atexit": "import atexit, sys\natexit.register(print, 'first')\natexit.register(print, 'second')\nprint('end')\nsys.exit(5)",
    "atexit pickles": "import atexit, pickle\nclass A: pass\natexit.register(lambda: print("
    "type(pickle.loads(pickle.dumps(A()))).__module__))",
    "threads": "import threading, time\nt = threading.Timer(0.3, print, ['late'])\nt.start()\nprint('early')",
    "excepthook": "import sys\nsys.excepthook = lambda *a: print('hook', a[0], a[2].tb_lineno, a[2].tb_next)\n1 / 0",
    "last exception": "import atexit, sys\natexit.register(lambda: print(sys.last_type, sys.last_value))\n1 / 0",
    "warning": "import warnings\nwarnings.warn('mind')\nwarnings.warn('old', DeprecationWarning)",
    "stderr redirected": "import sys, io\nsys.stderr = io.StringIO()\nsys.stderr.write('x')\nprint(sys.stderr.getvalue())",
    "os._exit": "import os\nprint('x', flush=True)\nos._exit(7)",
    "fork": "import os, sys\npid = os.fork()\nif not pid: sys.exit(0)\nprint(os.waitpid(pid, 0)[1])",
    "chdir": "import os\nos.chdir('/')\ndef f(): raise ValueError(__file__)\nf()",
    "removes main": "import sys\ndel sys.modules['__main__']\nprint('still here')",
}


def assert_same(a: Outcome, b: Outcome) -> None:
    assert a.out == b.out
    assert a.err == b.err
    assert a.code == b.code


@pytest.mark.parametrize("name", PROGRAMS)
def test_program_behaves_as_under_python(name, tmp_path):
    (tmp_path / "program.py").write_text(PROGRAMS[name])

    program = ("program.py", "--epochs", "3", "-m", "--", "x")
    assert_same(tracked(tmp_path, *program), plain(tmp_path, *program))


def test_exit_codes_are_those_that_python_documents(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAMS["interrupt"])
    assert tracked(tmp_path, "program.py").code == -2
    (tmp_path / "program.py").write_text(PROGRAMS["exit text"])
    assert tracked(tmp_path, "program.py").code == 1
    (tmp_path / "program.py").write_text(PROGRAMS["exit code"])
    assert tracked(tmp_path, "program.py").code == 3


def test_closing_the_run_leaves_the_exit_status_of_an_interrupt(tmp_path):
    """What closes a run executes strings of code (imports of dataclasses do), after which Python would exit with 1."""
    (tmp_path / "program.py").write_text(
        "import os, signal, time, gradlens.tracking.launch.ending as ending\n"
        "ending.remove_if_empty = lambda folder: exec('pass')\n" + PROGRAMS["interrupt"]
    )
    assert tracked(tmp_path, "program.py").code == -2


@pytest.mark.parametrize("path", ["./sub/../sub/program.py", "link.py", "sub/program.py"])
def test_paths_are_taken_as_python_takes_them(path, tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "program.py").write_text("import sibling\n" + SURROUNDINGS)
    (tmp_path / "sub" / "sibling.py").write_text("")
    (tmp_path / "link.py").symlink_to(tmp_path / "sub" / "program.py")

    assert_same(tracked(tmp_path, path), plain(tmp_path, path))


@pytest.mark.parametrize("start", ["spawn", "forkserver", "fork"])
def test_worker_processes_find_the_classes_of_main(start, tmp_path):
    (tmp_path / "program.py").write_text(
        "import multiprocessing as mp, sys\n"
        "class Item:\n  def __init__(self, x): self.x = x\n"
        "def work(item): return Item((item.x, __name__, 'gradlens.tracking' in sys.modules))\n"
        "if __name__ == '__main__':\n"
        f"  with mp.get_context('{start}').Pool(2) as pool:\n"
        "    print([type(i) is Item and i.x for i in pool.map(work, [Item(1), Item(2)])], sys.argv)\n"
    )
    a, b = tracked(tmp_path, "program.py", "x"), plain(tmp_path, "program.py", "x")

    if start == "fork":
        assert "(1, '__main__', True)" in a.out
    else:
        # Children of a new interpreter run the program's code alone.
        assert_same(a, b)
        assert "(1, '__mp_main__', False), (2, '__mp_main__', False)" in a.out


def make_package(folder: Path) -> None:
    package = folder / "lab"
    (package / "deep").mkdir(parents=True)
    (package / "__init__.py").write_text("import sys; print('package', sys.argv)")
    (package / "__main__.py").write_text("from . import value\n" + SURROUNDINGS)
    (package / "value.py").write_text("")
    (package / "deep" / "__init__.py").write_text("")
    (package / "deep" / "train.py").write_text("from ..value import __name__ as other\nprint(other)\n" + SURROUNDINGS)
    (package / "fails.py").write_text("def f():\n  raise ValueError('x')\nf()")
    (folder / "single.py").write_text(SURROUNDINGS)


@pytest.mark.parametrize("module", ["single", "lab", "lab.__main__", "lab.deep.train"])
def test_modules_behave_as_under_python(module, tmp_path):
    make_package(tmp_path)

    assert_same(tracked(tmp_path, "-m", module, "--x", "-m"), plain(tmp_path, "-m", module, "--x", "-m"))


def test_traceback_of_a_module_shows_its_own_frames(tmp_path):
    make_package(tmp_path)
    a, b = tracked(tmp_path, "-m", "lab.fails"), plain(tmp_path, "-m", "lab.fails")

    own = b.err[b.err.index(f'  File "{tmp_path}') :]
    assert a.err == "Traceback (most recent call last):\n" + own
    assert a.code == b.code == 1


def test_folders_and_zip_files_run(tmp_path):
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "__main__.py").write_text(
        "import part\nimport sys\nprint(part.__name__, sys.argv, sys.path[0], __file__, repr(__package__))"
    )
    (folder / "part.py").write_text("")
    with zipfile.ZipFile(tmp_path / "app.zip", "w") as archive:
        for file in folder.iterdir():
            archive.write(file, file.name)

    for program in ("app", "app.zip"):
        assert_same(tracked(tmp_path, program, "a"), plain(tmp_path, program, "a"))


def test_python_flags_and_safe_path_hold(tmp_path):

    (tmp_path / "program.py").write_text(
        "import sys\nprint(sys.path[0], sys.flags.optimize, sys.warnoptions)\nassert False"
    )
    for flags in (["-P"], ["-O", "-W", "error"]):
        a = run([sys.executable, *flags, "-m", "gradlens", "track", "program.py"], tmp_path)
        assert_same(a, run([sys.executable, *flags, "program.py"], tmp_path))


def test_torch_is_not_imported_before_the_program_imports_it(tmp_path):
    (tmp_path / "program.py").write_text(
        "import os, sys\nprint('torch' in sys.modules, 'numpy' in sys.modules, 'pyarrow' in sys.modules)\n"
        "os.environ['OMP_NUM_THREADS'] = '1'\nimport torch\nprint(torch.get_num_threads(), type(torch.__loader__).__name__, "
        "type(torch.__spec__.loader).__name__, [type(f).__module__ for f in sys.meta_path if 'gradlens' in type(f).__module__])\n"
    )
    a = tracked(tmp_path, "program.py", OMP_NUM_THREADS="2")

    assert a.out == plain(tmp_path, "program.py", OMP_NUM_THREADS="2").out
    assert a.out.startswith("False False False\n1 ")
