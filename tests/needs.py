"""Programs and libraries of the system that some tests need, by the names of their Debian packages.

A test without its packages is skipped. conftest.py prints at the end which packages to install.
"""
from __future__ import annotations

import functools
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Iterable

import pytest

PROGRAMS = {"chromium": "chromium", "chromium-driver": "chromedriver", "cmake": "cmake", "g++": "g++",
            "make": "make"}
HEADERS = {"libgtest-dev": "gtest/gtest.h", "libjpeg-dev": "jpeglib.h", "libpng-dev": "png.h",
           "nlohmann-json3-dev": "nlohmann/json.hpp"}
CPP = ("cmake", "g++", "make", *HEADERS)

REASON = "needs the Debian package"


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
    if package == "python3-dev":
        return Path(sysconfig.get_path("include"), "Python.h").is_file()
    compiler = shutil.which("g++")
    return compiler is not None and subprocess.run(
        [compiler, "-E", "-x", "c++", "-include", "cstdio", "-include", HEADERS[package], "/dev/null"],
        capture_output=True).returncode == 0


def last_line(reasons: Iterable[str]) -> str:
    """The number of skipped tests, and the command that installs their packages. Empty if no package is missing.

    Args:
        reasons: why tests were skipped, for whatever reason.
    """
    absent = [reason.partition(REASON)[2].split() for reason in reasons if REASON in reason]
    if not absent:
        return ""
    return (f"{len(absent)} tests were skipped for want of packages, which this installs: "
            f"apt-get install -y --no-install-recommends {' '.join(sorted({*sum(absent, [])}))}")
