"""What the wheel holds, which pyproject.toml alone cannot say: both trees, and `contract/` as data of the programs.

In a clone `contract/` lies at the root, in an image beside the packages, in a wheel inside `tradingengine`.
"""

from setuptools import find_packages, setup

TREES = ("operator", "apps")
CONTRACT = "tradingengine.contract"

places = {name: f"{tree}/{name.replace('.', '/')}" for tree in TREES for name in find_packages(tree)}
places |= {CONTRACT: "contract", f"{CONTRACT}.calendar": "contract/calendar"}

setup(
    packages=list(places),
    package_dir=places,
    package_data={
        "tradingengine.dashboard": ["templates/*.html", "static/*", "static/**/*"],
        CONTRACT: ["*.json"],
        f"{CONTRACT}.calendar": ["*.json"],
    },
    exclude_package_data={"tradingengine.dashboard": ["static/.*"]},
    include_package_data=False,
)
