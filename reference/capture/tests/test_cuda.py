"""What would be broken: runs meant for a GPU that are not what they say, or a comparison that cannot see a wrong bit."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from capture.cuda import __main__ as command
from capture.cuda import made, model, nans, running, runs, speed
from capture.cuda.captured import Captured
from capture.cuda.judging import Tally, first_difference, is_nan
from capture.plan import CAPABILITY_CODES
from capture.reading import read
from helpers import comparable

INTERPRETED = runs.read(command.INTERPRETED)


@pytest.mark.parametrize("arch", runs.ARCHS)
def test_the_model_gives_the_interpreted_bits(arch):
    tally = Tally()
    for run, states in zip(*INTERPRETED[:2], strict=True):
        if run.arch == arch:
            tally.add(run, model.states_of(run, exceptions=arch != "sm_100"), states)
    assert (tally.runs, tally.equal) == (1536, 1536), "\n".join(tally.lines(arch))


def test_the_interpreted_runs_can_tell_the_architectures_apart():
    tally = Tally()
    for run, states in zip(*INTERPRETED[:2], strict=True):
        if run.arch == "sm_90":
            tally.add(run, model.states_of(run, exceptions=False), states)
    assert {cell.split()[0] for cell in tally.cells} >= {"fused/f32", "fused/f64", "fused/f16", "fused/bf16"}


@pytest.mark.parametrize("name, run, special, plain", [pytest.param(*case, id=case[0].replace(" ", "-")) for case in made.micro()])
def test_the_micro_vectors_tell_the_exceptions(name, run, special, plain):
    for exceptions, expected in ((True, special), (False, plain)):
        _, param, buffer = model.states_of(run, exceptions)[0]
        assert int((param if name.startswith("E2") else buffer)[0]) == expected


def test_what_is_written_is_read_back(tmp_path):
    some = [*list(made.features(3, 1))[::7], *list(made.nan_grid())[::29], *(run for _, run, _, _ in made.micro())]
    random = np.random.default_rng(4)
    outcomes = [[tuple(random.integers(0, 256, run.param.nbytes, np.uint8).view(run.uint) for _ in range(3)) for _ in run.grads]
                for run in some]
    path = tmp_path / "any.h5"
    path.write_bytes(runs.write(some, outcomes, {"seed": 3}))
    again, states, attributes = runs.read(path)
    assert [{name: comparable(value) for name, value in vars(run).items()} for run in again] == [
        {name: comparable(value) for name, value in vars(replace(run, found_inf=run.found_inf[: len(run.grads)])).items()} for run in some]
    assert comparable(states) == comparable(outcomes)
    assert attributes["seed"] == "3" and attributes["format"] == runs.FORMAT


def test_a_file_of_another_schema_is_refused(small_file):
    with pytest.raises(ValueError, match="not a file of CUDA runs"):
        runs.read(small_file)


@pytest.mark.parametrize("dtype", runs.DTYPES)
def test_a_misaligned_tensor_starts_one_element_late_and_keeps_its_bits(dtype):
    run = next(run for run in made.features(1, 1) if run.dtype == dtype and run.misaligned & runs.GRAD)
    tensor = running.placed(run, run.grads[0], runs.GRAD, "cpu")
    assert tensor.numel() == run.numel and tensor.storage_offset() == 1 and tensor.data_ptr() % 64 == tensor.element_size()
    assert comparable(running.words_of(run, tensor)) == comparable(run.grads[0])


def test_a_fused_first_step_that_is_skipped_leaves_zeros_where_pytorch_leaves_chance():
    one = np.ones(3, np.uint32)
    run = runs.Run("f32", "fused", 3, 0.1, 0.9, 0.0, 0.0, False, False, one, (one,), grad_scale=2.0, found_inf=(1.0,))
    assert comparable(running.states_of(run, "cpu")[0][2]) == comparable(np.zeros(3, np.uint32))


def test_a_flipped_bit_is_seen_and_a_nan_is_a_nan():
    one, nan, other = (np.array([bits], np.uint32) for bits in (0x3F800000, 0x7FC00000, 0xFFC00001))
    run = runs.Run("f32", "forloop", 1, 0.1, 0.0, 0.0, 0.0, False, False, one, (one,))
    assert first_difference(run, [(one, one, nan)], [(one, one, other)], nan_is_nan=True) is None
    assert "buffer[0]" in first_difference(run, [(one, one, nan)], [(one, one, other)], nan_is_nan=False)
    assert "param[0] of 1: 3f800000, expected 3f800001" in first_difference(run, [(one, one, one)], [(one, one ^ 1, one)], nan_is_nan=True)


@pytest.mark.parametrize("rule, expected", [
    (lambda p, g, b: np.full_like(p, 0x7FFFFFFF), "always 7fffffff; made 7fffffff"),
    (lambda p, g, b: g, "raw g"),
    (lambda p, g, b: g ^ np.uint32(0x80000000), "raw -g"),
    (lambda p, g, b: np.where(is_nan("f32", b), b, np.where(is_nan("f32", p), p ^ np.uint32(0x80000000), g)) | np.uint32(0x400000),
     "b -p g; made 7fc00000"),
])
def test_the_rule_behind_nans_is_found(rule, expected):
    run = next(run for run in made.nan_grid() if run.dtype == "f32" and run.buffer is not None)
    assert nans.describe(run, rule(run.param, run.grads[0], run.buffer)) == expected


def test_nans_without_a_rule_are_listed_and_those_that_infinities_made_told_apart():
    run = next(run for run in made.nan_grid() if run.dtype == "f32" and run.buffer is None and run.momentum)
    from_nan = is_nan("f32", run.param) | is_nan("f32", run.grads[0])
    words = np.where(from_nan, np.where(np.arange(run.numel) % 2, 0x7FC00001, 0x7FC00003), 0x7FC00002).astype(np.uint32)
    assert nans.describe(run, words) == "no rule, seen 7fc00001 7fc00003; made 7fc00002"


def test_a_part_that_fails_loses_no_other(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(command.Check, "singles", lambda whole: 1 / 0)
    monkeypatch.setattr(command.Check, "replay", lambda whole: [])
    assert command.main(["--out", str(tmp_path), "--device", "cpu", "--problems", "4", "--long", "0"]) == 1
    assert "FAILED: ZeroDivisionError" in capsys.readouterr().out
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".h5", ".txt"]


def test_what_pytorch_refuses_is_counted_with_its_reason():
    one = np.ones(2, np.uint32)
    captured = Captured()
    captured.add(runs.Run("c64", "fused", 1, 0.1, 0.0, 0.0, 0.0, False, False, one, (one,), found_inf=(None,)), "cpu", True)
    assert captured.runs == [] and ["fused/c64: PyTorch raises" in line for line in captured.lines("runs")] == [False, True]


def test_the_program_runs_without_a_gpu_and_its_files_are_read(tmp_path, capsys, small_file):
    assert command.main(["--out", str(tmp_path), "--device", "cpu", "--problems", "5", "--rounds", "1", "--long", "6"]) == 0
    assert capsys.readouterr().out == (tmp_path / "report.txt").read_text()
    files = sorted(tmp_path.glob("*.h5"))
    captured, states, attributes = runs.read(files[0])
    assert {run.kind for run in captured} == set(runs.KINDS) and attributes["source"].endswith("stepped on cpu")
    for run, found in zip(captured, states, strict=True):
        if run.path == "forloop" and run.dtype in ("f32", "f64") and run.lr_is_tensor < 2:
            assert first_difference(run, found, model.states_of(run, True), nan_is_nan=True) is None
    contents = read(files[1])
    assert {case.run.capability for case in contents.cases} == {contents.attributes["capabilities"]}
    assert contents.attributes.keys() >= read(small_file).attributes.keys()


def test_a_folder_that_is_not_there_is_one_line(tmp_path, capsys):
    assert command.main(["--out", str(tmp_path / "missing"), "--device", "cpu"]) == 2
    assert capsys.readouterr().err == f"capture.cuda: {tmp_path}/missing: no such folder\n"


@pytest.mark.parametrize("arguments, words", [
    (["--device", "tpu"], "--device"), (["--device", "cpu", "--seed", "-1"], "--seed"), (["--device", "cpu", "--rounds", "x"], "--rounds"),
])
def test_an_option_that_is_not_understood_is_one_line(tmp_path, capsys, arguments, words):
    assert command.main(["--out", str(tmp_path), *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("capture.cuda: ") and error.count("\n") == 1 and words in error


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_machine_without_a_gpu_is_one_line(tmp_path, capsys):
    assert command.main(["--out", str(tmp_path), "--device", "cuda"]) == 2
    assert capsys.readouterr().err == f"capture.cuda: torch {torch.__version__} finds no GPU\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("capability, name", [((7, 5), "cuda-sm80"), ((8, 6), "cuda-sm80"), ((9, 0), "cuda-sm90"), ((12, 0), "cuda-sm100")])
def test_every_gpu_has_a_name_among_the_capabilities(capability, name):
    assert command.capability_of(*capability) == name and name in CAPABILITY_CODES


def test_shapes_are_read():
    assert sum(speed.sizes_of(speed.SHAPES / "resnet50.txt")) == 25_557_032
    assert speed.sizes_of(speed.SHAPES / "many-small.txt") == [64] * 1000
