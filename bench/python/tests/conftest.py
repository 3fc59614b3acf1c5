"""Tests import sgd_bench from the checkout."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
