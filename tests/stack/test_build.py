"""What `sam build` makes: nothing is left to be compiled on Lambda's read-only disks; the wheels are the right ones."""

import json
import marshal
import os
import re
import shutil
import subprocess
import sys
from importlib.util import MAGIC_NUMBER, cache_from_source, source_hash
from pathlib import Path

import pytest

from local.stack import ARCHITECTURE, KEYS, ROOT, STACK_NAME, TOOLS, LocalStack
from tests.unit.test_template import FUNCTIONS

pytestmark = pytest.mark.stack

LAYERS = ("InvoicekeyLayer", "DependenciesLayer")
OTHER = {"arm64": "x86_64", "x86_64": "arm64"}[ARCHITECTURE]
MACHINES = {"arm64": "aarch64", "x86_64": "x86_64"}
UNCHECKED_HASH = 1
"""The second word of a .pyc: it is taken without a look at its source, whose time of change a zip does not keep."""
IMPORT = """
import importlib, json, sys
from importlib.machinery import SourceFileLoader as Loader

compile, compiled = Loader.source_to_code, []
Loader.source_to_code = lambda *said, **more: compiled.append(said[2]) or compile(*said, **more)
importlib.import_module(sys.argv[1])
imported = [module.__file__ for module in sys.modules.values() if hasattr(module, "__file__")]
print(json.dumps({"compiled": compiled, "imported": imported}))
"""
MOST_MEGABYTES = {"DependenciesLayer": 15.5, "InvoicekeyLayer": 2}
"""Unpacked."""
NOT_AT_THE_START = {"defusedxml", "jinja2", "markupsafe", "tzdata"}
"""What is imported where XML is read, a page is made, a time zone is asked for; all else is when a function starts."""


@pytest.fixture(scope="module")
def build(stack: LocalStack) -> Path:
    return stack.build


def place_on_lambda(build: Path, source: Path) -> str:
    """Return where a file of the build lies on Lambda."""
    artifact, *rest = source.relative_to(build).parts
    return "/".join(["/opt" if artifact in LAYERS else "/var/task", *rest])


