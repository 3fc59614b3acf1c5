"""Goals and tables over made results whose figures are known."""
import fnmatch
import json
import pathlib

import pytest
from made_results import entries_of, result, small
from sgd_bench import beside, goals, table
from sgd_bench.results import load


@pytest.fixture
def loaded(tmp_path):
    def load_made(document):
        path = tmp_path / "made.json"
        path.write_text(json.dumps(document))
        return load(path)

    return load_made


def exact(document, name, milliseconds):
    """Gives a case the same time in every round."""
    for entry in entries_of(document, name):
        entry["real_time"] = milliseconds
    assert entries_of(document, name)


def block_of(run, shapes, dtype="f32", threads=1):
    wanted = {"shapes": shapes, "dtype": dtype, "threads": threads}
    return next(block for block in beside.blocks(run) if wanted.items() <= block.labels.items())


def line_of(text, title, *words):
    """The row that begins with the words, in the block with this title."""
    lines = text.split(title, 1)[1].splitlines()
    return next(line for line in lines if line.split()[:len(words)] == list(words))


@pytest.fixture
def known():
    document = small()
    for path, milliseconds in ("forloop", 50), ("foreach", 60), ("fused", 24):
        exact(document, f"{path}/torch/f32/resnet50/threads:1", milliseconds)
    exact(document, "forloop/single_pass/f32/resnet50/threads:1", 20)
    return document


def test_ratios_against_each_path(loaded, known):
    block = block_of(loaded(known), "resnet50")
    ours = block.cases["forloop", "single_pass"]
    assert [beside.against(block, ours, which).value for which in
            ("same/torch", "foreach/torch", "fused/torch", "fastest/torch")] == [2.5, 3.0, 1.2, 1.2]
    assert block.fastest().labels["path"] == "fused"


def test_share_of_the_limit(loaded, known):
    exact(known, "limit/streams_3r2w/f32/resnet50/threads:1", 19)
    block = block_of(loaded(known), "resnet50")
    assert beside.against(block, block.cases["forloop", "single_pass"], "limit").value == pytest.approx(0.95)


def test_table(loaded, known):
    run = loaded(known)
    text = table.text(run)
    assert max(map(len, text.splitlines())) <= table.WIDTH
    assert text.lstrip().startswith("resnet50 f32, 1 thread: 2.50 [2.50, 2.50] times as fast as PyTorch's default")
    row = line_of(text, "resnet50 f32, 1 thread: 161", "forloop", "single_pass")
    assert row[46:] == "    2.50 [2.50, 2.50]    1.20 [1.20, 1.20]      equal"
    assert line_of(text, "resnet50 f32, 1 thread: 161", "fused", "torch").split()[-3:] == ["1", "1", "equal"]
    for words in ("Made Machine 9000, 2 cores", "2026-11-27", "torch 2.13.0+cpu", "noise     1.2 %"):
        assert words in text
    for block in beside.blocks(run):
        assert table.title(block) in text


def test_disturbed_and_partial_runs_say_so(loaded, known):
    known["context"].update(partial=True, noise={"figure": 0.2, "disturbed": True, "why": "load 3.1"})
    text = table.text(loaded(known))
    assert "DISTURBED, load 3.1" in text and "ended early" in text


def test_a_wrong_answer_has_no_ratio(loaded, known):
    for entry in entries_of(known, "forloop/single_pass/f32/resnet50/threads:1"):
        entry.update(bits="wrong", bits_why="differs")
    run = loaded(known)
    text = table.text(run)
    assert line_of(text, "resnet50 f32, 1 thread: 161", "forloop", "single_pass").split() == ["forloop", "single_pass", "WRONG"]
    assert not text.lstrip().startswith("resnet50 f32, 1 thread: 2.5")
    assert goals.judge(run, goals.goals()[0], 1).ratio is None


def test_bits_of_a_defect_are_marked(loaded):
    document = small(dtypes=("bf16",))
    text = table.text(loaded(document))
    title = "resnet50 bf16, 1 thread: 161"
    assert line_of(text, title, "fused", "torch").endswith(" equal*")
    assert line_of(text, title, "fused", "single_pass").endswith(" equal")
    assert "pytorch#191763" in text


