"""Run the tests with Pythons and versions of the requirements other than those of scripts/check.sh.

    python -m nox                 # the lowest versions on the lowest Python, the newest ones on the newest Python,
                                  # and the tests that need the libraries of requirements-extra.txt
    python -m nox -s pinned       # the versions of constraints.txt, on every Python
    python -m nox -s newest-3.12  # one of them; pytest's arguments follow after --

A Python that is not installed is skipped and named. Environments go to .nox, 6 GB each; with the
variable CI, each is removed when its tests have passed.
"""

import os
import shutil
import subprocess

import nox

PYTHONS = ["3.11", "3.12", "3.13"]
REQUIREMENTS = ("-r", "requirements.txt", "-r", "requirements-optional.txt")
SUITE = ("-m", "pytest", "-n", "auto", "--maxprocesses", "4", "--dist", "loadfile", "--no-loadscope-reorder")
SUITE += ("--max-worker-restart", "0")  # tests of a worker that died would otherwise wait for ever
EXTRA = ("nncf", "litert_torch", "coremltools", "ray.tune", "mlflow", "wandb")
EXTRA_TESTS = ("tests/export", "tests/sweep/test_sweep.py", "tests/prepare/test_jobs.py")
EXTRA_TESTS += ("tests/training/test_tracking.py",)

nox.options.default_venv_backend = "uv"
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = False
nox.options.sessions = [f"lowest-{PYTHONS[0]}", f"newest-{PYTHONS[-1]}", f"extra-{PYTHONS[0]}"]

if shutil.which("pyenv") and "PYENV_VERSION" not in os.environ:  # pyenv hides all Pythons except the selected one
    installed = subprocess.run(["pyenv", "versions", "--bare"], capture_output=True, text=True).stdout.split()
    os.environ["PYENV_VERSION"] = ":".join(installed)


@nox.session(python=PYTHONS)
def pinned(session: nox.Session) -> None:
    """The versions of constraints.txt."""
    session.install("-c", "constraints.txt", "-r", "requirements-dev.txt")
    run_suite(session)


@nox.session(python=PYTHONS)
def lowest(session: nox.Session) -> None:
    """The lowest versions that requirements.txt and requirements-optional.txt allow."""
    session.install("--resolution", "lowest-direct", *REQUIREMENTS)
    session.install("-r", "requirements-dev.txt")  # does not change installed packages
    run_suite(session)


@nox.session(python=PYTHONS)
def newest(session: nox.Session) -> None:
    """The newest versions; our modules must not use anything that is deprecated there."""
    session.install("--upgrade", "-r", "requirements-dev.txt")
    run_suite(session, TAM_STRICT_WARNINGS="1")


@nox.session(python=PYTHONS)
def extra(session: nox.Session) -> None:
    """The tests of options that need the libraries of requirements-extra.txt; everywhere else they are skipped."""
    session.install("-r", "requirements-extra.txt", "pytest>=8.0", "pytest-xdist>=3.6", "hypothesis>=6.100")
    session.run("python", "-c", f"import {', '.join(EXTRA)}")  # a missing one must not skip its tests here
    run_suite(session, *EXTRA_TESTS)


def run_suite(session: nox.Session, *tests: str, **variables: str) -> None:
    """Run the tests, all by default, with one thread per process, as scripts/check.sh does."""
    session.run("uv", "pip", "list", external=True)
    session.run("python", *SUITE, *session.posargs, *tests, env={"OMP_NUM_THREADS": "1", **variables})
    if os.environ.get("CI"):  # nobody uses the environment again there, and the next one needs its space
        shutil.rmtree(session.virtualenv.location)