def sources(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def bytecode(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.pyc"))}


def natives(folder: Path) -> set[str]:
    """Return the machines that the compiled extensions of a layer are for."""
    return {path.name.split("-")[2] for path in folder.rglob("*.so")}


# ---- Bytecode


def test_all_that_is_deployed_has_its_bytecode_and_nothing_else_is_there(build: Path) -> None:
    made = {str(path) for path in build.rglob("*.pyc")}

    assert {path.relative_to(build).parts[0] for path in sources(build)} == {*FUNCTIONS, *LAYERS}
    assert made == {cache_from_source(path, optimization="") for path in sources(build)}


def test_bytecode_is_of_lambda_s_version_and_taken_as_it_is(build: Path) -> None:
    for source in sources(build):
        made = Path(cache_from_source(source, optimization="")).read_bytes()
        assert made[:4] == MAGIC_NUMBER, source
        assert int.from_bytes(made[4:8], "little") == UNCHECKED_HASH, source
        assert made[8:16] == source_hash(source.read_bytes()), source


def test_a_traceback_names_a_place_on_lambda(build: Path) -> None:
    for source in sources(build):
        made = Path(cache_from_source(source, optimization="")).read_bytes()
        assert marshal.loads(made[16:]).co_filename == place_on_lambda(build, source)


def test_nothing_that_is_deployed_names_the_machine_that_built_it(build: Path) -> None:
    files = [path for artifact in (*FUNCTIONS, *LAYERS) for path in (build / artifact).rglob("*") if path.is_file()]

    assert files
    assert [path for path in files if str(ROOT).encode() in path.read_bytes()] == []
    assert [path for path in files if path.name == "RECORD"] == [], "it has the hashes of scripts that name the machine"


# ---- Cold starts


def environment_on_lambda(stack: LocalStack, function: str, code: Path, build: Path) -> dict[str, str]:
    """Return a function's variables as deployed, and Lambda's order of places for code."""
    resource = stack.client("cloudformation").describe_stack_resource(StackName=STACK_NAME, LogicalResourceId=function)
    name = resource["StackResourceDetail"]["PhysicalResourceId"]
    deployed = stack.client("lambda").get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    places = [code, *(build / layer / "python" for layer in LAYERS)]
    return {**deployed, **KEYS, "PYTHONPATH": os.pathsep.join(map(str, places))}


def start(stack: LocalStack, function: str, code: Path, build: Path) -> dict[str, list[str]]:
    """Import a function's module in an interpreter of its own; return the files that had to be compiled, and all."""
    module = FUNCTIONS[function][1].removesuffix(".handler")
    environment = environment_on_lambda(stack, function, code, build)
    done = subprocess.run(
        [sys.executable, "-c", IMPORT, module], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    started: dict[str, list[str | None]] = json.loads(done.stdout)
    return {what: [path for path in paths if path] for what, paths in started.items()}


def compiled_by(stack: LocalStack, function: str, code: Path, build: Path) -> list[str]:
    """Return what of ours has to be compiled at a function's start."""
    ours = (str(code), str(build))
    return [path for path in start(stack, function, code, build)["compiled"] if path.startswith(ours)]


def state_of(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*")}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_importing_a_function_compiles_nothing_and_writes_nothing(
    function: str, stack: LocalStack, build: Path
) -> None:
    before = state_of(build)

    assert compiled_by(stack, function, build / function, build) == []
    assert state_of(build) == before


def test_what_comes_without_bytecode_is_seen_to_be_compiled(stack: LocalStack, build: Path, tmp_path: Path) -> None:
    code = tmp_path / "code"
    shutil.copytree(build / "ReceiveHookFunction", code, ignore=shutil.ignore_patterns("__pycache__"))

    assert compiled_by(stack, "ReceiveHookFunction", code, build) == [str(code / "receive_hook.py")]


# ---- The layers' size


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_is_no_bigger_than_its_budget(layer: str, build: Path) -> None:
    held = sum(path.stat().st_size for path in (build / layer).rglob("*"))

    assert held <= MOST_MEGABYTES[layer] * 1_000_000


def test_the_layer_holds_no_package_that_no_function_imports(stack: LocalStack, build: Path) -> None:
    layer = build / "DependenciesLayer" / "python"
    there = {path.stem for path in layer.iterdir() if path.suffix in {"", ".py"} and path.name != "__pycache__"}
    files = {file for function in FUNCTIONS for file in start(stack, function, build / function, build)["imported"]}
    imported = {Path(file).relative_to(layer).parts[0] for file in files if file.startswith(f"{layer}/")}

    assert there == {Path(name).stem for name in imported} | NOT_AT_THE_START


# ---- Both architectures


def test_the_layer_holds_the_extensions_of_this_machine(build: Path) -> None:
    assert natives(build / "DependenciesLayer") == {MACHINES[ARCHITECTURE]}


@pytest.fixture(scope="module")
def built_for_the_other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build by hand, with a Python as version managers give it: chosen by .python-version, in this project alone."""
    folder = tmp_path_factory.mktemp("other")
    shim = folder / "bin" / "python3.13"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\ncase "$PWD/" in "{ROOT}/"*) exec "{TOOLS}/python3.13" "$@";; esac\nexit 127\n')
    shim.chmod(0o755)
    command = [
        str(TOOLS / "sam"), "build", "--build-dir", str(folder / "build"), "--no-cached", "--config-env", "here",
        "--parameter-overrides", f"Architecture={OTHER}",
    ]  # fmt: skip
    path = os.pathsep.join([str(shim.parent), "/usr/bin", "/bin"])
    environment = {**os.environ, "PATH": path, "SAM_CLI_TELEMETRY": "0"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "build"


def test_the_layer_for_the_other_architecture_holds_its_extensions_alone(built_for_the_other: Path) -> None:
    assert natives(built_for_the_other / "DependenciesLayer") == {MACHINES[OTHER]}


def test_bytecode_is_the_same_for_both_and_at_every_build(build: Path, built_for_the_other: Path) -> None:
    assert bytecode(built_for_the_other) == bytecode(build)


# ---- Hashes


def test_a_wheel_that_is_not_the_one_that_was_pinned_is_refused(tmp_path: Path) -> None:
    there = tmp_path / "dependencies"
    shutil.copytree(ROOT / "layers" / "dependencies", there)
    pinned = (there / "requirements.txt").read_text(encoding="utf-8")
    others = re.sub("sha256:[0-9a-f]{64}", f"sha256:{'0' * 64}", pinned)
    (there / "requirements.txt").write_text(others, encoding="utf-8")
    command = ["make", "--makefile", "arm64/Makefile", "build-DependenciesLayer", f"ARTIFACTS_DIR={tmp_path / 'out'}"]

    environment = {**os.environ, "PATH": f"{TOOLS}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=there, env=environment, capture_output=True, text=True, check=False)

    assert done.returncode
    assert "DO NOT MATCH THE HASHES" in done.stderr
    assert not (tmp_path / "out" / "python").exists()
