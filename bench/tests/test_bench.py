"""What sgd-bench prints, writes and refuses.  No test looks at a time: those are the machine's.

    python3 test_bench.py SGD_BENCH
"""
import itertools
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import unittest

BENCH = ""
QUICK = ["--min-time", "0.0001", "--repetitions", "1"]
DTYPES = ["f64", "f32", "f16", "bf16"]
WAYS = ["forloop/single_pass", "forloop/by_op", "foreach/single_pass", "foreach/by_op", "fused/single_pass"]
SHIPPED = ["many-small", "one-large", "resnet50"]


def bench(*arguments, shapes=None, **options):
    environment = dict(os.environ)
    environment.pop("SGD_SHAPES", None)
    if shapes:
        environment["SGD_SHAPES"] = str(shapes)
    options.setdefault("stdout", subprocess.PIPE)
    return subprocess.run([BENCH, *arguments], stderr=subprocess.PIPE, text=True, env=environment, **options)


def names(dtypes, sets, threads):
    return {f"{way}/{dtype}/{shapes}/threads:{count}"
            for way, dtype, shapes, count in itertools.product(WAYS, dtypes, sets, threads)}


class Bench(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)
        self.shapes = self.folder / "shapes"
        self.shapes.mkdir()
        self.set("tiny", "# two kinds\nweight 8x3   # trailing\n\n3 * bias 5\n")

    def set(self, name, text):
        (self.shapes / f"{name}.txt").write_text(text)

    def refused(self, result, *words):
        """One line on stderr that has the words, nothing on stdout, exit status 2."""
        self.assertEqual(result.returncode, 2, result)
        self.assertRegex(result.stderr, r"\Asgd-bench: [^\n]+\n\Z")
        for word in words:
            self.assertIn(word, result.stderr)
        self.assertFalse(result.stdout)


class List(Bench):
    def test_matrix(self):
        lines = bench("list", "--threads", "1,2").stdout.splitlines()
        self.assertEqual(len(lines), len(set(lines)))
        self.assertEqual(set(lines), names(DTYPES, SHIPPED, [1, 2]))

    def test_name_is_its_own_filter(self):
        name = "forloop/by_op/f16/many-small/threads:1"
        self.assertEqual(bench("list", "--threads", "1,11", "--filter", name).stdout, name + "\n")

    def test_filters_add_up(self):
        result = bench("list", "--threads=1", "--shapes=one-large", "--filter=*/f32/*", "--filter=*/bf16/*")
        self.assertEqual(set(result.stdout.splitlines()), names(["f32", "bf16"], ["one-large"], [1]))

    def test_said_twice_is_once(self):
        result = bench("list", "--threads=2,2", "--shapes=tiny,tiny", "--filter=fused/*/f32/*", shapes=self.shapes)
        self.assertEqual(result.stdout, "fused/single_pass/f32/tiny/threads:2\n")

    def test_full_standard_output(self):
        with open("/dev/full", "w") as full:
            self.refused(bench("list", stdout=full), "standard output")


