"""Starting a network that was compiled before, and starting when the cache is of no use."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import edgewise as ew
from edgewise import importers
from edgewise.codegen import cache, jit
from edgewise.codegen.cache import CacheWarning
from edgewise.codegen.target import host
from edgewise.dtype import DType, QParams
from edgewise.errors import CompileError
from edgewise.graph import Array, Graph, LateGraph, digest_of, verify
from edgewise.importers.tflite_model import ModelFile
from edgewise.ops import Logistic
from networks import Backwards, Builder, classifier, quantized, random_inputs, reference
from test_runtime_shapes import two_networks
from tflite_networks import accumulator

TESTS = Path(__file__).parent
linux = pytest.mark.skipif(not host().is_linux, reason="shared objects are written for Linux")


@pytest.fixture
def where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("EDGEWISE_CACHE_DIR", str(folder))
    monkeypatch.setattr(cache, "_warned", False)
    return folder


def network(content: bytes = b"a file") -> Graph:
    """As if it had been read from a file of this content."""
    return classifier(DType.UINT8).read_from(digest_of(content))


def check(graph: Graph, *, cached: bool) -> ew.runtime.Program:
    """Compile and run; the results are the references'."""
    program = ew.compile(graph)
    inputs = random_inputs(graph)
    results = program(*inputs)
    found: Sequence[Array] = results if isinstance(results, tuple) else (results,)
    for got, expected in zip(found, reference(graph, inputs), strict=True):
        np.testing.assert_array_equal(got, expected, strict=True)
    assert program.cached == cached
    return program


def files(folder: Path, suffix: str) -> list[Path]:
    return sorted(folder.glob(f"*{suffix}"))


def refuse(*_: object) -> None:
    raise AssertionError("not to be called")


def python(code: str, folder: Path) -> subprocess.Popen[str]:
    """Start a process that runs ``code`` with the cache in ``folder``."""
    path = os.pathsep.join([str(TESTS), str(Path(ew.__file__).parents[1])])
    env = {**os.environ, "EDGEWISE_CACHE_DIR": str(folder), "PYTHONPATH": path}
    pipe = subprocess.PIPE
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.Popen(command, env=env, stdout=pipe, stderr=pipe, text=True)


