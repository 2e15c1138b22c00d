"""The report is one page that needs nothing else, and that Chromium shows without complaint."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from float_nets import classifier, state_of

from browser import Page, opened
from edgewise.errors import InputError
from edgewise.graph import Graph, Node, Value
from edgewise.quantizer import Range, State, convert
from edgewise.quantizer.diagnosis import diagnose
from edgewise.quantizer.findings import Diagnosis
from edgewise.quantizer.report import page, save_report, to_facts
from networks import random_inputs

PLOTS = ("sqnr", "saturation", "channels", "sizes", "times")
HOSTILE = "</script><script>document.title='taken'</script><img src=x onerror=alert(1)>@script@"


def diagnosed(state: State) -> Diagnosis:
    samples = [random_inputs(state.graph, seed) for seed in range(3)]
    return diagnose(state, convert(state), samples)


def clipped() -> State:
    """A network where one range is too narrow, so that values saturate."""
    state = state_of(classifier())
    return replace(state, ranges={**state.ranges, "d": Range(-0.5, 0.75)})


def renamed(graph: Graph, names: dict[str, str]) -> Graph:
    """The graph with other names for some of its values."""
    known: dict[Value, Value] = {}

    def of(value: Value) -> Value:
        name = names.get(value.name, value.name)
        return known.setdefault(value, replace(value, name=name))

    nodes = [
        Node(n.op, tuple(map(of, n.inputs)), tuple(map(of, n.outputs)), n.origin)
        for n in graph.nodes
    ]
    inputs, outputs = tuple(map(of, graph.inputs)), tuple(map(of, graph.outputs))
    return replace(graph, inputs=inputs, outputs=outputs, nodes=tuple(nodes))


@pytest.fixture(scope="module")
def found() -> Diagnosis:
    return diagnosed(clipped())


@pytest.fixture(scope="module")
def report(found: Diagnosis, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    save_report(found, path)
    return path


@pytest.fixture(scope="module")
def shown(report: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with opened(report, tmp_path_factory.mktemp("profile")) as page:
        yield page


def embedded(text: str) -> Any:
    (facts,) = re.findall(r'<script id="facts" type="application/json">(.*?)</script>', text)
    return json.loads(facts)


def test_the_page_holds_the_facts(found: Diagnosis, report: Path) -> None:
    text = report.read_text("utf-8")
    assert embedded(text) == json.loads(json.dumps(to_facts(found)))


def test_the_page_needs_nothing_else(report: Path) -> None:
    text = report.read_text("utf-8")
    assert re.findall(r'(?:src|href)="(?!data:,)', text) == []
    assert set(re.findall(r"https?://[\w./]+", text)) <= {"http://www.w3.org/2000/svg"}
    assert "default-src 'none'" in text
    assert len(text) < 100_000


def test_equal_diagnoses_give_equal_pages(found: Diagnosis) -> None:
    assert page(found) == page(found)


def test_a_report_is_there_whole_or_not_at_all(found: Diagnosis, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("before")
    with pytest.raises(TypeError):
        save_report(replace(found, samples=object()), path)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(InputError, match="cannot be written"):
        save_report(found, tmp_path / "missing" / "report.html")


def test_it_opens_without_complaint_and_loads_nothing(shown: Page, report: Path) -> None:
    assert shown.complaints == []
    assert shown.requests == [report.as_uri()]


def drawn(page: Page) -> dict[str, tuple[int, int]]:
    """Of each plot: how many pixels are no paper, and how many are of a colour."""
    picture = page.screenshot().astype(int)
    boxes = page.evaluate(
        "[...document.querySelectorAll('[data-plot]')].map(plot => {"
        "  const box = plot.getBoundingClientRect();"
        "  return [plot.dataset.plot, box.left + scrollX, box.top + scrollY, box.width, box.height]"
        "})"
    )
    paper = picture[2, 2]
    found = {}
    for name, *box in boxes:
        left, top, width, height = map(int, box)
        part = picture[top : top + height, left : left + width]
        inked = np.abs(part - paper).max(-1) > 24
        coloured = part.max(-1) - part.min(-1) > 70
        found[name] = int(inked.sum()), int(coloured.sum())
    return found


def check_plots(page: Page, diagnosis: Diagnosis) -> None:
    found = drawn(page)
    histograms = [f"{h.of}-{h.layer}" for h in diagnosis.histograms]
    assert list(found) == [*PLOTS, *histograms]
    for name, (inked, coloured) in found.items():
        assert inked > 200, name
        assert coloured > 60, name


def test_the_plots_are_drawn(shown: Page, found: Diagnosis) -> None:
    check_plots(shown, found)


def test_there_is_a_mark_for_each_figure(shown: Page, found: Diagnosis) -> None:
    def count(selector: str) -> int:
        number: int = shown.evaluate(f"document.querySelectorAll('{selector}').length")
        return number

    errors = [e for x in found.layers for e in (x.isolated, x.accumulated) if e]
    assert count("[data-plot=sqnr] circle") == sum(e.sqnr is not None for e in errors)
    assert found.times is not None
    assert count("[data-plot=times] g rect") == 2 * len(found.times.layers)
    assert count("[data-plot=channels] rect") == sum(x.weights is not None for x in found.layers)
    assert count("tbody tr") == len(found.layers)


def column(page: Page, number: int) -> list[str]:
    found: list[str] = page.evaluate(
        f"[...document.querySelectorAll('tbody tr')].map(row => row.cells[{number}].textContent)"
    )
    return found


def sort_by(page: Page, number: int) -> None:
    page.evaluate(f"document.querySelectorAll('th button')[{number}].click()")


def test_the_table_is_sorted_by_any_column(shown: Page, found: Diagnosis) -> None:
    numbers = [str(i) for i in range(len(found.layers))]
    assert column(shown, 0) == numbers
    sort_by(shown, 4)
    up = [float(text) for text in column(shown, 4) if text not in ("", "exact")]
    assert up == sorted(up)
    assert set(column(shown, 4)[len(up) :]) <= {"", "exact"}
    sort_by(shown, 4)
    down = [float(text) for text in column(shown, 4) if text not in ("", "exact")]
    assert down == up[::-1]
    sort_by(shown, 2)
    assert column(shown, 2) == sorted(column(shown, 2))
    sort_by(shown, 0)
    assert column(shown, 0) == numbers


def test_the_table_says_what_the_diagnosis_says(shown: Page, found: Diagnosis) -> None:
    d = next(i for i, x in enumerate(found.layers) if x.name == "d")
    layer = found.layers[d]
    row = [column(shown, c)[d] for c in range(17)]
    assert row[1:4] == ["d", "ADD", "int8"]
    assert layer.isolated is not None
    assert layer.isolated.sqnr is not None
    assert float(row[4]) == pytest.approx(layer.isolated.sqnr, abs=0.051)
    assert layer.activations is not None
    assert float(row[8].split()[0]) == pytest.approx(100 * layer.activations.clipped, rel=0.05)
    assert "saturate" in row[16]


def test_a_click_on_a_plot_finds_the_layer(shown: Page) -> None:
    shown.evaluate(
        "(() => { const plot = document.querySelector('[data-plot=sqnr]');"
        " const box = plot.querySelectorAll('circle')[2].getBoundingClientRect();"
        " const at = {clientX: box.left + 3, clientY: box.top + 3, bubbles: true};"
        " plot.dispatchEvent(new PointerEvent('pointermove', at));"
        " plot.dispatchEvent(new MouseEvent('click', at)); })()"
    )
    assert shown.evaluate("document.querySelector('tr.chosen').cells[0].textContent") == "2"
    assert "2 DEPTHWISE_CONV_2D b" in shown.evaluate("document.getElementById('tip').textContent")
    shown.evaluate("document.getElementById('tip').hidden = true")
    assert shown.complaints == []


@pytest.mark.parametrize("dark", [False, True])
def test_on_a_phone(report: Path, found: Diagnosis, tmp_path: Path, dark: bool) -> None:
    with opened(report, tmp_path / "profile", 390, 800, dark) as page:
        assert page.complaints == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        check_plots(page, found)
        assert (page.screenshot()[2, 2].max() < 128) == dark


def test_names_are_text(tmp_path: Path) -> None:
    state = clipped()
    names = {"d": HOSTILE, "scores": "<b>"}
    ranges = {names.get(name, name): found for name, found in state.ranges.items()}
    precisions = {names.get(name, name): found for name, found in state.precisions.items()}
    graph = replace(renamed(state.graph, names), name=f"<i>{HOSTILE}")
    found = diagnosed(replace(state, graph=graph, ranges=ranges, precisions=precisions))
    found = replace(found, outputs=tuple(replace(x, name="<u>\udcff") for x in found.outputs))
    path = tmp_path / "report.html"
    save_report(found, path)
    text = path.read_text("utf-8")
    assert embedded(text)["name"] == f"<i>{HOSTILE}"
    assert HOSTILE not in text
    with opened(path, tmp_path / "profile") as page:
        assert page.complaints == []
        assert page.requests == [path.as_uri()]
        assert page.evaluate("document.title") == f"<i>{HOSTILE}, quantized"
        assert page.evaluate("document.querySelector('h1').textContent").startswith("<i></script>")
        assert page.evaluate("document.querySelectorAll('img, u').length") == 0
        assert HOSTILE in page.evaluate(
            "document.querySelector('tbody').innerHTML.includes('&lt;')"
            " ? document.querySelector('td[title^=\"</script\"]').title : ''"
        )


def test_figures_and_names_that_are_odd(found: Diagnosis, tmp_path: Path) -> None:
    """Weights of zeros, empty ranges, long names and reasons: no fault, nothing too wide."""
    long = "層/" + "a_name_without_a_break" * 40
    none = Range(0.0, 0.0)
    layers = tuple(
        replace(
            x,
            name=f"{long}{i}",
            left=long,
            activations=x.activations and replace(x.activations, observed=none, chosen=none),
            weights=x.weights and replace(x.weights, channels=(0.0,) * 5, spread=1.0),
        )
        for i, x in enumerate(found.layers)
    )
    histograms = tuple(
        replace(x, low=0.0, high=0.0, chosen=none, counts=(0,) * 120) for x in found.histograms
    )
    path = tmp_path / "report.html"
    save_report(replace(found, layers=layers, histograms=histograms), path)
    with opened(path, tmp_path / "profile", 390, 800) as page:
        assert page.complaints == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert "NaN" not in page.evaluate("document.getElementById('page').innerHTML")


@pytest.mark.parametrize("count", [0, 1])
def test_few_layers(found: Diagnosis, tmp_path: Path, count: int) -> None:
    path = tmp_path / "report.html"
    save_report(replace(found, layers=found.layers[:count], times=None, histograms=()), path)
    with opened(path, tmp_path / "profile") as page:
        assert page.complaints == []
        assert page.evaluate("document.querySelectorAll('tbody tr').length") == count


def test_labels_of_the_axes_are_inside_of_the_plots(found: Diagnosis, tmp_path: Path) -> None:
    """Milliseconds have the longest ones."""
    times = found.times
    assert times is not None
    layers = tuple(replace(x, float_ms=0.01, quantized_ms=0.02) for x in times.layers)
    path = tmp_path / "report.html"
    save_report(replace(found, times=replace(times, layers=layers)), path)
    with opened(path, tmp_path / "profile") as page:
        assert page.evaluate(
            "[...document.querySelectorAll('svg text')].every(text =>"
            " text.getBoundingClientRect().left"
            " >= text.closest('svg').getBoundingClientRect().left)"
        )


def test_a_script_that_is_not_the_pages_own_does_not_run(report: Path, tmp_path: Path) -> None:
    """So would an exception be found, and what a page asks for."""
    text = report.read_text("utf-8")
    added = "<script>document.title = 'taken'</script><img src='https://localhost:1/x.png'>"
    path = tmp_path / "report.html"
    path.write_text(text.replace("<main", f"{added}<main"), "utf-8")
    with opened(path, tmp_path / "profile") as page:
        assert page.evaluate("document.title") != "taken"
        assert sum("Content Security Policy" in words for words in page.complaints) >= 2
        page.evaluate("setTimeout(() => missing(), 0)")
        page.evaluate("new Promise(done => setTimeout(done, 50)).then(() => 0)")
        assert any("missing is not defined" in words for words in page.complaints)
