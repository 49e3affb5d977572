"""Two people with a page open during a release, who keep the cookie that the page set and say which page they have."""

from __future__ import annotations

import threading
from types import TracebackType

import httpx
from te_devcluster.commands import wait_until

from te_demo.person import Person

COOKIE = "te-release"
HEADER = "x-te-release"
PAGE = "/"
CALL = "/v1/session"
#: Pages that the one who joins loads in a step until the release's own is given: at a weight of a few percent one load
#: a step could miss it for as long as a bad release is let be.
TRIES = 6


class Visitor:
    """One browser: a page of one release, and calls that name it. `release` is "" while no page is open.

    Counted are answers of the page's own release (errors too), 409 `release-gone`, after which the page is loaded
    again, answers of a foreign release (there must be none), and what failed without saying whose answer it is.
    """

    def __init__(self, person: Person) -> None:
        self.release = ""
        self.pages: list[str] = []
        self.own = self.gone = self.foreign = self.failed = 0
        # Cookies of its own: the person's other traffic must not carry this page's.
        self._http = httpx.Client(
            base_url=person.http.base_url, headers={"host": person.host}, cookies=person.http.cookies, timeout=10
        )
        self._http.cookies.delete(COOKIE)

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def step(self, avoid: str = "") -> None:
        """Loads the page when there is none, else makes one call. A page of release `avoid` is left again at once."""
        try:
            if self.release:
                self._call()
            else:
                self._load(avoid)
        except httpx.TransportError:
            self.failed += 1

    def _load(self, avoid: str) -> None:
        answer = self._http.get(PAGE)
        release = answer.cookies.get(COOKIE) or ""
        if not answer.is_success or not release:
            self.failed += 1
        elif release == avoid:
            self._http.cookies.delete(COOKIE)
        else:
            self.release = release
            self.pages.append(release)

    def _call(self) -> None:
        answer = self._http.get(CALL, headers={HEADER: self.release})
        whose = answer.headers.get(HEADER, "")
        if answer.status_code == httpx.codes.CONFLICT and "release-gone" in answer.text:
            self.gone += 1
            self.release = ""
        elif not whose:
            self.failed += 1
        elif whose == self.release:
            self.own += 1
        else:
            self.foreign += 1


class Visitors:
    """`stayed` came before the release; `joined` comes anew until the release's own page is given. Five steps a second.

    The cookie stays when the page is loaded again, as in a browser.
    """

    def __init__(self, person: Person, pause: float = 0.2) -> None:
        self.stayed, self.joined = Visitor(person), Visitor(person)
        self._pause = pause
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Visitors:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(30)
        self.stayed.close()
        self.joined.close()

    def _run(self) -> None:
        while not self._stop.wait(self._pause):
            self.stayed.step()
            if self.stayed.pages:
                self._join(self.stayed.pages[0])

    def _join(self, old: str) -> None:
        if self.joined.pages:
            self.joined.step()
            return
        for _ in range(TRIES):
            if not self.joined.pages and not self._stop.is_set():
                self.joined.step(avoid=old)

    def wait_home(self, release: str, timeout: float = 30.0) -> None:
        """Waits until everybody who has been given a page has that of `release`; TimedOutError says who has not."""
        wait_until(
            f"every visitor on release {release}",
            lambda: all(visitor.release == release for visitor in (self.stayed, self.joined) if visitor.pages),
            timeout=timeout,
            hint=self.report,
        )

    def report(self) -> str:
        """One line for people."""
        both = (self.stayed, self.joined)
        told = sum(visitor.gone for visitor in both)
        paths = " and ".join(" -> ".join(visitor.pages) or "never given its page" for visitor in both)
        return (
            f"visitors who keep their cookie, by release: {paths}; {sum(visitor.own for visitor in both)} answers of "
            f"their own release, {sum(visitor.foreign for visitor in both)} of another, told to load again: {told}"
        )
