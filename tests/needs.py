"""Programs and libraries of the system that some tests need, by the names of their Debian packages.

A test without its packages is skipped. conftest.py prints at the end which packages to install.
"""
from __future__ import annotations

import functools
import shutil
import subprocess
import sys
from typing import Iterable, List

import pytest

PROGRAMS = {"chromium": "chromium", "chromium-driver": "chromedriver", "cmake": "cmake", "g++": "g++",
            "make": "make"}
HEADERS = {"libgtest-dev": "gtest/gtest.h", "libjpeg-dev": "jpeglib.h", "libpng-dev": "png.h",
           "nlohmann-json3-dev": "nlohmann/json.hpp"}
CPP = ("cmake", "g++", "make", *HEADERS)

REASON = "needs the Debian package"
MINDSPORE = "needs MindSpore"


def need(packages: Iterable[str]) -> None:
    """Skip the test unless all Debian packages are there."""
    absent = [package for package in packages if not is_there(package)]
    if absent:
        pytest.skip(f"{REASON} {' '.join(absent)}")


@functools.cache
def is_there(package: str) -> bool:
    """Whether the programs or headers of a Debian package can be used. They may come from elsewhere."""
    if package in PROGRAMS:
        return shutil.which(PROGRAMS[package]) is not None
    compiler = shutil.which("g++")
    return compiler is not None and subprocess.run(
        [compiler, "-E", "-x", "c++", "-include", "cstdio", "-include", HEADERS[package], "/dev/null"],
        capture_output=True).returncode == 0


def names_mindspore(failure: str) -> bool:
    """Whether a failure says that MindSpore is not installed: as Python says it, or as our commands do."""
    return "No module named 'mindspore'" in failure or "needs MindSpore, which" in failure


def last_lines(reasons: List[str]) -> List[str]:
    """How many tests were skipped for want of packages and what installs them, and how many for want of MindSpore.

    Args:
        reasons: why tests were skipped, for whatever reason.
    """
    lines = []
    absent = [reason.partition(REASON)[2].split() for reason in reasons if REASON in reason]
    if absent:
        lines.append(f"{len(absent)} tests were skipped for want of packages, which this installs: "
                     f"apt-get install -y --no-install-recommends {' '.join(sorted({*sum(absent, [])}))}")
    if MINDSPORE in reasons:
        lines.append(f"{reasons.count(MINDSPORE)} test files and tests were left out: they need MindSpore, which has "
                     f"packages for Python 3.9 to 3.12, not for this {sys.version_info[0]}.{sys.version_info[1]}")
    return lines
