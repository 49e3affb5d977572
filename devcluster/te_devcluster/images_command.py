"""`devcluster images`: the product's images from the command line."""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

from te_devcluster import images
from te_devcluster.bases import BASES, SUITE, packages
from te_devcluster.console import say, step
from te_devcluster.contexts import frontend
from te_devcluster.recipes import parse_base
from te_devcluster.wheel import build_wheel

EXAMPLES = (
    "images",
    "images --only apps --only edge --tag 0.2.0",
    "images --only apps --tag 0.2.1 --overlay demo/bad_release",
    "images --rootfs postgres redis",
    "images --contexts build/images --base python=python@sha256:...    # then: docker build build/images/apps",
    "images --packages",
    "images --wheel build/wheel",
)
SUMMARY = f"build the product's images on Debian ({SUITE}), without network inside; what is there already costs nothing"


def _tag(text: str) -> str:
    if not re.fullmatch(r"[0-9A-Za-z][0-9A-Za-z.-]{0,127}", text):
        raise argparse.ArgumentTypeError(f"`{text}` is no version: use letters, digits, dots and dashes")
    return text


def add_options(command: argparse.ArgumentParser) -> None:
    """The options of `devcluster images`."""
    names = list(images.IMAGES)
    command.add_argument("--only", action="append", default=[], choices=names, metavar="NAME", help=", ".join(names))
    command.add_argument(
        "--tag", type=_tag, default=None, metavar="VERSION", help="default: the version in pyproject.toml"
    )
    command.add_argument("--overlay", type=Path, metavar="FOLDER", help="build FOLDER's Dockerfile on top of one image")
    command.add_argument("--rootfs", nargs="+", default=[], choices=names, metavar="NAME", help="only unpack these")
    command.add_argument("--contexts", type=Path, metavar="FOLDER", help="only write the build contexts")
    command.add_argument(
        "--base",
        action="append",
        default=[],
        metavar="NAME=IMAGE@sha256:...",
        help="a public image by digest that the contexts of base NAME (python, postgres) are to stand on",
    )
    command.add_argument(
        "--packages", action="store_true", help="only say which Debian packages each base holds, in which version"
    )
    command.add_argument("--wheel", type=Path, metavar="FOLDER", help="only build the wheel of operator and programs")
    command.add_argument("--frontend", action="store_true", help="only build the dashboard's front end")
    command.add_argument("--load", action="store_true", help="bring the images into the running cluster's nodes too")
    command.add_argument("--output", choices=["text", "json"], default="text")


def execute(arguments: argparse.Namespace) -> int:
    """Runs `devcluster images`; stdout has one line per image (name, archive) or per folder."""
    if arguments.base and not arguments.contexts:
        sys.stderr.write("error: --base is for --contexts: images built here stand on Debian of our own\n")
        return 2
    if arguments.packages:
        return _packages(arguments)
    if arguments.frontend or arguments.contexts or arguments.rootfs or arguments.wheel:
        return _folders(arguments)
    with step("images"):
        if arguments.overlay:
            if len(arguments.only) != 1 or not arguments.tag:
                sys.stderr.write("error: --overlay needs one --only NAME and a --tag of its own\n")
                return 2
            built = [images.build_overlay(arguments.only[0], arguments.tag, arguments.overlay.resolve())]
        else:
            built = images.build_images(arguments.only, arguments.tag or "")
    if arguments.load:
        from te_devcluster import cluster
        from te_devcluster.images_in import load_images

        cluster.require_running()
        load_images([image.archive for image in built])
    if arguments.output == "json":
        _answer(json.dumps([{"name": image.name, "archive": str(image.archive)} for image in built], indent=1))
    else:
        _answer("\n".join(f"{image.name}\t{image.archive}" for image in built))
    return 0


def _folders(arguments: argparse.Namespace) -> int:
    folders = []
    if arguments.frontend:
        folders.append(frontend())
    if arguments.contexts:
        images.write_contexts(arguments.contexts, dict(parse_base(text) for text in arguments.base))
        folders.append(arguments.contexts)
    if arguments.wheel:
        folders.append(build_wheel(arguments.wheel))
    folders += [images.extract_rootfs(name) for name in arguments.rootfs]
    say(f"ready: {', '.join(folder.name for folder in folders)}")
    paths = [str(folder) for folder in folders]
    _answer(json.dumps(paths) if arguments.output == "json" else "\n".join(paths))
    return 0


def _packages(arguments: argparse.Namespace) -> int:
    chosen = {images.image_named(name).base for name in arguments.only} or set(BASES)
    found = {name: packages(base) for name, base in BASES.items() if name in chosen}
    rows = [f"{name}\t{package}\t{version}" for name, held in found.items() for package, version in held.items()]
    _answer(json.dumps(found, indent=1) if arguments.output == "json" else "\n".join(rows))
    return 0


def _answer(text: str) -> None:
    sys.stdout.write(f"{text}\n")
