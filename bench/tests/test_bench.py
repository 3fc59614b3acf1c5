"""What sgd-bench prints, writes and refuses; test_bits.py looks at its checks of bits.  No test looks at a time: those are the
machine's.

    python3 test_bench.py SGD_BENCH
"""
import itertools
import json
import os
import pathlib
import resource
import signal
import statistics
import subprocess
import sys
import unittest

from shape_folder import ShapeFolder

BENCH = ""
QUICK = ["--min-time", "0.0001", "--repetitions", "1"]
DTYPES = ["f64", "f32", "f16", "bf16"]
WAYS = ["forloop/single_pass", "forloop/by_op", "foreach/single_pass", "foreach/by_op", "fused/single_pass"]
BY_DEFAULT = ["many-small", "one-large", "resnet50"]
SHIPPED = {"many-small": (1000, 64_000), "one-large": (1, 16_777_216), "resnet50": (161, 25_557_032),
           "gpt2-small": (148, 124_439_808), "vit-b-16": (152, 86_567_656), "llama-7b-layer": (9, 202_383_360),
           "161x4096": (161, 659_456)}
LADDER = {f"ladder:{name}": (1, 4 ** (5 + rung))
          for rung, name in enumerate(["1k", "4k", "16k", "64k", "256k", "1M", "4M", "16M", "64M"])}


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


class Bench(ShapeFolder):
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
        self.assertEqual(set(lines), names(DTYPES, BY_DEFAULT, [1, 2]))

    def test_everything(self):
        lines = bench("list", "--all", "--threads=1").stdout.splitlines()
        self.assertEqual(len(lines), len(set(lines)))
        self.assertEqual(len(lines), (4 * 5 + 2 * 4) * len({**SHIPPED, **LADDER}) * 4 * 2)
        self.assertIn("foreach/by_op/c128/ladder:64M/nesterov/cpu-base/threads:1", lines)

    def test_families(self):
        result = bench("list", "--threads=1", "--path=fused,forloop", "--implementation=single_pass", "--dtype=c64,f16",
                       "--hyper=plain", "--contract=cpu-base", "--shapes=ladder:1k", "--device=cpu")
        self.assertEqual(set(result.stdout.splitlines()),
                         {f"{family}/ladder:1k/plain/cpu-base/threads:1" for family in
                          ["fused/single_pass/f16", "forloop/single_pass/f16", "forloop/single_pass/c64"]})

    def test_family_of_sets(self):
        result = bench("list", "--threads=1", "--path=fused", "--dtype=f32", "--shapes=ladder")
        self.assertEqual(result.stdout.splitlines(), [f"fused/single_pass/f32/{name}/threads:1" for name in LADDER])

    def test_whole_name_outside_of_the_choice(self):
        for name in ["forloop/by_op/c64/gpt2-small/plain/threads:7", "fused/single_pass/f32/ladder:4k/cpu-base/threads:1",
                     "foreach/by_op/f16/resnet50/nesterov/cpu-base/threads:2"]:
            self.assertEqual(bench("list", "--filter", name).stdout, name + "\n")

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


