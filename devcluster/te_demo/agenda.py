"""What `make demo` has to do on this machine: each step, and whether the cache holds what it makes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from te_devcluster import bases, contexts, doctor, images, system_images
from te_devcluster.errors import DevclusterError
from te_devcluster.outlook import Outlook, Step, figures, tools_step
from te_devcluster.paths import checkout


def missing_bases(names: Sequence[str]) -> list[str]:
    """The Debian root file systems that images are made of and the cache lacks."""
    needed = {images.IMAGES[name].base for name in names}
    return sorted(name for name in needed if not bases.BASES[name].tarball().is_file())


def missing_images() -> list[str]:
    """The product's images whose archives the cache lacks."""
    return [name for name, image in images.IMAGES.items() if not images.is_built(image)]


def system_images_step() -> Step:
    """The images of the cluster's own pods; those of tools that are not built yet are made too."""
    lacking = []
    for image in system_images.SYSTEM_IMAGES:
        try:
            there = system_images.archive_of(image).is_file()
        except DevclusterError:
            there = False
        if not there:
            lacking.append(image.binary)
    return Step("images of the cluster", figures()["system_image"] * len(lacking), ", ".join(lacking))


def images_step() -> Step:
    """The product's images, with the Debian bases, wheels and front end that they are made of."""
    measured, lacking = figures(), missing_images()
    debian = missing_bases(lacking)
    if not lacking:
        return Step("images", 0.0)
    locks = [checkout() / "requirements" / f"{name}.txt" for name in lacking if images.IMAGES[name].packages]
    wheels = [lock.stem for lock in locks if not contexts.wheels_folder(lock).is_dir()]
    pages = any(images.IMAGES[name].with_frontend for name in lacking) and not contexts.frontend_is_built()
    minutes = measured["image"] * len(lacking) + measured["base"] * len(debian)
    minutes += measured["wheels"] * len(wheels) + measured["front_end"] * pages
    parts = [", ".join(lacking)]
    parts += [f"on Debian bases to be made: {', '.join(debian)}"] if debian else []
    return Step("images", minutes, "; ".join(parts))


def environment_step() -> Step:
    """The Python environment of the host, which `make` names."""
    place = os.environ.get("TRADINGENGINE_VENV")
    there = bool(place) and (Path(str(place)) / ".done").is_file()
    return Step("Python environment", 0.0 if there else figures()["environment"])


def packages_step(packages: Sequence[str]) -> Step:
    """Debian's packages."""
    return Step("Debian packages", figures()["debian_package"] * len(packages), ", ".join(packages))


def elsewhere(*, engine_is_there: bool) -> Outlook:
    """The demo on a cluster that is there: nothing is compiled, and how long images travel nobody here can know."""
    return Outlook(
        [
            environment_step(),
            images_step(),
            Step("images to the cluster", figures()["bring"], "longer where a registry is far"),
            Step("engine and prices", 0.0 if engine_is_there else figures()["elsewhere"]),
        ]
    )


def outlook(*, cluster_is_up: bool) -> Outlook:
    """The whole demo, from what is here now. Raises DevclusterError without a Go compiler, which preflight tells."""
    measured = figures()
    packages = doctor.missing_packages(doctor.examine_packages(tests=False))
    return Outlook(
        [
            packages_step(packages),
            environment_step(),
            tools_step(),
            system_images_step(),
            images_step(),
            Step("cluster and operator", 0.0 if cluster_is_up else measured["cluster"]),
            Step("engine and prices", measured["engine"]),
        ]
    )
