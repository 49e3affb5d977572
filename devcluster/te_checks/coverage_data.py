"""Whether the coverage that the last test runs left behind speaks of the product as it is now."""

from __future__ import annotations

from pathlib import Path

from te_devcluster.errors import DevclusterError

from te_checks.linters import tracked_files

#: The targets that measure; each leaves `.coverage.NAME`.
MEASURED = ("unit", "integration", "cluster")
_PRODUCT = ("operator", "apps")


def check_coverage_data(root: Path) -> int:
    """0 when the data are newer than the product's sources; else DevclusterError, with the targets to run.

    Figures of an older product could pass although what was added since is not tested at all.
    """
    newest = max(_sources(root), key=lambda path: path.stat().st_mtime_ns)
    changed = newest.stat().st_mtime_ns
    faults: dict[str, str] = {}
    for name in MEASURED:
        data = root / f".coverage.{name}"
        if not data.exists():
            faults[name] = f"{data.name} is missing"
        elif data.stat().st_mtime_ns < changed:
            faults[name] = f"{data.name} is older than {newest.relative_to(root)}"
    if faults:
        raise DevclusterError("; ".join(faults.values()), f"make {' '.join(faults)} coverage")
    return 0


def _sources(root: Path) -> list[Path]:
    """The product's Python files; a checkout without any is none of ours."""
    found = [
        path for path in tracked_files(root) if path.suffix == ".py" and path.relative_to(root).parts[0] in _PRODUCT
    ]
    if not found:
        raise DevclusterError(f"{root} has no Python below {' and '.join(_PRODUCT)}")
    return found