class Run(Bench):
    def test_table(self):
        result = bench("run", "--threads=1,2", *QUICK, shapes=self.shapes)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertIn("tiny: 4 tensors, 39 elements", result.stdout)
        self.assertIn("momentum 0.9, weight decay 0.0001", result.stdout)
        rows = [line.split() for line in result.stdout.splitlines()]
        for dtype, way, threads in itertools.product(DTYPES, WAYS, "12"):
            found = [row for row in rows if row[:4] == [dtype, threads, *way.split("/")]]
            self.assertEqual(len(found), 1, (dtype, way, threads))
            self.assertEqual(found[0][-1], "%")
        self.assertEqual(sum("limit" in row[2:3] for row in rows), 2 * len(DTYPES))
        self.assertLessEqual(max(map(len, result.stdout.splitlines())), 100)

    def test_resnet50_is_resnet50(self):
        result = bench("run", "--filter=fused/*/f16/resnet50/*", *QUICK)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("resnet50: 161 tensors, 25,557,032 elements", result.stdout)

    def test_json(self):
        path = self.folder / "result.json"
        result = bench("run", "--threads=1", "--min-time=0.0001", "--repetitions=2", "--json", path, shapes=self.shapes)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(sorted(os.listdir(self.folder)), ["result.json", "shapes"])
        written = json.loads(path.read_text())
        for key in ["sgd_version", "cpu", "backend", "contract", "compiler", "lr", "momentum", "weight_decay"]:
            self.assertIn(key, written["context"])
        runs = [run for run in written["benchmarks"] if run["run_type"] == "iteration"]
        limits = {f"limit/{when}/{dtype}/tiny/threads:1" for when in ["first", "again"] for dtype in DTYPES}
        self.assertEqual({run["name"] for run in runs}, names(DTYPES, ["tiny"], [1]) | limits)
        self.assertEqual(len(runs), 2 * (4 * 5 + 4 * 2))
        for run in runs:
            self.assertGreater(run["GB_per_s"], 0)
            self.assertEqual("share_of_limit" in run, not run["name"].startswith("limit/"))
        f32 = next(run for run in runs if run["name"] == "fused/single_pass/f32/tiny/threads:1")
        self.assertEqual(f32["bytes"], 5 * 39 * 4)

    def test_json_through_a_link(self):
        target, link = self.folder / "target.json", self.folder / "link.json"
        link.symlink_to(target)
        target.write_text("old")
        bench("run", "--filter=fused/*/f32/*", *QUICK, "--json", link, shapes=self.shapes)
        self.assertTrue(link.is_symlink())
        self.assertIn("benchmarks", json.loads(target.read_text()))

    def test_disk_full_at_the_end(self):
        if b"__tsan_init" in pathlib.Path(BENCH).read_bytes():
            self.skipTest("ThreadSanitizer's runtime does not live under a file-size limit")

        def small_files_only():
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))  # the JSON has more

        path = self.folder / "result.json"
        path.write_text("old")
        result = bench("run", *QUICK, "--json", path, shapes=self.shapes,
                       preexec_fn=small_files_only)
        self.assertEqual(result.returncode, 2)
        self.assertRegex(result.stderr, r"\Asgd-bench: cannot write [^\n]+\n\Z")
        self.assertEqual(path.read_text(), "old")
        self.assertEqual(sorted(os.listdir(self.folder)), ["result.json", "shapes"])

    def test_mistyped_instruction_set(self):
        os.environ["SGD_ISA"] = "avx1024"
        self.addCleanup(os.environ.pop, "SGD_ISA")
        result = bench("run", *QUICK, shapes=self.shapes)
        self.assertEqual((result.returncode, result.stderr),
                         (2, "sgd-bench: SGD_ISA: no instruction set is called avx1024\n"))

    def test_device_full(self):
        result = bench("run", "--filter=fused/*/f32/*", *QUICK, "--json=/dev/full", shapes=self.shapes)
        self.assertEqual(result.returncode, 2)
        self.assertIn("No space left on device", result.stderr)


class Refusals(Bench):
    def test_shape_files(self):
        for line in ["weight", "weight 8 3", "weight 8x", "weight x8", "weight 8xx3", "weight 0", "weight -1",
                     "weight 1.5", "weight 99999999999999999999", "weight 10000000x10000000x10000000", "0 * weight 8",
                     "x * weight 8", "3 weight 8", "3 * weight", "1000001 * weight 8", "1000000 * weight 999999999"]:
            with self.subTest(line):
                self.set("bad", f"weight 8\n{line}\n")
                for command in ["list", "run"]:
                    self.refused(bench(command, "--shapes=bad", shapes=self.shapes), "bad.txt:2: ")

    def test_no_tensors(self):
        self.set("bad", "# nothing\n")
        self.refused(bench("list", "--shapes=bad", shapes=self.shapes), "bad.txt", "no tensors")

    def test_unknown_set(self):
        self.refused(bench("run", "--shapes=nothing"), "no shape set 'nothing'", *SHIPPED)
        self.refused(bench("run", "--shapes=../shapes/tiny", shapes=self.shapes), "no shape set")

    def test_no_sets(self):
        self.refused(bench("list", shapes=self.folder / "absent"), "no shape sets in")
        self.refused(bench("list", shapes=self.folder), "no shape sets in")

    def test_unreadable_set(self):
        (self.shapes / "bad.txt").mkdir()
        self.refused(bench("list", "--shapes=bad", shapes=self.shapes), "bad.txt")

    def test_memory(self):
        self.set("huge", "weight 1000000000x1000\n")
        result = bench("run", "--shapes=huge", "--filter=fused/*/f64/*", shapes=self.shapes)
        self.refused(result, "needs 24 TB of memory")

    def test_no_match(self):
        for command in ["list", "run"]:
            self.refused(bench(command, "--filter=nothing"), "no benchmark matches")

    def test_json_cannot_be_written(self):
        for path in [self.folder / "absent" / "result.json", self.folder]:
            result = bench("run", "--json", path, shapes=self.shapes)
            self.refused(result, "cannot write")

    def test_command_line(self):
        for arguments in [[], ["measure"], ["list", "run"], ["list", "--threads=0"], ["list", "--threads=1,"],
                          ["list", "--threads=1x"], ["run", "--min-time=0"], ["run", "--min-time=nan"],
                          ["run", "--min-time=soon"], ["run", "--repetitions=0"], ["run", "--unknown"]]:
            with self.subTest(arguments):
                result = bench(*arguments)
                self.assertEqual((result.returncode, result.stdout), (2, ""))
                self.assertIn("sgd-bench", result.stderr)


if __name__ == "__main__":
    BENCH = os.path.abspath(sys.argv.pop(1))
    unittest.main()
