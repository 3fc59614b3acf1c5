"""What sgd-bench makes of implementations with right and wrong bits.

    python3 test_bits.py SGD_BENCH BENCH_HOST
"""
import json
import os
import subprocess
import sys
import unittest

from shape_folder import ShapeFolder

BENCH = HOST = ""
QUICK = ["--min-time", "0.0001", "--repetitions", "1"]


class Bits(ShapeFolder):
    def run_program(self, program, *arguments, **environment):
        environment = {**os.environ, "SGD_SHAPES": str(self.shapes), "XDG_CACHE_HOME": str(self.folder / "cache"),
                       **environment}
        path = self.folder / "result.json"
        path.unlink(missing_ok=True)
        result = subprocess.run([program, "run", "--json", path, *QUICK, *arguments], capture_output=True, text=True,
                                env=environment)
        self.document = json.loads(path.read_text()) if path.exists() else None
        return result

    def host(self, implementations, *arguments, **environment):
        return self.run_program(HOST, "--implementation", implementations, *arguments, **environment)

    def entry(self, implementation, **fields):
        found = [entry for entry in self.document["benchmarks"] if entry["implementation"] == implementation
                 and all(entry[key] == value for key, value in fields.items())]
        self.assertEqual(len(found), 1, (implementation, fields))
        return found[0]

    def all_equal(self, elements):
        """Every case of the last run has the oracle's bits in so many elements."""
        cases = [entry for entry in self.document["benchmarks"] if entry["path"] != "limit"]
        self.assertTrue(cases)
        for entry in cases:
            self.assertEqual((entry["bits"], entry["bits_why"]), ("equal", elements), entry["name"])


class Library(Bits):
    def test_every_family(self):
        result = self.run_program(BENCH, "--shapes=tiny", "--threads=3", "--all")
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.all_equal("39 elements")
        # 4 real dtypes x 5 ways and 2 complex ones x 4, 4 sets of hyper-parameters, 2 contracts
        names = [entry["name"] for entry in self.document["benchmarks"] if entry["path"] != "limit"]
        self.assertEqual((len(names), len(set(names))), (28 * 8, 28 * 8))

    def test_boundaries(self):
        """Of the oracle's parts and of PyTorch's thread chunks: parts compute what the whole would."""
        sizes = [31, 4097, 32769, 70001]
        self.set("edges", "".join(f"weight {size}\n" for size in sizes))
        result = self.run_program(BENCH, "--shapes=edges", "--threads=1,3", "--dtype=all", "--implementation=single_pass")
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.all_equal(f"{sum(sizes):,} elements")

    def test_sample(self):
        self.set("large", "weight 1500x1000\nbias 5\n")
        self.run_program(BENCH, "--shapes=large", "--path=forloop", "--dtype=f32", "--implementation=single_pass")
        checked = self.entry("single_pass")["bits_why"]
        self.assertRegex(checked, r"\A1,0\d\d,\d{3} of 1,500,005 elements\Z")

    def test_cache(self):
        self.set("large", "weight 1500x1000\nbias 5\n")
        case = ["--shapes=large", "--path=forloop", "--dtype=f32", "--implementation=single_pass"]
        self.run_program(BENCH, "--check=all", *case)
        self.all_equal("1,500,005 elements")
        files = list((self.folder / "cache" / "exactsgd").iterdir())
        self.assertEqual(len(files), 1)
        self.run_program(BENCH, *case)
        self.all_equal("1,500,005 elements")
        self.run_program(BENCH, "--hyper=plain", *case)  # another question
        self.assertIn(" of ", self.entry("single_pass")["bits_why"])
        damaged = bytearray(files[0].read_bytes())
        damaged[-100] ^= 1
        files[0].write_bytes(damaged)
        result = self.run_program(BENCH, *case)
        self.assertEqual(result.returncode, 0)
        self.assertIn(" of ", self.entry("single_pass")["bits_why"])

    def test_unchecked(self):
        self.run_program(BENCH, "--check=none", "--path=fused", "--dtype=f32")
        entry = self.entry("single_pass")
        self.assertEqual((entry["bits"], entry["bits_why"]), ("unchecked", "--check none"))


