"""`make pictures`: the dashboard of the running demo as a person sees it, in Debian's Chromium, for docs/pictures."""

from __future__ import annotations

import shutil
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright
from te_devcluster import cluster
from te_devcluster.console import say
from te_devcluster.errors import DevclusterError
from te_devcluster.kubectl import Kubectl
from te_devcluster.paths import admin_kubeconfig, checkout

from te_demo import preflight
from te_demo.person import HOST
from te_demo.product import Product

LOGIN = "asha"
FOLDER = Path("docs") / "pictures"
SIZES = {"desktop": (1440, 900), "phone": (390, 844)}
# Name of the file -> path of the tab, size, colour scheme.
PICTURES = {
    "dashboard": ("/dashboard", "desktop", "dark"),
    "dashboard-light": ("/dashboard", "desktop", "light"),
    "phone": ("/dashboard", "phone", "dark"),
    "phone-light": ("/dashboard", "phone", "light"),
    "charts": ("/charts", "desktop", "dark"),
    "fno": ("/fno", "desktop", "dark"),
    "system": ("/system", "desktop", "dark"),
}


def pictures() -> str:
    """Takes all pictures and returns a line for people; DevclusterError when there is no browser or no demo."""
    program = shutil.which("chromium")
    if program is None:
        raise DevclusterError("no program `chromium`", "apt-get install chromium")
    cluster.require_running()
    password = Product(Kubectl(admin_kubeconfig())).set_user(LOGIN)
    (checkout() / FOLDER).mkdir(parents=True, exist_ok=True)
    with sync_playwright() as driver:
        # The sandbox of the browser needs an unprivileged user, and the demo runs as root.
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            for name, (path, size, scheme) in PICTURES.items():
                take(browser, path, size, scheme, password, checkout() / FOLDER / f"{name}.png")
                say(f"took {name}")
        finally:
            browser.close()
    return f"{len(PICTURES)} pictures in {FOLDER}"


def take(browser: Browser, path: str, size: str, scheme: str, password: str, target: Path) -> None:
    """One picture: log in, open a tab, let prices move for a moment."""
    width, height = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if scheme == "dark" else "light",
        timezone_id="Asia/Kolkata",
    )
    try:
        page = context.new_page()
        page.goto(f"http://{HOST}:{preflight.HTTP_PORT}/login")
        page.fill("input[name=login]", LOGIN)
        page.fill("input[type=password]", password)
        page.keyboard.press("Enter")
        page.wait_for_url(lambda url: not url.endswith("/login"), timeout=30_000)
        page.goto(f"http://{HOST}:{preflight.HTTP_PORT}{path}")
        page.wait_for_selector("main", timeout=30_000)
        page.wait_for_timeout(5_000)
        page.screenshot(path=str(target))
    finally:
        context.close()
