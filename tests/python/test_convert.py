# SPDX-License-Identifier: Apache-2.0
"""The converter of .pth files: equal tensors from every format, and nothing else than state dicts is read."""

import collections
import io
import json
import os
import pickle
import struct
import subprocess
import sys
import tempfile
import unittest
import zipfile

import numpy as np
import support
from imgsim import convert


def read(path):
    """Metadata, and name -> (type, shape, bytes)."""
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        data = file.read()
    metadata = header.pop("__metadata__", {})
    return metadata, {name: (entry["dtype"], entry["shape"], data[slice(*entry["data_offsets"])])
                      for name, entry in header.items()}


class Call:
    """Pickles as a call of `function`."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


class Converter(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory(prefix="imgsim-convert-")
        self.addCleanup(holder.cleanup)
        self.source = os.path.join(holder.name, "in.pth")
        self.target = os.path.join(holder.name, "out.safetensors")

    def refuses(self, words):
        with self.assertRaisesRegex(convert.Refused, words):
            convert.convert(self.source, self.target)
        self.assertFalse(os.path.exists(self.target))
        self.assertEqual(os.listdir(os.path.dirname(self.target)), ["in.pth"])

    def write(self, content):
        with open(self.source, "wb") as file:
            file.write(content)

    def write_zip(self, pickled, **storages):
        with zipfile.ZipFile(self.source, "w") as archive:
            archive.writestr("m/data.pkl", pickled)
            for key, data in storages.items():
                archive.writestr("m/data/" + key, data)

    def test_real_file_equals_its_safetensors_without_torch(self):
        source = support.data("models", "squeezenet1_1.pth")
        command = ("import sys, runpy; sys.argv[1:] = %r; code = 0\n"
                   "try: runpy.run_module('imgsim.convert', run_name='__main__')\n"
                   "except SystemExit as end: code = end.code\n"
                   "assert 'torch' not in sys.modules; sys.exit(code)"
                   % [source, self.target, "--architecture", "squeezenet1_1"])
        subprocess.run([sys.executable, "-B", "-c", command], check=True, stdout=subprocess.DEVNULL)
        metadata, tensors = read(self.target)
        self.assertEqual(metadata["architecture"], "squeezenet1_1")
        self.assertEqual(tensors, read(support.data("models", "squeezenet1_1.safetensors"))[1])

    def test_names_of_classes(self):
        source = support.data("models", "squeezenet1_1.pth")
        names = os.path.join(os.path.dirname(self.source), "names.txt")
        listed = ["thing %d, \u00e4hnlich" % i for i in range(1000)]
        for lines in (listed, ["background", *listed]):
            with open(names, "w", encoding="utf-8") as file:
                file.write("\n".join(lines) + "\n")
            convert.convert(source, self.target, classes=names)
            self.assertEqual(read(self.target)[0]["classes"].split("\n"), listed)
        for lines in (listed[1:], [*listed, "more"], ["", *listed[1:]], ["\x01", *listed[1:]], ["x" * 241, *listed[1:]]):
            with open(names, "w", encoding="utf-8") as file:
                file.write("\n".join(lines) + "\n")
            with self.assertRaisesRegex(convert.Refused, "lines|line 1"):
                convert.convert(source, self.target, classes=names)
        torch = support.module("torch")
        torch.save({"a": torch.ones(2)}, self.source)
        with self.assertRaisesRegex(convert.Refused, "no last layer"):
            convert.convert(self.source, self.target, classes=names)

    def test_both_formats_and_all_types(self):
        torch = support.module("torch")
        torch.manual_seed(1)
        state = collections.OrderedDict(
            plain=torch.randn(3, 4), turned=torch.randn(3, 4).t(), part=torch.arange(12.)[3:9:2], scalar=torch.ones(()),
            empty=torch.zeros(0, 5), half=torch.randn(5).half(), brain=torch.randn(5).bfloat16(),
            double=torch.randn(2, 2).double(), count=torch.tensor(7), byte=torch.arange(3).byte(),
            truth=torch.tensor([True, False]), parameter=torch.nn.Parameter(torch.randn(2)))
        shared = torch.randn(6)
        state["first"], state["second"] = shared[:3], shared[3:]
        for legacy in (False, True):
            with self.subTest(legacy=legacy):
                torch.save(state, self.source, _use_new_zipfile_serialization=not legacy)
                count, _digest = convert.convert(self.source, self.target)
                self.assertEqual(count, len(state))
                _metadata, tensors = read(self.target)
                self.assertEqual(set(tensors), set(state))
                for name, value in state.items():
                    value = value.detach().contiguous()
                    raw = (value.view(torch.int16) if value.dtype == torch.bfloat16 else value).numpy()
                    self.assertEqual(tensors[name][1:], (list(value.shape), raw.tobytes()), name)

    def test_wrapped_and_prefixed_names(self):
        torch = support.module("torch")
        torch.save({"state_dict": {"module.a": torch.ones(2), "module.b": torch.ones(1)}}, self.source)
        convert.convert(self.source, self.target)
        self.assertEqual(set(read(self.target)[1]), {"a", "b"})

    def test_code_is_refused_and_not_run(self):
        marker = os.path.join(os.path.dirname(self.source), "marker")
        for harmful in (Call(os.mkdir, marker), Call(eval, "1 + 1"), Call(print, "no"), Call(getattr, "", "upper")):
            pickled = pickle.dumps({"a": harmful}, 2)
            self.write_zip(pickled)
            self.refuses("refers to")
            self.write(pickle.dumps(convert.LEGACY_MAGIC, 2) + pickle.dumps(1001, 2) +
                       pickle.dumps({"little_endian": True}, 2) + pickled)
            self.refuses("refers to")
        self.assertFalse(os.path.exists(marker))

    def test_whole_models_and_programs_are_refused(self):
        torch = support.module("torch")
        torch.save(torch.nn.Linear(2, 2), self.source)
        self.refuses("state_dict")
        torch.jit.script(torch.nn.Linear(2, 2)).save(self.source)
        self.refuses("TorchScript")

    def test_other_and_damaged_files_are_refused(self):
        for content in (b"", b"PK\x03\x04", b"\x80\x02.", b"\x89PNG\r\n", pickle.dumps([1], 2), b"\x80\x02]q\x00" * 9):
            self.write(content)
            self.refuses("damaged|not a PyTorch file")
        self.write_zip(pickle.dumps({}, 2))
        self.refuses("no state dict")
        self.write_zip(pickle.dumps({"a": 5}, 2))
        self.refuses("no tensor")

    def pickle_tensor(self, count, offset, shape, strides):
        """A pickle of one tensor, hand-made: persistent id and rebuilding call."""
        class Storage:
            pass

        class Pickler(pickle._Pickler):
            def persistent_id(self, value):
                return ("storage", Float(), "0", "cpu", count) if isinstance(value, Storage) else None

            def save_global(self, value, name=None):
                self.write(b"ctorch._utils\n_rebuild_tensor_v2\n" if value is rebuild else b"ctorch\nFloatStorage\n")

            dispatch = dict(pickle._Pickler.dispatch)

        def rebuild():
            pass

        class Float:
            def __reduce__(self):
                return "FloatStorage"

        out = io.BytesIO()
        Pickler.dispatch[type(rebuild)] = Pickler.save_global
        Pickler(out, 2).dump({"a": Call(rebuild, Storage(), offset, shape, strides, False, None)})
        return out.getvalue()

    def test_tensors_that_reach_outside_are_refused(self):
        data = np.arange(6, dtype="<f4").tobytes()
        self.write_zip(self.pickle_tensor(6, 0, (2, 3), (3, 1)), **{"0": data})
        convert.convert(self.source, self.target)
        self.assertEqual(read(self.target)[1]["a"], ("F32", [2, 3], data))
        os.unlink(self.target)
        for offset, shape, strides in ((1, (2, 3), (3, 1)), (0, (2, 4), (3, 1)), (0, (2, 3), (4, 1)), (-1, (2,), (1,)),
                                       (0, (2,), (-1,)), (0, (10**9, 10**9), (0, 0)), (0, (2, 3), (1,))):
            self.write_zip(self.pickle_tensor(6, offset, shape, strides), **{"0": data})
            self.refuses("storage")
        self.write_zip(self.pickle_tensor(7, 0, (2, 3), (3, 1)), **{"0": data})
        self.refuses("another size")
        self.write_zip(self.pickle_tensor(6, 0, (2, 3), (3, 1)))
        self.refuses("missing")

    def test_truncated_files_are_refused(self):
        torch = support.module("torch")
        for legacy in (False, True):
            torch.save({"a": torch.randn(100), "b": torch.randn(100)}, self.source,
                       _use_new_zipfile_serialization=not legacy)
            with open(self.source, "rb") as file:
                whole = file.read()
            for length in range(0, len(whole) - 1, 37):
                self.write(whole[:length])
                self.refuses("")

    def test_command_reports_errors(self):
        self.assertEqual(convert.main([self.source, self.target]), 1)


if __name__ == "__main__":
    support.main()
