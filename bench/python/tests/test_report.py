"""The report page, in headless Chromium at the width of a desk and of a hand.

Without Chromium or playwright the tests that need them are skipped.
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys

import made_results
import pytest
from made_results import spoil, write
from sgd_bench import report
from sgd_bench.results import load

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WIDTHS = (1280, 390)
BENCH = pathlib.Path(__file__).parents[3] / "build/default/bench/sgd-bench"
HOSTILE = '<script>document.title="taken"</script>"\'&{{7*7}}'


def html(folder, *documents):
    """The report of these results."""
    files = [write(folder, document, f"result{index}.json") for index, document in enumerate(documents)]
    out = folder / "report.html"
    assert report.main([*map(str, files), "--out", str(out)]) == 0
    return out


# In the browser.

@pytest.fixture(scope="session")
def browser():
    if not CHROMIUM:
        pytest.skip("no Chromium (chromium on Debian)")
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright (requirements-bench-test.txt)")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def opened(browser):
    """Opens pages; says in the end whether one of them complained, or asked for anything but itself."""
    contexts, trouble = [], []

    def open_page(path, width=1280, **options):
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: trouble.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: trouble.append(f"error: {error}"))
        page.on("request", lambda request: request.url == path.as_uri() or trouble.append(f"request: {request.url}"))
        page.goto(path.as_uri())
        drawn(page)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert trouble == []


def drawn(page):
    page.wait_for_selector("html[data-drawn]", state="attached")


def column(page, number):
    """What a column says in the rows that are there to see."""
    return page.eval_on_selector_all(f"#cases tbody tr:not([hidden]) td:nth-child({number})",
                                     "cells => cells.map(cell => cell.dataset.value ?? cell.textContent)")


def shown(page):
    """Names of the rows that are there to see, by the command in their last cell."""
    return [text.split()[-1] for text in page.locator("#cases tbody tr:not([hidden]) td:last-child").all_text_contents()]


def dots(page, kind, key):
    return page.locator(f".panel[data-kind={kind}][data-key={json.dumps(key)}] .plot .point").count()


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    return html(tmp_path_factory.mktemp("small"), made_results.small())


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_draws_everything_and_fits(opened, small, width, scheme):
    page = opened(small, width, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    kinds = page.eval_on_selector_all(".panel", "panels => panels.map(panel => panel.dataset.kind)")
    assert sorted(kinds) == sorted(["ratio"] * 2 + ["limit"] * 2 + ["ladder"] * 2 + ["slope"] * 2)
    # for-loop and foreach have three of ours, fused two; PyTorch has two implementations on each of three paths.
    assert dots(page, "ratio", "resnet50") == 2 * 8
    assert dots(page, "limit", "resnet50") == 2 * (8 + 6)
    assert dots(page, "ladder", "f32") == 3 * (8 + 6)
    assert dots(page, "slope", "ns_per_byte") == 2 * (8 + 6)
    for plot in page.locator(".panel .main-svg:first-child").all():
        assert plot.bounding_box()["width"] <= width
        assert plot.bounding_box()["height"] > 100


@pytest.mark.parametrize("width", WIDTHS)
def test_filters(opened, small, width):
    page = opened(small, width)
    everything, before = shown(page), dots(page, "ratio", "resnet50")
    assert all("threads:1" in row for row in everything)

    page.click("[data-facet=dtype][data-value=bf16]")
    drawn(page)
    assert 0 < len(shown(page)) < len(everything)
    assert all("/bf16/" in row for row in shown(page))
    assert dots(page, "ratio", "resnet50") == before / 2
    assert not page.is_visible(".panel[data-kind=ladder][data-key=f32]")

    page.click("[data-facet=path][data-value=fused]")
    page.click("[data-facet=path][data-value=foreach]")
    page.select_option("select[data-facet=shapes]", "many-small")
    page.select_option("select[data-facet=threads]", "2")
    drawn(page)
    expected = {f"{path}/{implementation}/bf16/many-small/threads:2" for path in ("foreach", "fused")
                for implementation in made_results.COSTS if (path, implementation) != ("fused", "by_op")}
    assert set(shown(page)) == expected
    assert page.text_content("output").startswith(f"{len(expected)} of ")
    assert not page.is_visible(".panel[data-kind=ratio][data-key=resnet50]")

    page.click("button[type=reset]")
    page.wait_for_function("count => document.querySelectorAll('#cases tbody tr:not([hidden])').length === count",
                           arg=len(everything))
    drawn(page)
    assert shown(page) == everything
    assert dots(page, "ratio", "resnet50") == before


def test_sorting(opened, small):
    page = opened(small)
    head = page.locator("#cases th", has_text="time per step")
    number = page.evaluate("head => head.cellIndex + 1", head.element_handle())

    def values():
        return [float(value) for value in column(page, number)]

    assert values() != sorted(values())
    head.get_by_role("button").click()
    assert values() == sorted(values())
    assert head.get_attribute("aria-sort") == "ascending"
    head.get_by_role("button").press("Enter")  # keys do what clicks do
    assert values() == sorted(values(), reverse=True)
    page.locator("#cases th", has_text="shapes").get_by_role("button").click()
    assert head.get_attribute("aria-sort") is None
    assert list(dict.fromkeys(column(page, 5))) == ["ladder:1k", "ladder:64k", "ladder:4096k", "many-small", "resnet50"]


def test_ladder_shows_what_is_asked_for(opened, small):
    page = opened(small)
    ticks = ".panel[data-kind=ladder][data-key=f32] .ytick"
    assert "µs" in page.text_content(ticks)
    for what, unit, count_of in (("gbps", "GB/s", 14), ("ratio", "×", 8)):  # PyTorch has no ratio to itself
        page.select_option("#ladder-what", what)
        drawn(page)
        assert unit in page.text_content(ticks)
        assert dots(page, "ladder", "f32") == 3 * count_of


def test_paper_is_light_and_plots_fit_it(opened, small):
    page = opened(small, color_scheme="dark")
    page.emulate_media(media="print")
    page.wait_for_function("() => document.querySelector('.panel .main-svg').clientWidth === 340")
    drawn(page)
    assert {panel.bounding_box()["width"] for panel in page.locator(".panel:visible").all()} == {340}
    assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(255, 255, 255)"
    assert "fill: rgb(22, 25, 29)" in page.locator(".panel .ytick text").first.get_attribute("style")


def test_what_has_no_value_sorts_last(opened, small):
    page = opened(small)
    head = page.locator("#cases th", has_text="× PyTorch")
    for _ in range(2):
        head.get_by_role("button").click()
        last = page.locator("#cases tbody tr:not([hidden])").last
        assert "/torch/" in last.text_content()  # it has no ratio to itself


def test_nothing_jumps(opened, small):
    page = opened(small)
    page.reload()
    first = page.evaluate("document.querySelector('#cases').getBoundingClientRect().top")
    drawn(page)
    assert page.evaluate("document.querySelector('#cases').getBoundingClientRect().top") == pytest.approx(first, abs=40)
    assert page.evaluate("""new Promise(done => new PerformanceObserver(list => done(list.getEntries().reduce(
        (sum, entry) => sum + entry.value, 0))).observe({type: 'layout-shift', buffered: true})
        || setTimeout(() => done(0), 300))""") < 0.05


def test_runs_beside_each_other(opened, tmp_path):
    other = made_results.small(dtypes=("f32",), threads=(1,), partial=True, commit="7654321")
    page = opened(html(tmp_path, made_results.small(), other), 390)
    assert page.locator("table.runs tbody tr").count() == 2
    assert "partial" in page.locator("table.runs tbody tr").last.text_content()
    first = shown(page)
    assert "complete" in page.locator(".verdicts:visible").text_content()
    page.locator("[name=run]").last.check()
    drawn(page)
    assert "partial" in page.locator(".verdicts:visible").text_content()
    assert 0 < len(shown(page)) < len(first)
    assert dots(page, "ratio", "resnet50") == 8
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_values_from_the_file_are_only_text(opened, tmp_path):
    document = made_results.small()
    for entry in document["benchmarks"]:
        if entry.get("shapes") == "resnet50":
            entry.update(shapes=HOSTILE, run_name=entry["run_name"].replace("resnet50", HOSTILE), bits_why=HOSTILE)
    document["context"].update(commit=HOSTILE, flags=HOSTILE)
    document["context"]["machine"]["cpu"] = HOSTILE
    page = opened(html(tmp_path, document))
    assert page.title().startswith("sgd-bench: " + HOSTILE)
    assert HOSTILE in page.text_content(".facts")
    assert HOSTILE in page.eval_on_selector_all(".panel[data-kind=ratio] b", "heads => heads.map(head => head.textContent)")
    page.locator(".panel[data-kind=ratio] .point").first.hover(force=True)
    assert HOSTILE in page.text_content(".hoverlayer")


def test_run_without_pytorch_and_slopes(opened, tmp_path):
    document = made_results.small()
    document["benchmarks"] = [entry for entry in document["benchmarks"]
                              if entry.get("implementation") not in ("torch", "compiled")]
    del document["slopes"]
    page = opened(html(tmp_path, document))
    assert "No PyTorch in this run" in page.text_content("main")
    assert not page.is_visible(".panel[data-kind=ratio]")
    assert dots(page, "limit", "resnet50") == 2 * 8


@pytest.mark.skipif(not BENCH.exists(), reason=f"no {BENCH}")
@pytest.mark.parametrize("how, implementations, ratios", [("run", "single_pass,by_op", 0),
                                                          ("vs-torch", "single_pass,by_op,torch", 9)])
def test_what_sgd_bench_itself_wrote(opened, tmp_path, how, implementations, ratios):
    if how == "vs-torch":
        pytest.importorskip("torch")
    environment = {**os.environ, "EXACTSGD_PYTHON": sys.executable}

    def bench(*arguments):
        subprocess.run([BENCH, *arguments], check=True, env=environment, stdout=subprocess.DEVNULL, timeout=300)

    bench(how, "--shapes=many-small,ladder:1k", "--dtype=f32,c64", "--threads=1", f"--implementation={implementations}",
          "--min-time=0.0001", "--repetitions=2", f"--json={tmp_path / 'result.json'}")
    bench("report", tmp_path / "result.json", "--out", tmp_path / "report.html")
    page = opened(tmp_path / "report.html", 390)
    assert "all 18 cases right" in page.text_content(".verdicts")
    pytorch = 2 * 5 if ratios else 0  # fused has no complex dtypes
    assert len(shown(page)) == 18 + pytorch
    assert dots(page, "ratio", "many-small") == ratios
    assert dots(page, "limit", "many-small") == 9 + pytorch / 2
    assert dots(page, "ladder", "c64") == 4 + (2 if pytorch else 0)
    slopes = json.loads((tmp_path / "result.json").read_text())["slopes"]  # which of them can be told depends on the times
    assert dots(page, "slope", "ns_per_tensor") == len(slopes)


def test_cost_of_nothing_has_its_place(opened, tmp_path):
    document = made_results.small()
    for slope in document["slopes"]:
        if slope["implementation"] == "single_pass":
            slope["ns_per_tensor"] = 0.0
    page = opened(html(tmp_path, document))
    assert dots(page, "slope", "ns_per_tensor") == 2 * 14
    assert "0 ns" in page.locator(".panel[data-key=ns_per_tensor] .annotation").all_text_contents()


# What the page says.

WRONG, FAILED = "forloop/single_pass/bf16/resnet50/threads:1", "fused/python/f32/many-small/threads:2"


def test_wrong_bits_come_before_any_speed_and_have_none(opened, tmp_path):
    document = spoil(made_results.small(), WRONG, bits="wrong", bits_why="3 elements of conv1.weight")
    page = opened(html(tmp_path, document))
    alarm = page.locator("[role=alert]")
    assert "wrong bits" in alarm.text_content() and WRONG in alarm.text_content()
    assert "3 elements of conv1.weight" in alarm.text_content()
    parts = ("[role=alert]", ".verdicts", ".summary", ".panel", "#cases")
    tops = [page.locator(part).first.bounding_box()["y"] for part in parts]
    assert tops == sorted(tops)
    assert dots(page, "ratio", "resnet50") == 2 * 8 - 1
    assert dots(page, "limit", "resnet50") == 2 * 14 - 1
    # Nor does another implementation lend it its own: five lanes have a number, and six did.
    assert page.locator(".panel[data-kind=ratio][data-key=resnet50] .annotation").count() == 2 * 3 - 1
    row = page.locator("tr.wrong")
    assert WRONG in row.text_content() and "✕ wrong" in row.text_content()


def test_bits_of_pytorch_alone_do_not_alarm(tmp_path):
    text = html(tmp_path, spoil(made_results.small(), "fused/torch/bf16/resnet50/threads:1", bits="wrong")).read_text()
    assert 'role="alert"' not in text
    assert "PyTorch's own bits are not those of the contract in 1 of " in text
    run = load(tmp_path / "result0.json")
    assert next(case for case in run.cases if case.name == "fused/single_pass/bf16/resnet50/threads:1").ratio


def test_failed_case_says_why(tmp_path):
    document = spoil(made_results.small(), FAILED, error_occurred=True, error_message="out of luck", real_time=0.0)
    text = html(tmp_path, document).read_text()
    assert 'role="alert"' in text and "1 of 280 cases failed" in text and "out of luck" in text


def test_partial_disturbed_unchecked(tmp_path):
    document = made_results.small(partial=True, noise={"figure": 0.31, "disturbed": True, "why": "a build ran beside"})
    spoil(document, WRONG, bits="unchecked")
    text = html(tmp_path, document).read_text()
    for words in ("A partial run.", "a build ran beside", "disturbed: noise 31 %", "1 of 160 cases unchecked"):
        assert words in text


def test_every_row_has_its_command(small):
    text = small.read_text()
    assert "sgd-bench run --filter forloop/by_op/f32/resnet50/threads:2<" in text
    assert "sgd-bench vs-torch --filter fused/torch/f32/resnet50/threads:2<" in text
    assert text.count("<code>sgd-bench run --filter ") + text.count("<code>sgd-bench vs-torch --filter ") == 280
