"""The desk itself: its children in the order in which they need each other, and what a change asks of them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path

import httpx
from te_devcluster.commands import Scope, enter_scope
from te_devcluster.contexts import frontend
from te_devcluster.errors import DevclusterError, StoppedError
from te_devcluster.images import project_version
from te_devcluster.paths import checkout
from te_devcluster.ports import free_port, reserve
from te_devcluster.relay import port_taken
from te_devcluster.tools import traefik

from te_desk.changes import PROCESSES, Imports, Plan
from te_desk.child import Child
from te_desk.engine import GATEWAY, configuration
from te_desk.output import ChildLog, severe_line, severe_of_postgres, severe_of_redis, tell
from te_desk.parts import Options, byte_code, front_end, with_byte_code
from te_desk.place import Place
from te_desk.servers import Launch, Postgres, Redis

LOGIN = "trader"
CONSOLE_PORT = 8090
"""Where the page says that the edge's console is; another one while this is in use, or another desk's."""
DRAIN_SECONDS = 10.0
LIVE_SECONDS = 60.0
COMMAND_SECONDS = 90.0


class Desk:
    """One desk on one place. `start`, then `change` as often as one likes, and `end` in any case."""

    def __init__(self, options: Options, place: Place) -> None:
        self.options = options
        self.place = place
        self.imports = Imports(options.source)
        self.address = f"http://127.0.0.1:{options.port}"
        self._http = httpx.AsyncClient(timeout=5.0, trust_env=False)
        self._scope = Scope()
        self._control = {name: free_port() for name in PROCESSES}
        self._ports = {name: free_port() for name in ("api", "dashboard")}
        self._ports["console"] = CONSOLE_PORT if _is_free(CONSOLE_PORT, options.port) else free_port()
        self.console = f"http://127.0.0.1:{self._ports['console']}"
        self._postgres = Postgres(place.database, password=place.secrets.database, durable=place.kept, with_parent=True)
        self._redis = Redis(place.cache, password=place.secrets.cache, durable=place.kept, with_parent=True)
        self.children = self._make_children()

    def _make_children(self) -> dict[str, Child]:
        def log(name: str, severe: Callable[[str], str] = severe_line) -> ChildLog:
            return ChildLog(name, self.place.logs, verbose=self.options.verbose, severe=severe)

        def process(name: str, before_stop: Callable[[], Awaitable[None]] | None = None) -> Child:
            port = self._control[name]
            return Child(lambda: self._process(name), lambda: self._answers(port), log(name), before_stop=before_stop)

        return {
            "postgres": Child(
                self._postgres.launch,
                lambda: asyncio.to_thread(self._postgres.answers),
                log("postgres", severe_of_postgres),
                stop_signal=Postgres.stop_signal,
            ),
            "redis": Child(
                self._redis.launch, lambda: asyncio.to_thread(self._redis.answers), log("redis", severe_of_redis)
            ),
            "gateway": Child(self._gateway, self._listens, log("gateway")),
            "api": process("api"),
            "dashboard": process("dashboard"),
            "edge": process("edge", self._drain),
        }

    # ------------------------------------------------------------------------------------------ what is started

    def environment(self, component: str) -> dict[str, str]:
        """As the operator sets it (docs/developer/interfaces.md, section 1), on addresses of this machine."""
        plain = {name: value for name, value in os.environ.items() if not name.startswith("TE_")}
        return {
            **with_byte_code(plain),
            "PYTHONPATH": str(self.options.source / "apps"),
            "TE_COMPONENT": component,
            "TE_SLOT": "a",
            "TE_RELEASE": "1",
            "TE_VERSION": project_version(),
            "TE_POD": f"desk-{component}",
            "TE_CONFIG": str(self.place.config),
            "TE_DATABASE_URL": self._postgres.url() if component != "edge" else "",
            "TE_CACHE_URL": self._redis.url,
            "TE_CONTROL_TOKEN": self.place.secrets.control,
            "TE_STATE_DIR": str(self.place.edge),
            "TE_DATA_DIR": str(self.options.data_dir or ""),
            "TE_HTTP_HOST": "127.0.0.1",
            "TE_HTTP_PORT": str(self._ports.get(component, 0)),
            "TE_CONTROL_PORT": str(self._control.get(component, 0)),
            "TE_CONSOLE_PORT": str(self._ports["console"]),
        }

    def _process(self, name: str) -> Launch:
        command = ["setpriv", "--pdeathsig", "TERM", sys.executable, "-m", "tradingengine", name]
        return Launch(command, self.environment(name))

    def _gateway(self) -> Launch:
        routes = self.place.root / "routes.yaml"
        routes.write_text(GATEWAY.format(api=self._ports["api"], dashboard=self._ports["dashboard"]))
        options = {
            "providers.file.filename": routes,
            "entrypoints.web.address": f"127.0.0.1:{self.options.port}",
            "global.checknewversion": "false",
            "global.sendanonymoususage": "false",
            "log.format": "json",
        }
        command = ["setpriv", "--pdeathsig", "TERM", traefik()]
        return Launch([*command, *(f"--{name}={value}" for name, value in options.items())], dict(os.environ))

    async def _listens(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.options.port)
        except OSError:
            return False
        writer.close()
        return True

    async def _answers(self, port: int) -> bool:
        try:
            return (await self._http.get(f"http://127.0.0.1:{port}/readyz")).status_code == 200
        except httpx.HTTPError:
            return False

    async def _drain(self) -> None:
        """Nothing new is sent, and what is in flight is waited for: the journal is closed on a known state."""
        base = f"http://127.0.0.1:{self._control['edge']}/control/v1"
        headers = {"authorization": f"Bearer {self.place.secrets.control}"}
        async with asyncio.timeout(DRAIN_SECONDS):
            (await self._http.post(f"{base}/drain", headers=headers)).raise_for_status()
            for _ in range(round(DRAIN_SECONDS / 0.05)):
                if (await self._http.get(f"{base}/state", headers=headers)).json()["edge"]["idle"]:
                    return
                await asyncio.sleep(0.05)

    # ------------------------------------------------------------------------------------------ beginning and end

    async def start(self) -> None:
        """From nothing to live prices at the address; DevclusterError with the reason when it does not get there."""
        for name in ("postgres", "redis", "gateway"):
            self.children[name].begin()
        try:
            async with asyncio.TaskGroup() as tasks:
                configured = tasks.create_task(self._configure())
                cache = tasks.create_task(self._ready("redis"))
                tasks.create_task(asyncio.to_thread(self._read_imports))
                tasks.create_task(self._start_edge(configured, cache))
                tasks.create_task(self._start_cloud(configured, cache))
        except ExceptionGroup as group:
            raise _reason(group) from None
        await self._ready("gateway")
        async with timed("live prices"):
            await self._until_live()

    def _read_imports(self) -> None:
        with contextlib.suppress(SyntaxError):  # the process that imports it says so
            self.imports.refresh()

    async def _configure(self) -> None:
        replay = self.options.data_dir is not None
        text = await asyncio.to_thread(configuration, self.options.source, replay=replay)
        self.place.config.write_text(text)

    async def _ready(self, *names: str) -> None:
        async with timed(", ".join(names)):
            await asyncio.gather(*(self.children[name].until_ready() for name in names))

    async def _start_edge(self, *needed: asyncio.Task[None]) -> None:
        await asyncio.gather(*needed)
        self.children["edge"].begin()
        await self._ready("edge")

    async def _start_cloud(self, *needed: asyncio.Task[None]) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._ready("postgres"))
            tasks.create_task(self._migrate())  # it waits for Postgres itself, its imports done meanwhile
        await asyncio.gather(*needed)
        for name in ("api", "dashboard"):
            self.children[name].begin()
        words = ("user", "add", LOGIN, "--role", "trader", "--if-missing")
        await asyncio.gather(
            self.te(*words, text=f"{self.place.secrets.login}\n"), self._ready("api"), self._ready("dashboard")
        )

    async def _migrate(self) -> None:
        async with timed("migrations"):
            await self.te("migrate")

    async def te(self, *words: str, text: str = "") -> None:
        """Run a command of `te` on this desk's database; DevclusterError with its words when it fails."""
        process = await asyncio.create_subprocess_exec(
            *("setpriv", "--pdeathsig", "TERM", sys.executable, "-m", "tradingengine", *words),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=self.environment("migrations"),
            cwd="/",
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(COMMAND_SECONDS):
                said, _ = await process.communicate(text.encode())
        except TimeoutError:
            raise DevclusterError(f"te {words[0]} did not end within {COMMAND_SECONDS:.0f} s") from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode != 0:
            raise DevclusterError(f"te {words[0]} failed:\n{said.decode(errors='replace')[-3000:]}")

    async def _until_live(self) -> None:
        """Log in through the address as a person does, look until prices are live, and log out again."""
        end, last = time.monotonic() + LIVE_SECONDS, "no answer"
        async with httpx.AsyncClient(base_url=self.address, timeout=5.0, trust_env=False) as person:
            body = {"login": LOGIN, "password": self.place.secrets.login}
            while time.monotonic() < end:
                try:
                    (await person.post("/v1/session", json=body)).raise_for_status()
                    found = (await person.get("/v1/status")).raise_for_status().json()
                    if (found["feed"]["state"], found["edge"]["state"]) == ("live", "connected"):
                        await person.delete("/v1/session")
                        return
                    last = f"feed {found['feed']['state']}, edge {found['edge']['state']}"
                    await person.delete("/v1/session")
                except httpx.HTTPError as error:
                    last = str(error)
                await asyncio.sleep(0.25)
        raise DevclusterError(
            f"no live prices within {LIVE_SECONDS:.0f} s; last: {last}", f"look into {self.place.logs}"
        )

    async def end(self) -> None:
        """End all, what needs others before what it needs; nothing of it runs afterwards."""
        for child in self.children.values():
            child.log.muted = True
        self._scope.stop()
        for names in (("gateway", "api", "dashboard", "edge"), ("postgres", "redis")):
            await asyncio.gather(*(self.children[name].stop() for name in names))
        await self._http.aclose()
        if self.options.source != checkout():  # a tree that may be gone tomorrow leaves nothing in the cache
            await asyncio.to_thread(shutil.rmtree, _byte_code_of(self.options.source), ignore_errors=True)

    def kill(self) -> None:
        """End all at once."""
        self._scope.kill()
        for child in self.children.values():
            child.kill()

    # ------------------------------------------------------------------------------------------ changes

    async def change(self, plan: Plan, because: str) -> bool:
        """Do what a plan asks for, each with a line; False when it could not be done, and what runs goes on."""
        for line in plan.notes:
            tell(line)
        for line in plan.broken:
            tell(f"not started: {line}; what runs goes on until that is mended")
        if plan.broken:
            return False
        try:
            if plan.frontend:
                await asyncio.to_thread(self._build_front_end)
            if plan.configuration:
                await self._configure()
            if plan.migrate:
                await self._migrate()
        except DevclusterError as error:
            tell(f"not started: {error}\n  what runs goes on until that is mended")
            return False
        await asyncio.gather(*(self._restart(name, because) for name in plan.restart))
        return True

    def _build_front_end(self) -> None:
        enter_scope(self._scope)
        with contextlib.suppress(StoppedError):
            frontend(front_end(self.options))

    async def _restart(self, name: str, because: str) -> None:
        try:
            seconds = await self.children[name].restart()
        except DevclusterError as error:
            tell(str(error))
        else:
            tell(f"{name} started again for {because} ({seconds:.1f} s)")


def _byte_code_of(path: Path) -> Path:
    return byte_code() / path.relative_to("/")


def forget_byte_code(paths: Iterable[Path]) -> None:
    """Byte code is told from its source by size and full seconds: two quick saves may look the same."""
    for path in paths:
        if path.suffix == ".py":
            for made in _byte_code_of(path.parent).glob(f"{path.stem}.*.pyc"):
                made.unlink(missing_ok=True)


def _is_free(port: int, wanted: int) -> bool:
    return port != wanted and reserve(port) and not port_taken(port)


def _reason(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error that a person can act upon, in groups within groups too; the group when there is none."""
    for one in group.exceptions:
        found = _reason(one) if isinstance(one, BaseExceptionGroup) else one
        if isinstance(found, DevclusterError):
            return found
    return group


@contextlib.asynccontextmanager
async def timed(text: str) -> AsyncIterator[None]:
    """Says how long a step took, once it is done."""
    begun = time.monotonic()
    yield
    tell(f"{text} ({time.monotonic() - begun:.1f} s)")


def because(paths: Iterable[Path], source: Path) -> str:
    """The changed files in a few words."""
    names = sorted(str(path.relative_to(source)) if path.is_relative_to(source) else str(path) for path in paths)
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""
    return ", ".join(names[:2]) + more
