"""What some tests need beside Python packages: programs and libraries of the system, by their Debian packages.

A test that misses one is skipped. `pytest_unconfigure` in conftest.py says at the very end what to install.
"""
from __future__ import annotations

import functools
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Iterable, Set

import pytest

PROGRAMS = {"chromium": "chromium", "chromium-driver": "chromedriver", "cmake": "cmake", "g++": "g++",
            "make": "make"}
HEADERS = {"libgtest-dev": "gtest/gtest.h", "libjpeg-dev": "jpeglib.h", "libpng-dev": "png.h",
           "nlohmann-json3-dev": "nlohmann/json.hpp"}
CPP = ("cmake", "g++", "make", *HEADERS)

REASON = "needs the Debian package"
missed: Set[str] = set()  # packages that tests of this run were skipped for
skipped = 0  # how many tests


def need(packages: Iterable[str]) -> None:
    """Skip the test unless all Debian packages are there."""
    absent = [package for package in packages if not is_there(package)]
    if absent:
        missed.update(absent)
        pytest.skip(f"{REASON} {' '.join(absent)}")


@functools.cache
def is_there(package: str) -> bool:
    """Whether what a Debian package brings can be used, wherever it comes from."""
    if package in PROGRAMS:
        return shutil.which(PROGRAMS[package]) is not None
    if package == "python3-dev":
        return Path(sysconfig.get_path("include"), "Python.h").is_file()
    compiler = shutil.which("g++")
    return compiler is not None and subprocess.run(
        [compiler, "-E", "-x", "c++", "-include", "cstdio", "-include", HEADERS[package], "/dev/null"],
        capture_output=True).returncode == 0


def last_line() -> str:
    """How many tests were skipped, and how to get what they missed."""
    return (f"{skipped} tests were skipped for want of packages, which this installs: "
            f"apt-get install -y --no-install-recommends {' '.join(sorted(missed))}")
