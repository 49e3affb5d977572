"""The one wheel of pyproject.toml: operator and programs, with templates, contract and the built front end."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from te_devcluster import contexts
from te_devcluster.commands import run
from te_devcluster.console import step
from te_devcluster.paths import checkout

# The earliest day that a zip can say: equal sources make an equal wheel.
_DAY = "315532800"
_BUILD = "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"


def build_wheel(target: Path) -> Path:
    """Builds the wheel into a folder, by the setuptools of the lock and without a network; its place.

    It is made in a folder of its own: setuptools takes in whatever an earlier build left beside the sources.
    Raises CommandError with setuptools' last words, DevclusterError when the front end cannot be built.
    """
    root = checkout()
    contexts.frontend()
    target.mkdir(parents=True, exist_ok=True)
    with step("wheel"), tempfile.TemporaryDirectory() as folder:
        staged, made = Path(folder) / "source", Path(folder) / "made"
        left_out = [contexts.frontend_source()]
        trees = ("operator/tradingengine_operator", "apps/tradingengine", "contract")
        contexts.stage(
            staged,
            {name: root / name for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE")}
            | {name: (root / name, list(contexts.files_below(root / name, left_out))) for name in trees},
        )
        made.mkdir()
        command = [contexts.host_python(), "-c", _BUILD, str(made)]
        # Nothing of ours on the path: the build sees what the environment holds, as everybody's would.
        run(command, cwd=staged, env={"SOURCE_DATE_EPOCH": _DAY, "PYTHONPATH": ""}, timeout=120)
        (found,) = made.glob("*.whl")
        for old in target.glob("tradingengine-*.whl"):
            old.unlink()
        return Path(shutil.copy(found, target / found.name))
