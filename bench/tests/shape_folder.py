"""Tests in a folder of their own, with shape sets of their own."""
import pathlib
import tempfile
import unittest


class ShapeFolder(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)
        self.shapes = self.folder / "shapes"
        self.shapes.mkdir()
        self.set("tiny", "# two kinds\nweight 8x3   # trailing\n\n3 * bias 5\n")

    def set(self, name, text):
        (self.shapes / f"{name}.txt").write_text(text)