@linux
def test_second_start_makes_no_plan(where: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = check(network(), cached=False).plan
    with monkeypatch.context() as patch:
        patch.setattr(ew.runtime, "plan_for", refuse)
        program = check(network(), cached=True)
    assert program.plan.arena_bytes == plan.arena_bytes
    assert len(program.plan.steps) == len(plan.steps)


@linux
def test_start_from_the_cache_imports_no_compiler(where: Path) -> None:
    check(network(), cached=False)
    code = (
        "import sys\n"
        "import test_startup\n"
        "modules = {'llvmlite', 'edgewise.passes', 'edgewise.plan', 'edgewise.codegen.build'}\n"
        "test_startup.check(test_startup.network(), cached=True)\n"
        "print(sorted(modules & set(sys.modules)))\n"
    )
    process = python(code, where)
    out, err = process.communicate()
    assert (out.strip(), err, process.returncode) == ("[]", "", 0)


@linux
def test_start_from_a_known_file_imports_no_reader(where: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.tflite"
    path.write_bytes(accumulator())
    code = (
        "import sys, edgewise as ew, numpy as np\n"
        f"program = ew.compile(ew.load({str(path)!r}))\n"
        "assert program(np.ones(3, np.float32)).tolist() == [2, 3, 4]\n"
        "print('edgewise.ops' in sys.modules, 'edgewise.importers.tflite' in sys.modules)\n"
    )
    for expected in ("True True", "False False"):
        out, err = python(code, where).communicate()
        assert (out.strip(), err) == (expected, "")


@linux
def test_other_content_other_network(where: Path) -> None:
    check(network(), cached=False)
    check(network(b"another file"), cached=True)
    assert len(files(where, ".network")) == 2
    assert len(files(where, ".so")) == 1


@linux
def test_other_sources_other_network(where: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check(network(), cached=False)
    monkeypatch.setattr(ew.execution, "SOURCES", "another version")
    check(network(), cached=True)
    assert len(files(where, ".network")) == 2


def test_changed_graph_has_no_digest() -> None:
    graph = network()
    assert graph.digest is not None
    assert replace(graph, name="other").digest is None
    assert graph.with_nodes(graph.nodes).digest is None
    assert ew.optimize(graph).digest is None


def test_digest_tells_contents_apart() -> None:
    graph = classifier(DType.UINT8)
    digests = [digest_of("ab", b"c"), digest_of("a", b"bc"), digest_of(b"abc")]
    assert len(set(digests)) == 3
    assert graph.digest is None


@pytest.mark.data
def test_loaded_graph_has_the_digest_of_its_bytes(data: Path) -> None:
    path = data / "models" / "anomaly_int8.tflite"
    content = path.read_bytes()
    digest = ew.load(path).digest
    assert digest == ew.load(content).digest is not None
    assert digest != ew.load(content + b"\0").digest


def load_late(content: bytes) -> Graph:
    """What ``load`` gives once the network was compiled; the same call before gives it whole."""
    first = ew.load(content)
    assert type(first) is Graph
    ew.compile(first)
    late = ew.load(content)
    assert isinstance(late, LateGraph)
    assert late.digest == first.digest
    return late


def test_known_file_is_not_read_before_it_is_asked_for(
    where: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = accumulator()
    with monkeypatch.context() as patch:
        ew.compile(ew.load(content))
        patch.setattr(ModelFile, "__init__", refuse)
        graph = ew.load(content)
        program = ew.compile(graph)
        assert [v.name for v in program.inputs] == [v.name for v in graph.inputs] == ["x"]
        np.testing.assert_array_equal(program(np.ones(3, np.float32)), np.float32([2, 3, 4]))
        with pytest.raises(AssertionError, match="not to be called"):
            _ = graph.nodes
    assert [node.op.name for node in graph.nodes] == ["ADD"]


@pytest.mark.parametrize("content", [accumulator(), two_networks()])
def test_late_graph_is_the_graph(where: Path, content: bytes) -> None:
    late, whole = load_late(content), importers.load(content)
    assert str(late) == str(whole)
    assert late.name == whole.name
    assert dict(late.metadata) == dict(whole.metadata)
    assert late.open == whole.open
    verify(late)
    verify(ew.optimize(late))
    assert set(late.users()) >= set(late.sources)
    inputs = random_inputs(whole)
    results = [ew.compile(ew.optimize(graph))(*inputs) for graph in (late, whole)]
    np.testing.assert_array_equal(*results)


def test_late_graph_is_read_once_by_many_threads(where: Path, tmp_path: Path) -> None:
    path = tmp_path / "two.tflite"
    path.write_bytes(two_networks())
    ew.compile(ew.load(path))
    for _ in range(5):
        late = ew.load(path)
        assert isinstance(late, LateGraph)
        with ThreadPoolExecutor(6) as threads:
            found = list(threads.map(lambda late: late.nodes, [late] * 6))
        values = {node.outputs for nodes in found for node in nodes}
        assert len(values) == len(found[0])


def test_late_graph_is_read_only(where: Path) -> None:
    late = load_late(accumulator())
    assert late.states
    for state in late.states:
        assert not state.initial.flags.writeable


def test_late_graph_takes_other_shapes(where: Path) -> None:
    late = load_late(two_networks())
    again = late.resized({"input": (4, 3)})
    assert again.inputs[0].type.shape == (4, 3)
    assert again.digest != late.digest
    changed = replace(late, name="other")
    assert changed.digest is None
    assert (changed.name, changed.nodes) == ("other", late.nodes)


def late_file(path: Path) -> Graph:
    """The graph of a file at ``path`` that was compiled before."""
    path.write_bytes(accumulator())
    ew.compile(ew.load(path))
    return ew.load(path)


def test_late_graph_outlives_the_name_of_its_file(where: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.tflite"
    graph = late_file(path)
    other = tmp_path / "b.tflite"
    other.write_bytes(two_networks())
    other.replace(path)
    assert [node.op.name for node in graph.nodes] == ["ADD"]
    assert graph.resized({"x": (1,)}).inputs[0].type.shape == (1,)


def test_file_changed_in_place(where: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.tflite"
    graph = late_file(path)
    path.write_bytes(two_networks())
    for _ in range(2):
        with pytest.raises(ew.InputError, match=r"a\.tflite: the file was changed after"):
            _ = graph.nodes
    path.write_bytes(accumulator())
    assert len(graph.nodes) == 1


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="no list of open files")
def test_files_are_closed(where: Path, tmp_path: Path) -> None:
    def opened() -> list[str]:
        links = (os.path.join("/proc/self/fd", n) for n in os.listdir("/proc/self/fd"))
        return [link for link in map(os.path.realpath, links) if link.endswith("a.tflite")]

    path = tmp_path / "a.tflite"
    graph = late_file(path)
    assert len(opened()) == 1
    assert graph.nodes
    assert opened() == []
    unread = ew.load(path)
    assert len(opened()) == 1
    del unread
    gc.collect()
    assert opened() == []


def test_broken_file_is_refused_each_time(where: Path) -> None:
    content = accumulator()
    ew.compile(ew.load(content))
    for _ in range(2):
        with pytest.raises(ew.ModelError):
            ew.load(content[: len(content) // 2])


@linux
@pytest.mark.parametrize("suffix", [".network", ".so", ".o"])
@pytest.mark.parametrize("damage", ["cut", "changed", "deleted"])
def test_damaged_entries_are_made_again(where: Path, suffix: str, damage: str) -> None:
    check(network(), cached=False)
    if suffix == ".o":
        for path in files(where, ".so"):
            path.unlink()
    for path in files(where, suffix):
        content = path.read_bytes()
        path.unlink()
        if damage == "cut":
            path.write_bytes(content[: len(content) // 2])
        if damage == "changed":
            path.write_bytes(content[:-100] + bytes(100))
    check(network(), cached=suffix == ".network")
    check(network(), cached=True)


@linux
def test_two_processes_compile_at_once(where: Path) -> None:
    code = (
        "import test_startup as s, edgewise as ew, numpy as np\n"
        "graph = s.network()\n"
        "inputs = s.random_inputs(graph)\n"
        "for got, expected in zip(ew.compile(graph)(*inputs), s.reference(graph, inputs)):\n"
        "    np.testing.assert_array_equal(got, expected)\n"
    )
    processes = [python(code, where) for _ in range(2)]
    for process in processes:
        assert process.communicate()[1] == ""
        assert process.returncode == 0
    check(network(), cached=True)


def no_folder(where: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    where.write_text("a file where the folder should be")


def read_only(where: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def replace(source: str, target: str) -> None:
        raise PermissionError(f"{target}: Read-only file system")

    monkeypatch.setattr(cache.os, "replace", replace)


def no_execution(where: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(path: Path) -> None:
        raise CompileError(f"{path}: failed to map segment from shared object")

    monkeypatch.setattr(jit, "load_shared", load)


@linux
@pytest.mark.parametrize("problem", [no_folder, read_only, no_execution])
def test_useless_cache_gives_one_warning(
    where: Path,
    monkeypatch: pytest.MonkeyPatch,
    problem: Callable[[Path, pytest.MonkeyPatch], None],
) -> None:
    problem(where, monkeypatch)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check(network(), cached=False)
        check(network(), cached=False)
    assert [w.category for w in caught] == [CacheWarning]


@linux
def test_code_that_cannot_be_mapped_any_more(where: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check(network(), cached=False)
    no_execution(where, monkeypatch)
    with pytest.warns(CacheWarning, match="failed to map"):
        check(network(), cached=False)


def test_network_with_a_fallback_is_not_kept(where: Path) -> None:
    b = Builder()
    x = b.input(quantized((3, 5), DType.UINT8))
    graph = b.graph(b.node(Backwards(), [x], x.type.quant)).read_from(digest_of(b"rows backwards"))
    assert check(graph, cached=False).plan.fallbacks
    check(graph, cached=True)
    assert files(where, ".network") == []


def test_network_with_a_constant_output(where: Path) -> None:
    b = Builder()
    x = b.input(quantized((1, 40), DType.UINT8))
    y = b.node(Logistic(), [x], QParams.per_tensor(1 / 256, 0))
    constants = (b.constant(np.arange(n, dtype=np.int32).reshape(n, 1)) for n in (6, 1, 0))
    graph = b.graph(next(constants), y, *constants).read_from(digest_of(b"constant"))
    check(graph, cached=False)
    check(graph, cached=True)
    assert len(files(where, ".network")) == 1


def test_network_that_returns_strings_is_not_kept(where: Path) -> None:
    b = Builder()
    x = b.input(quantized((1, 40), DType.UINT8))
    words = b.constant(np.array([b"one", b"two"], object))
    graph = b.graph(b.node(Logistic(), [x], QParams.per_tensor(1 / 256, 0)), words)
    graph = graph.read_from(digest_of(b"strings"))
    for _ in range(2):
        assert ew.compile(graph)(*random_inputs(graph))[1].tolist() == [b"one", b"two"]
    assert files(where, ".network") == []


def test_network_with_states(where: Path) -> None:
    content = accumulator()
    x = np.ones(3, np.float32)
    for cached in (False, True):
        program = ew.compile(ew.load(content))
        assert program.cached is cached
        for turn in range(1, 4):
            np.testing.assert_array_equal(program(x), np.float32([1, 2, 3]) + turn)
    assert len(files(where, ".network")) == 1


def test_other_shapes_signatures_and_options_are_other_networks(where: Path) -> None:
    content = two_networks()
    for graph in (
        ew.load(content),
        ew.load(content, shapes={"input": (4, 3)}),
        ew.load(content, signature="double"),
    ):
        ew.compile(graph)
        assert ew.compile(graph).cached
    assert len(files(where, ".network")) == 3
    ew.compile(ew.load(content), requantization="fixed_point")
    assert len(files(where, ".network")) == 4


def test_network_too_large_for_the_cache_is_not_kept(
    where: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgewise.codegen.stored.MAX_BYTES", 100)
    check(network(), cached=False)
    check(network(), cached=True)
    assert files(where, ".network") == []


@linux
def test_programs_of_one_entry_are_independent(where: Path) -> None:
    check(network(), cached=False)
    first, second = ew.compile(network()), ew.compile(network())
    graph = network()
    arrays = [random_inputs(graph, seed) for seed in (1, 2)]
    expected = [first(*inputs)[0] for inputs in arrays]
    assert not np.array_equal(*expected)
    for _ in range(2):
        for program in (first, second):
            for inputs, result in zip(arrays, expected, strict=True):
                np.testing.assert_array_equal(program(*inputs)[0], result)
