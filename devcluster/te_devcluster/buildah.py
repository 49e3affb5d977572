"""A small door to buildah: images without a daemon, a registry or a network, in a storage of their own in the cache."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from te_devcluster.commands import run
from te_devcluster.paths import cache_root

# The storage driver's mounts end with the command. The empty network is what keeps a RUN step from fetching anything:
# with chroot isolation buildah itself leaves the host's network to it.
ALONE = ("unshare", "--mount", "--propagation", "private", "--net")


@dataclass(frozen=True)
class ImageConfig:
    """How the container of a made image starts."""

    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()
    user: str = ""
    workdir: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)

    def arguments(self) -> list[str]:
        """The options of `buildah config` that say the same."""
        options: list[str] = []
        if self.entrypoint:
            options += ["--entrypoint", json.dumps(list(self.entrypoint))]
        if self.command:
            options += ["--cmd", json.dumps(list(self.command))]
        if self.user:
            options += ["--user", self.user]
        if self.workdir:
            options += ["--workingdir", self.workdir]
        for name, value in sorted(self.env.items()):
            options += ["--env", f"{name}={value}"]
        for name, value in sorted(self.labels.items()):
            options += ["--label", f"{name}={value}"]
        return options


class Buildah:
    """One image storage. All calls are blocking; failures raise CommandError with buildah's own last words.

    Layers carry the time stamp 0, so equal content gives an equal image id.
    """

    def __init__(self, storage: Path | None = None) -> None:
        self.storage = storage or cache_root() / "buildah"

    def run(self, *arguments: str, timeout: float = 600.0) -> str:
        """Runs `buildah ARGUMENTS` on this storage and returns its standard output without the last newline.

        It runs in a mount namespace of its own and has no network, nor have the RUN steps of a build.
        """
        self.storage.mkdir(parents=True, exist_ok=True)
        return run([*ALONE, *self._program(), *arguments], env=self._environment(), timeout=timeout).stdout.strip()

    def _program(self) -> list[str]:
        return ["buildah", "--root", str(self.storage / "root"), "--runroot", str(self.storage / "run")]

    @staticmethod
    def _environment() -> dict[str, str]:
        return {"BUILDAH_ISOLATION": "chroot", "STORAGE_DRIVER": "overlay"}

    def image_id(self, name: str) -> str | None:
        """The id of a stored image, or None."""
        found = self.run("images", "--quiet", "--no-trunc", "--filter", f"reference={name}")
        return found.splitlines()[0] if found else None

    def digest(self, name: str) -> str:
        """The digest of a stored image's manifest, `sha256:` and 64 hex digits."""
        return self.run("inspect", "--type", "image", "--format", "{{.FromImageDigest}}", name)

    def image_from_files(self, name: str, files: Mapping[str, Path], config: ImageConfig) -> None:
        """Makes an image from nothing but `files` (path in the image -> path on the host; a folder is copied whole).

        A host path that ends in `.tar` is unpacked to its place in the image: that is how a root file system comes in.
        """
        container = self.run("from", "scratch")
        try:
            for target, source in files.items():
                verb = "add" if source.suffix == ".tar" else "copy"
                self.run(verb, "--quiet", container, str(source), target)
            options = config.arguments()
            if options:
                self.run("config", *options, container)
            self.run("commit", "--quiet", "--format", "oci", "--timestamp", "0", container, name)
        finally:
            self.run("rm", container)

    def build(
        self,
        name: str,
        dockerfile: Path,
        context: Path,
        build_args: Mapping[str, str] | None = None,
        timeout: float = 900.0,
    ) -> None:
        """Builds a Dockerfile. Base images come from this storage only: nothing is ever pulled."""
        arguments = ["bud", "--pull=never", "--format", "oci", "--timestamp", "0", "--layers", "--tag", name]
        for key, value in sorted((build_args or {}).items()):
            arguments += ["--build-arg", f"{key}={value}"]
        self.run(*arguments, "--file", str(dockerfile), str(context), timeout=timeout)

    def push(self, name: str, archive: Path) -> None:
        """Writes an image as an oci-archive tar that `devcluster load-image` takes, whole or not at all."""
        archive.parent.mkdir(parents=True, exist_ok=True)
        partial = archive.with_name(archive.name + ".partial")
        partial.unlink(missing_ok=True)
        self.run("push", "--quiet", "--format", "oci", name, f"oci-archive:{partial}:{name}")
        partial.replace(archive)

    def export(self, name: str, target: Path) -> None:
        """Copies an image's root file system to a folder that must not exist yet; numeric owners are kept."""
        container = self.run("from", "--pull-never", name)
        script = 'mounted=$("$@" mount "$CONTAINER") && cp --archive "$mounted" "$TARGET"'
        command = [*ALONE, "sh", "-c", script, "sh", *self._program()]
        environment = {**self._environment(), "CONTAINER": container, "TARGET": str(target)}
        try:
            run(command, env=environment, timeout=300)
        finally:
            self.run("rm", container)

    def remove(self, name: str) -> None:
        """Removes a stored image if it is there."""
        if self.image_id(name):
            self.run("rmi", "--force", name)