class Shapes(Bench):
    def test_totals(self):
        lines = [line.split() for line in bench("shapes").stdout.splitlines()]
        self.assertEqual({name: (int(tensors.replace(",", "")), int(elements.replace(",", "")))
                          for name, tensors, _, elements, _ in lines}, {**SHIPPED, **LADDER})

    def test_choice(self):
        self.assertEqual(bench("shapes", "--shapes=tiny", shapes=self.shapes).stdout.split(),
                         ["tiny", "4", "tensors", "39", "elements"])


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
            self.assertEqual(found[0][-1], "equal")
        self.assertEqual(sum("limit" in row[2:3] for row in rows), 2 * len(DTYPES))
        self.assertRegex(result.stdout, r"noise -?[\d.]+ %")
        self.assertLessEqual(max(map(len, result.stdout.splitlines())), 100)

    def test_conditions(self):
        result = bench("run", "--threads=1", "--dtype=f32", "--hyper=plain,nesterov", "--contract=cpu-base", *QUICK,
                       shapes=self.shapes)
        self.assertIn("  plain: momentum 0, weight decay 0; contract torch-2.13/cpu-base\n", result.stdout)
        self.assertIn("  nesterov: momentum 0.9, weight decay 0.0001, nesterov; contract", result.stdout)
        self.assertIn("streams_2r1w", result.stdout)

    def json(self, *arguments):
        path = self.folder / "result.json"
        result = bench("run", "--min-time=0.0001", "--json", path, *arguments, shapes=self.shapes)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(sorted(os.listdir(self.folder)), ["result.json", "shapes"])
        return json.loads(path.read_text())

    def test_json_context(self):
        context = self.json("--threads=1", "--repetitions=2", "--path=fused")["context"]
        for key in ["date", "sgd_version", "backend", "commit", "compiler", "flags"]:
            self.assertTrue(context[key], key)
        self.assertEqual((context["schema"], context["partial"]), ("exactsgd-bench/2", False))
        self.assertIn("-ffp-contract=off", context["flags"])
        self.assertEqual(context["effort"], {"min_time": 0.0001, "repetitions": 2})
        machine = context["machine"]
        self.assertTrue(machine["cpu"] and machine["governor"])
        self.assertGreater(machine["memory_bytes"], 0)
        self.assertIn("google_benchmark", context["versions"])
        if "hwloc" in context["versions"]:
            self.assertGreaterEqual(machine["threads"], machine["cores"])
            self.assertTrue(all(cache["bytes"] > 0 and cache["count"] > 0 for cache in machine["caches"]))
        noise = context["noise"]
        self.assertEqual(noise["disturbed"], noise["why"] != "")
        for key in ["figure", "others", "stolen"]:
            self.assertIsInstance(noise[key], float)

    def test_json_entries(self):
        runs = [run for run in self.json("--threads=1", "--repetitions=3")["benchmarks"] if run["run_type"] == "iteration"]
        limits = {f"limit/streams_3r2w/{dtype}/tiny/threads:1" for dtype in DTYPES}
        rounds = {}
        for run in runs:
            rounds.setdefault(run["name"], []).append(run["round"])
        self.assertEqual(rounds, {name: [0, 1, 2] for name in names(DTYPES, ["tiny"], [1]) | limits})
        for run in runs:
            self.assertGreater(run["GB_per_s"], 0)
            self.assertEqual((run["tensors"], run["elements"], run["shapes"], run["threads"]), (4, 39, "tiny", 1))
            self.assertEqual((run["hyper"], run["contract"], run["device"]), ("momentum_decay", "cpu-fma", "cpu"))
            limit = run["path"] == "limit"
            for key in ["share_of_limit", "bits", "hash"]:
                self.assertEqual(key in run, not limit)
            self.assertTrue(limit or (run["bits"], run["bits_why"]) == ("equal", "39 elements"))
        f32 = next(run for run in runs if run["name"] == "fused/single_pass/f32/tiny/threads:1")
        self.assertEqual(f32["bytes"], 5 * 39 * 4)

    def test_json_aggregates(self):
        entries = self.json("--threads=1", "--repetitions=3", "--path=fused", "--dtype=f32")["benchmarks"]
        mine = [entry for entry in entries if entry["path"] == "fused"]
        times = [entry["real_time"] for entry in mine if entry["run_type"] == "iteration"]
        found = {entry["aggregate_name"]: entry for entry in mine if entry["run_type"] == "aggregate"}
        self.assertEqual(set(found), {"mean", "median", "stddev", "cv"})
        self.assertAlmostEqual(found["median"]["real_time"], statistics.median(times), places=9)
        self.assertAlmostEqual(found["mean"]["real_time"], statistics.mean(times), places=9)
        self.assertAlmostEqual(found["stddev"]["real_time"], statistics.stdev(times), places=9)
        self.assertAlmostEqual(found["cv"]["real_time"], statistics.stdev(times) / statistics.mean(times), places=9)

    def test_json_slopes(self):
        self.set("many", "500 * weight 8\n")
        self.set("long", "weight 100000\n")
        slopes = self.json("--threads=1", "--repetitions=1", "--dtype=f32")["slopes"]
        self.assertEqual({f"{one['path']}/{one['implementation']}" for one in slopes}, set(WAYS))
        for one in slopes:
            self.assertEqual(set(one["sets"]), {"tiny", "many", "long"})
            self.assertGreaterEqual(one["ns_per_tensor"], 0)
            self.assertGreaterEqual(one["ns_per_byte"], 0)
            self.assertGreater(one["ns_per_tensor"] + one["ns_per_byte"], 0)

    def test_allocations(self):
        """single_pass takes nothing after the first step, wherever allocations are counted."""
        runs = [run for run in self.json("--threads=1", "--repetitions=1")["benchmarks"] if run["path"] != "limit"]
        counted = [run for run in runs if "allocations" in run]
        if not counted:
            self.skipTest("this build does not count allocations")
        self.assertEqual(counted, runs)
        for run in counted:
            if run["implementation"] == "single_pass":
                self.assertEqual((run["allocations"], run["peak_memory_bytes"]), (0, 0), run["name"])

    def test_interruption(self):
        path = self.folder / "result.json"
        for signal_number in [signal.SIGINT, signal.SIGTERM]:
            environment = {**os.environ, "SGD_SHAPES": str(self.shapes)}
            process = subprocess.Popen([BENCH, "run", "--min-time=0.01", "--repetitions=30", "--threads=1", "--json", path],
                                       stdout=subprocess.PIPE, text=True, env=environment)
            printed = []
            for line in process.stdout:  # the first block stands there, the others are to come
                printed.append(line)
                if "fused" in line:
                    break
            process.send_signal(signal_number)
            printed += process.stdout.readlines()
            process.stdout.close()
            self.assertEqual(process.wait(), 130)
            self.assertIn("PARTIAL: ", "".join(printed))
            written = json.loads(path.read_text())
            self.assertTrue(written["context"]["partial"])
            count = len([run for run in written["benchmarks"] if run["run_type"] == "iteration"])
            self.assertTrue(30 * 6 <= count < 4 * 30 * 6, count)

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
        self.refused(bench("run", "--shapes=nothing"), "no shape set 'nothing'", "ladder", *SHIPPED)
        self.refused(bench("run", "--shapes=ladder:2k"), "no shape set 'ladder:2k'", *LADDER)
        self.refused(bench("run", "--shapes=resnet50:2k"), "no shape set 'resnet50:2k'")
        self.refused(bench("run", "--shapes=../shapes/tiny", shapes=self.shapes), "no shape set")

    def test_unknown_families(self):
        for option, known in {"path": "forloop, foreach, fused", "implementation": "single_pass, by_op", "device": "cpu",
                              "dtype": "f64, f32, f16, bf16, c64, c128", "contract": "cpu-fma, cpu-base",
                              "hyper": "momentum_decay, plain, momentum, nesterov"}.items():
            for command in ["list", "run"]:
                self.refused(bench(command, f"--{option}=nothing"), "'nothing'; there are " + known)

    def test_parts(self):
        for text, number in {"weight 8\n[a]\nweight 8\n": 2, "[a]\n[b]\nweight 8\n": 2, "[a\nweight 8": 1, "[]\nweight 8": 1,
                             "[a/b]\nweight 8": 1, "[a]\nweight 8\n[a]\nweight 8\n": 3, "[a] b\nweight 8": 1}.items():
            with self.subTest(text):
                self.set("bad", text)
                self.refused(bench("list", "--shapes=bad", shapes=self.shapes), f"bad.txt:{number}: ")
        self.set("bad", "[a]\nweight 8\n[b]\n")
        self.refused(bench("list", "--shapes=bad", shapes=self.shapes), "no tensors in bad:b")

    def test_no_sets(self):
        self.refused(bench("list", shapes=self.folder / "absent"), "no shape sets in")
        self.refused(bench("list", shapes=self.folder), "no shape sets in")

    def test_unreadable_set(self):
        (self.shapes / "bad.txt").mkdir()
        self.refused(bench("list", "--shapes=bad", shapes=self.shapes), "bad.txt")

    def test_memory(self):
        self.set("huge", "weight 1000000000x1000\n")
        result = bench("run", "--shapes=huge", "--filter=fused/*/f64/*", shapes=self.shapes)
        self.refused(result, "huge needs 48 TB of memory", "are free")

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
                          ["run", "--min-time=soon"], ["run", "--repetitions=0"], ["run", "--unknown"],
                          ["run", "--check=some"]]:
            with self.subTest(arguments):
                result = bench(*arguments)
                self.assertEqual((result.returncode, result.stdout), (2, ""))
                self.assertIn("sgd-bench", result.stderr)


if __name__ == "__main__":
    BENCH = os.path.abspath(sys.argv.pop(1))
    unittest.main()