class Hosts(Bits):
    def test_the_same_beside_ours(self):
        result = self.host("single_pass,same", "--dtype=all", "--threads=2")
        self.assertEqual(result.returncode, 0, result.stdout)
        self.assertIn("bench host 1.0, twist 2.5+x", result.stdout)
        self.assertEqual(self.document["context"]["versions"]["twist"], "2.5+x")
        self.all_equal("39 elements")
        hashes = {}
        for entry in self.document["benchmarks"]:
            if entry["path"] != "limit":
                hashes.setdefault((entry["path"], entry["dtype"]), set()).add(entry["hash"])
        self.assertEqual(len(hashes), 3 * 4 + 2 * 2)
        self.assertTrue(all(len(values) == 1 for values in hashes.values()))

    def test_wrong(self):
        result = self.host("same,wrong", "--path=forloop", "--dtype=f32,c64", "--hyper=plain", BENCH_HOST_WRONG="26")
        self.assertEqual(result.returncode, 1, result.stdout)
        for dtype in ["f32", "c64"]:
            entry = self.entry("wrong", dtype=dtype)
            self.assertEqual(entry["bits"], "wrong")
            self.assertRegex(entry["bits_why"], r"\Aparam of tensor 1 \(bias\), element 2: 0x\w+, the oracle has 0x\w+\Z")
            self.assertTrue(entry["error_occurred"])
            self.assertNotIn("GB_per_s", entry)
            self.assertEqual(self.entry("same", dtype=dtype)["bits"], "equal")
        line = next(line for line in result.stdout.splitlines() if "WRONG" in line)
        self.assertIn("again: sgd-bench run --check all --filter 'forloop/wrong/f32/tiny/plain/threads:", line)

    def test_wrong_bits_differ_in_what_was_flipped(self):
        self.host("wrong", "--path=fused", "--dtype=f16", BENCH_HOST_WRONG="0")
        got, expected = (int(word.strip(","), 16) for word in self.entry("wrong")["bits_why"].split() if word.startswith("0x"))
        self.assertNotEqual(got, expected)
        self.assertLessEqual(abs(got - expected), 4)  # three flips of the last bit, each before the next step

    def test_wrong_outside_of_the_sample(self):
        """Whatever element it is: ours has the same promise and other bits."""
        self.set("large", "weight 3000000\n")
        for element in [0, 1_234_567, 2_222_222]:
            with self.subTest(element):
                result = self.host("single_pass,wrong", "--shapes=large", "--path=forloop", "--dtype=f32",
                                   BENCH_HOST_WRONG=str(element))
                self.assertEqual(result.returncode, 1)
                self.assertIn(f"element {element:,}:", self.entry("wrong")["bits_why"])
                self.assertEqual(self.entry("single_pass")["bits"], "equal")

    def test_defects(self):
        self.set("halves", "weight 1000\nweight 24\nweight 40000\n")
        result = self.host("single_pass,defective", "--shapes=halves", "--dtype=f16,bf16,f32", "--threads=1,2")
        self.assertEqual(result.returncode, 0, result.stdout)
        self.all_equal("41,024 elements")

    def test_defects_show(self):
        """Else test_defects would say nothing."""
        hashes = []
        for implementation in ["same", "defective"]:
            self.host(implementation, "--path=fused", "--dtype=f16")
            hashes.append(self.entry(implementation)["hash"])
        self.assertNotEqual(*hashes)

    def test_no_promise(self):
        result = self.host("loose", "--path=forloop", "--dtype=f32")
        self.assertEqual(result.returncode, 0)
        entry = self.entry("loose")
        self.assertEqual((entry["bits"], entry["bits_why"]), ("unchecked", "it promises nothing"))
        self.assertGreater(entry["GB_per_s"], 0)

    def test_what_fails(self):
        for implementation, why in [("breaks", "it broke"), ("broken", "it does not open"), ("forgetful", "momentum buffers")]:
            with self.subTest(implementation):
                result = self.host(f"same,{implementation}", "--path=forloop", "--dtype=f32")
                self.assertEqual(result.returncode, 1)
                self.assertIn("FAILED: ", result.stdout)
                self.assertIn(why, self.entry(implementation)["error_message"])
                self.assertGreater(self.entry("same")["GB_per_s"], 0)

    def test_left_out(self):
        result = self.host("same,absent", "--path=forloop", "--dtype=f32")
        self.assertEqual(result.returncode, 0)
        self.assertIn("left out: nobody wrote it", result.stdout)
        self.assertEqual([(one["implementation"], one["why"]) for one in self.document["left_out"]],
                         [("absent", "nobody wrote it")])

    def test_no_table(self):
        result = self.host("same,wrong", "--path=forloop", "--dtype=f32", "--no-table")
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertRegex(result.stderr, r"\Asgd-bench: forloop/wrong/[^\n]+: WRONG: param of tensor 0 [^\n]+\n\Z")

    def test_its_own_word_on_memory(self):
        self.host("same", "--path=forloop", "--dtype=f32")
        self.assertEqual(self.entry("same")["peak_memory_bytes"], 12345)
        self.assertNotIn("allocations", self.entry("same"))


if __name__ == "__main__":
    HOST = os.path.abspath(sys.argv.pop(2))
    BENCH = os.path.abspath(sys.argv.pop(1))
    unittest.main()