def test_compiled_says_why_it_is_unchecked(loaded, known):
    for entry in entries_of(known, "forloop/compiled/f32/resnet50/threads:1"):
        entry.update(bits="unchecked", bits_why="other bits than eager")
    text = table.text(loaded(known))
    assert line_of(text, "resnet50 f32, 1 thread: 161", "forloop", "compiled").endswith("unchecked")
    assert "forloop/compiled: other bits than eager" in text


def test_without_pytorch_there_are_no_ratios(loaded):
    document = small()
    document["benchmarks"] = [entry for entry in document["benchmarks"]
                              if "/single_pass/" in entry["run_name"] or "limit" in entry["run_name"]]
    text = table.text(loaded(document), drop_in=goals.drop_in(loaded(document)))
    assert line_of(text, "resnet50 f32, 1 thread: 161", "forloop", "single_pass").split()[-1] == "equal"
    assert "times as fast as PyTorch" not in text and "drop-in" not in text


# ---- goals -----------------------------------------------------------------------------------------------------------


def verdict(run, what, threads=1):
    return next(each for each in goals.verdicts(run) if (each.what, each.threads) == (what, threads))


def test_goals_are_judged_by_what_was_measured(loaded, known):
    run = loaded(known)
    found = verdict(run, "f32 ResNet-50, against for-loop")
    assert (found.ratio.value, found.at_least, found.reached) == (2.5, 2.4, True)
    exact(known, "forloop/single_pass/f32/resnet50/threads:1", 21)
    assert not verdict(loaded(known), "f32 ResNet-50, against for-loop").reached


def test_of_several_the_least_counts(loaded):
    document = result(sets=("resnet50", "many-small"), dtypes=("f32", "bf16"))
    exact(document, "foreach/python/bf16/many-small/threads:1", 1000)
    run = loaded(document)
    found = verdict(run, "drop-in, all of these, against same path")
    assert (found.where, found.count, found.reached) == ("foreach/python/bf16/many-small", 12, False)
    text = table.text(run, goals.verdicts(run))
    assert max(map(len, text.splitlines())) <= table.WIDTH
    assert "on 1 thread foreach/python/bf16/many-small, of 12" in " ".join(text.split())


def test_drop_in_line_names_the_least(loaded, known):
    exact(known, "fused/python/f32/resnet50/threads:1", 30)
    line = table.drop_in_line(goals.drop_in(loaded(known)))
    assert line == ("drop-in: 0.80 [0.80, 0.80] times as fast as torch.optim.SGD on the same path at least, over 60 cases; the "
                    "least is fused/python/f32/resnet50/threads:1: BELOW 1")


def test_filters_select_each_goal_and_what_it_is_held_against(loaded):
    document = result(sets=("resnet50", "many-small", "one-large"), threads=(1, 2), hypers=("momentum_decay", "nesterov"))
    globs = goals.filters()
    chosen = {**document, "benchmarks": [
        entry for entry in document["benchmarks"]
        if entry["run_name"].startswith("limit/") or any(fnmatch.fnmatchcase(entry["run_name"], glob) for glob in globs)]}
    assert len(chosen["benchmarks"]) < len(document["benchmarks"]) / 1.5
    assert goals.verdicts(loaded(chosen)) == goals.verdicts(loaded(document))


def test_goals_in_shipped_shape_sets():
    shipped = {path.stem for path in (pathlib.Path(__file__).parents[2] / "shapes").glob("*.txt")}
    assert set(goals.sets()) <= shipped


def test_markdown(loaded, known):
    run = loaded(known)
    text = table.markdown(run, goals.verdicts(run))
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert "| f32 ResNet-50, against for-loop | 2.4 | 2.50 [2.50, 2.50] | yes |" in text
    assert "| forloop | single_pass | 20.00 |" in text
    assert all(line.count("|") in (7, 8) for line in rows)
