"""A pytest plugin: PyTorch's own tests, with another class in the place of torch.optim.SGD.

    pytest -p redirect --redirect-class exactsgd:SGD --redirect-report FILE ...

Before a test module is imported, every name through which PyTorch's tests reach SGD is bound to the class.  The report says of
each test how it ended, how often it constructed and stepped the class, and the stock one, and how often PyTorch's own code
computed a step.  Tests that are surely about something else are left out, to save time.  "python redirect.py MODULE:CLASS" says
whether the class can stand in.
"""

import functools
import importlib
import inspect
import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch.testing._internal import common_cuda, common_mkldnn

MODULE = importlib.import_module("torch.optim.sgd")  # which torch.optim deletes from its own names
STOCK = torch.optim.SGD
KERNELS = ("_single_tensor_sgd", "_multi_tensor_sgd", "_fused_sgd")
"""Of torch.optim.sgd: what computes a step there."""


class ClassError(Exception):
    """One line: why the class cannot stand in."""


def find_class(name: str) -> type:
    module_name, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), attribute, None)
    except ImportError as error:
        raise ClassError(f"{name}: {error}") from None
    if not isinstance(found, type):
        raise ClassError(f"{name}: {module_name} has no class {attribute or '(MODULE:CLASS is wanted)'}")
    if not issubclass(found, torch.optim.Optimizer):
        raise ClassError(f"{name}: not a torch.optim.Optimizer")
    if found.__name__ != STOCK.__name__:
        raise ClassError(f"{name}: PyTorch's tests go by the name of the class, which must be SGD")
    return found


# ---- rebinding -------------------------------------------------------------------------------------------------------------


def bring_back_what_newer_versions_lost() -> None:
    """Names that the test files import from torch.testing._internal, and do not use on a CPU."""
    for module, name, stand_in in (
        (common_cuda, "tf32_is_not_fp32", lambda: False),
        (common_mkldnn, "bf32_on_and_off", lambda *_: lambda test: test),
    ):
        if not hasattr(module, name):
            setattr(module, name, stand_in)


def rebind_defaults(module: ModuleType, cls: type) -> None:
    """Default arguments of a module's functions: "optimizer_ctor=torch.optim.SGD"."""
    for function in vars(module).values():
        if inspect.isfunction(function) and STOCK in (function.__defaults__ or ()):
            function.__defaults__ = tuple(cls if value is STOCK else value for value in function.__defaults__ or ())


def redirect(cls: type) -> None:
    torch.optim.SGD = MODULE.SGD = cls  # type: ignore[misc, attr-defined]
    from torch.testing._internal import common_optimizers

    for info in common_optimizers.optim_db:
        if info.optim_cls is STOCK:
            info.optim_cls = cls
    rebind_defaults(common_cuda, cls)


# ---- counting --------------------------------------------------------------------------------------------------------------


class Touches:
    """What the running test did to one class."""

    def __init__(self, cls: type) -> None:
        self.constructions = self.steps = 0
        self._count(cls, "__init__", "constructions")
        self._count(cls, "step", "steps")

    def _count(self, cls: type, method: str, what: str) -> None:
        original = getattr(cls, method)

        @functools.wraps(original)
        def counted(*args: Any, **kwargs: Any) -> Any:
            setattr(self, what, getattr(self, what) + 1)
            return original(*args, **kwargs)

        setattr(cls, method, counted)

    def take(self) -> tuple[int, int]:
        taken = self.constructions, self.steps
        self.constructions = self.steps = 0
        return taken


class Kernels:
    """How often PyTorch's own code computed a step, for whichever class."""

    def __init__(self) -> None:
        self.calls = 0
        for name in KERNELS:
            setattr(MODULE, name, self._counted(getattr(MODULE, name)))

    def _counted(self, original: Any) -> Any:
        @functools.wraps(original)
        def counted(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            return original(*args, **kwargs)

        return counted

    def take(self) -> int:
        calls, self.calls = self.calls, 0
        return calls


def forbid_inherited(cls: type) -> None:
    """Methods of torch.optim.Optimizer raise for the class, so that whatever works is its own."""
    base = torch.optim.Optimizer

    def forbidden(name: str, original: Any) -> Any:
        @functools.wraps(original)
        def guarded(self: Any, *args: Any, **kwargs: Any) -> Any:
            if isinstance(self, cls):
                raise AssertionError(f"torch.optim.Optimizer.{name} was called")
            return original(self, *args, **kwargs)

        return guarded

    for name, value in list(vars(base).items()):
        if inspect.isfunction(value):
            setattr(base, name, forbidden(name, value))


# ---- which tests -------------------------------------------------------------------------------------------------------------


def source_of(item: pytest.Item) -> str:
    try:
        return inspect.getsource(item.function)  # type: ignore[attr-defined]
    except (OSError, TypeError):
        return ""


def is_related(item: pytest.Item, others: re.Pattern[str]) -> bool:
    """False for tests that are surely about something else: of another optimizer, or of tensors in test_torch.py."""
    if item.path.name == "test_torch.py":
        return bool(re.search("SGD|GradScaler|_scaling_case", source_of(item)))
    return not others.search(item.name) or "SGD" in source_of(item)


# ---- the plugin ------------------------------------------------------------------------------------------------------------


class Report:
    """A line of JSON when a test starts and when it ends, so that a crash leaves a trace."""

    def __init__(self, cls: type, path: Path) -> None:
        self.file = path.open("w")
        self.stock, self.kernels = Touches(STOCK), Kernels()
        self.ours = self.stock if cls is STOCK else Touches(cls)
        self.entry: dict[str, Any] = {}

    def write(self, entry: dict[str, Any]) -> None:
        print(json.dumps(entry), file=self.file, flush=True)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        from torch.testing._internal.common_optimizers import optim_db

        names = {info.optim_cls.__name__ for info in optim_db} - {"SGD"}
        others = re.compile(f"_({'|'.join(names)})_")
        items[:] = [item for item in items if is_related(item, others)]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Any:
        self.write({"test": item.nodeid, "outcome": "died"})
        self.entry = {"test": item.nodeid, "outcome": "passed", "why": "", "seconds": 0.0}
        self.ours.take(), self.stock.take(), self.kernels.take()
        result = yield
        ours, kernels = self.ours.take(), self.kernels.take()
        stock = ours if self.ours is self.stock else self.stock.take()
        self.write({**self.entry, "ours": ours, "stock": stock, "kernels": kernels})
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.entry["seconds"] += report.duration
        if report.failed:
            self.entry["outcome"], self.entry["why"] = "failed", report.longreprtext
        elif report.skipped and self.entry["outcome"] == "passed" and not hasattr(report, "wasxfail"):
            self.entry["outcome"] = "skipped"
            self.entry["why"] = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("redirect")
    group.addoption("--redirect-class", default="torch.optim:SGD", help="MODULE:CLASS")
    group.addoption("--redirect-report", type=Path, required=True, help="file for lines of JSON")
    group.addoption("--redirect-forbid-inherited", action="store_true", help="torch.optim.Optimizer's methods raise")


def pytest_configure(config: pytest.Config) -> None:
    cls = find_class(config.getoption("--redirect-class"))
    bring_back_what_newer_versions_lost()
    redirect(cls)
    if config.getoption("--redirect-forbid-inherited"):
        forbid_inherited(cls)
    config.pluginmanager.register(Report(cls, config.getoption("--redirect-report")))


if __name__ == "__main__":
    try:
        find_class(sys.argv[1])
    except ClassError as error:
        sys.exit(str(error))
    print(torch.__version__)
