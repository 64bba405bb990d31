# SPDX-License-Identifier: Apache-2.0
"""Turn the weights of a PyTorch .pth file into safetensors, without PyTorch and without running what is in the file.

    python3 -m imgsim.convert IN.pth OUT.safetensors [--architecture NAME] [--transform-input] [--classes FILE]

A .pth file is a pickle: a program that its reader runs. Here only the few words are understood that a state
dict consists of (tensors, their storages, ordered dictionaries); a file with any other is refused.
"""

import argparse
import collections
import hashlib
import io
import json
import math
import os
import pickle
import struct
import sys
import tempfile
import zipfile

import numpy as np

ARCHITECTURES = ("mobilenet_v2", "squeezenet1_1", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152",
                 "inception_v3")

# torch's storages: the type's name in safetensors and NumPy's type of the same size (NumPy has no bfloat16).
STORAGES = {
    "DoubleStorage": ("F64", "<f8"), "FloatStorage": ("F32", "<f4"), "HalfStorage": ("F16", "<f2"),
    "BFloat16Storage": ("BF16", "<u2"), "LongStorage": ("I64", "<i8"), "IntStorage": ("I32", "<i4"),
    "ShortStorage": ("I16", "<i2"), "CharStorage": ("I8", "|i1"), "ByteStorage": ("U8", "|u1"),
    "BoolStorage": ("BOOL", "|u1"),
}

# First object of the format that torch.save() wrote before 1.6, and its version.
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_VERSION = 1001


class Refused(Exception):
    """The file is no state dict, or a damaged one."""


class Storage:
    """A run of numbers that tensors look into; its data may be read later than it is named."""

    def __init__(self, kind, count):
        self.dtype, self.numpy = STORAGES[kind]
        self.count = count
        self.data = None

    def fill(self, raw):
        if len(raw) != self.count * np.dtype(self.numpy).itemsize:
            raise Refused("a storage has %d bytes, expected %d values" % (len(raw), self.count))
        self.data = np.frombuffer(raw, self.numpy)


class Tensor:
    """Where a tensor's numbers lie in its storage."""

    def __init__(self, storage, offset, shape, strides):
        whole = [offset, *shape, *strides]
        if not isinstance(storage, Storage) or len(shape) != len(strides) or \
                not all(isinstance(number, int) and number >= 0 for number in whole):
            raise Refused("a tensor with a storage, shape or strides that cannot be")
        last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides))
        if 0 not in shape and (last >= storage.count or math.prod(shape) > storage.count):
            raise Refused("a tensor that reaches beyond its storage")
        self.storage, self.offset, self.shape, self.strides = storage, offset, tuple(shape), tuple(strides)

    def array(self):
        """Its numbers in order, contiguous."""
        data = self.storage.data
        if 0 in self.shape:
            return np.empty(self.shape, data.dtype)
        strides = [stride * data.itemsize for stride in self.strides]
        return np.ascontiguousarray(np.lib.stride_tricks.as_strided(
            data[self.offset:], self.shape, strides, writeable=False)).reshape(self.shape)


def rebuild_tensor(storage, offset, shape, strides, *_unused):
    return Tensor(storage, offset, shape, strides)


def rebuild_parameter(data, *_unused):
    return data


class StateDictUnpickler(pickle.Unpickler):
    """Understands state dicts and nothing else: find_class is the only way from a pickle to code."""

    KNOWN = {
        ("collections", "OrderedDict"): collections.OrderedDict,
        ("torch._utils", "_rebuild_tensor"): rebuild_tensor,
        ("torch._utils", "_rebuild_tensor_v2"): rebuild_tensor,
        ("torch._utils", "_rebuild_parameter"): rebuild_parameter,
    }

    def __init__(self, file, open_storage):
        super().__init__(file, encoding="utf-8")
        self.open_storage = open_storage

    def find_class(self, module, name):
        if module == "torch" and name in STORAGES:
            return name
        if (module, name) not in self.KNOWN:
            raise Refused("it refers to %s.%s, which no plain state dict does (save model.state_dict(), "
                          "not the model)" % (module, name))
        return self.KNOWN[module, name]

    def persistent_load(self, what):
        if not isinstance(what, tuple) or len(what) < 5 or what[0] != "storage" or what[1] not in STORAGES or \
                not isinstance(what[2], str) or not isinstance(what[4], int) or what[4] < 0:
            raise Refused("a storage of an unknown form")
        return self.open_storage(*what[1:])


def read_zip(file):
    """The format of torch.save() since 1.6: a zip with NAME/data.pkl and NAME/data/KEY, all stored uncompressed."""
    archive = zipfile.ZipFile(file)
    names = {entry.filename: entry for entry in archive.infolist()}
    pickles = [name for name in names if name.endswith("/data.pkl") and name.count("/") == 1]
    if any(name.endswith("/constants.pkl") for name in names):
        raise Refused("it is a TorchScript file, a program; save model.state_dict() instead")
    if len(pickles) != 1:
        raise Refused("a zip file without a state dict")
    folder = pickles[0][:-len("data.pkl")]
    if names.get(folder + "byteorder") and archive.read(folder + "byteorder").strip() != b"little":
        raise Refused("its numbers are big-endian")
    storages = {}

    def open_storage(kind, key, _location, count, *_unused):
        if key not in storages:
            storage = Storage(kind, count)
            entry = names.get(folder + "data/" + key)
            if entry is None or entry.file_size != count * np.dtype(storage.numpy).itemsize:
                raise Refused("storage %s is missing or has another size than promised" % key)
            storage.fill(archive.read(entry))
            storages[key] = storage
        return storages[key]

    return StateDictUnpickler(io.BytesIO(archive.read(pickles[0])), open_storage).load()


def read_legacy(file):
    """The format before 1.6: pickles of magic, version, system and state dict, then the storages one after another."""
    storages = {}

    def open_storage(kind, key, _location, count, view=None, *_unused):
        if view is not None:
            raise Refused("storages that are views of others")
        if key not in storages:
            storages[key] = Storage(kind, count)
        return storages[key]

    def load():
        return StateDictUnpickler(file, open_storage).load()

    if load() != LEGACY_MAGIC or load() != LEGACY_VERSION:
        raise Refused("not a PyTorch file")
    if not load().get("little_endian", False):
        raise Refused("its numbers are big-endian")
    state = load()
    size = os.fstat(file.fileno()).st_size
    for key in load():
        if key not in storages:
            raise Refused("it holds a storage that no tensor uses")
        storage = storages[key]
        count, = struct.unpack("<q", file.read(8))
        length = storage.count * np.dtype(storage.numpy).itemsize
        if count != storage.count or length > size - file.tell():
            raise Refused("truncated")
        storage.fill(file.read(length))
    if any(storage.data is None for storage in storages.values()):
        raise Refused("truncated")
    return state


def read_state_dict(path):
    """Tensors by name, from either format."""
    try:
        with open(path, "rb") as file:
            start = file.read(4)
            file.seek(0)
            if start == b"PK\x03\x04":
                state = read_zip(file)
            elif start[:1] == pickle.PROTO:
                state = read_legacy(file)
            else:
                raise Refused("not a PyTorch file")
    except (pickle.UnpicklingError, zipfile.BadZipFile, EOFError, struct.error, AttributeError, IndexError, KeyError,
            TypeError, ValueError, UnicodeDecodeError, MemoryError, RecursionError) as error:
        raise Refused("damaged, or not a PyTorch file (%s)" % error) from None

    # Training scripts wrap the weights, DataParallel puts a word before each name.
    for wrapper in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    if not isinstance(state, dict) or not state:
        raise Refused("it holds no state dict")
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise Refused("its entry %r is no tensor" % (name,))
    if all(name.startswith("module.") for name in state):
        state = {name[len("module."):]: value for name, value in state.items()}
    return state


def write_safetensors(state, path, metadata):
    """Write tensors, those of large elements first so that all are aligned; replaces the file in one step."""
    names = sorted(state, key=lambda name: (-np.dtype(state[name].storage.numpy).itemsize, name))
    header, offset = {"__metadata__": metadata}, 0
    for name in names:
        tensor = state[name]
        length = math.prod(tensor.shape) * np.dtype(tensor.storage.numpy).itemsize
        header[name] = {"dtype": tensor.storage.dtype, "shape": list(tensor.shape),
                        "data_offsets": [offset, offset + length]}
        offset += length
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)

    digest = hashlib.sha256()
    temporary = tempfile.NamedTemporaryFile(
        dir=os.path.dirname(os.path.abspath(path)), prefix=os.path.basename(path) + ".", delete=False)
    try:
        with temporary as file:
            for block in [struct.pack("<Q", len(text)), text]:
                file.write(block)
                digest.update(block)
            for name in names:
                block = state[name].array().tobytes()
                file.write(block)
                digest.update(block)
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary.name, 0o666 & ~mask)
        os.replace(temporary.name, path)
    except BaseException:
        os.unlink(temporary.name)
        raise
    return digest.hexdigest()


# Where the architectures have their last layer; its bias says how many classes there are.
LAST_LAYERS = ("classifier.1.bias", "fc.bias")


def read_names(path, state):
    """Names of the classes, one per line, as text; a first line "background" more than there are classes goes."""
    with open(path, encoding="utf-8-sig") as file:
        names = file.read().splitlines()
    counts = {math.prod(state[name].shape) for name in LAST_LAYERS if name in state}
    if len(counts) != 1:
        raise Refused("there is no last layer whose classes could be named")
    count = counts.pop()
    if len(names) == count + 1 and names[0] == "background":
        del names[0]
    if len(names) != count:
        raise Refused("%s has %d lines, the network has %d classes" % (path, len(names), count))
    for i, name in enumerate(names):
        if not 1 <= len(name.encode()) <= 240 or not name.isprintable():
            raise Refused("%s: line %d is no name of 1 to 240 bytes" % (path, i + 1))
    return "\n".join(names)


def convert(source, target, architecture=None, transform_input=False, classes=None):
    """Convert a file; returns the number of tensors and the SHA-256 of what was written. Raises Refused.

    All tensors are kept, those of the last layer too. classes: a text file that names its classes, one per line.
    """
    state = read_state_dict(source)
    metadata = {"format": "pt"}
    if architecture is not None:
        metadata["architecture"] = architecture
    if transform_input:
        metadata["transform_input"] = "true"
    if classes is not None:
        metadata["classes"] = read_names(classes, state)
    return len(state), write_safetensors(state, target, metadata)


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python3 -m imgsim.convert", description=__doc__.split("\n")[0])
    parser.add_argument("source", metavar="IN.pth", help="state dict written by torch.save()")
    parser.add_argument("target", metavar="OUT.safetensors")
    parser.add_argument("--architecture", choices=ARCHITECTURES, metavar="NAME",
                        help="note it in the file: " + ", ".join(ARCHITECTURES))
    parser.add_argument("--transform-input", action="store_true",
                        help="InceptionV3 trained with inputs in [-1, 1], as torchvision's own weights are")
    parser.add_argument("--classes", metavar="FILE", help="names of the last layer's classes, one per line")
    options = parser.parse_args(arguments)
    try:
        count, digest = convert(options.source, options.target, options.architecture, options.transform_input,
                                options.classes)
    except (Refused, OSError, UnicodeDecodeError) as error:
        print("imgsim.convert: %s: %s" % (options.source, error), file=sys.stderr)
        return 1
    print("%s: %d tensors, SHA-256 %s" % (options.target, count, digest))
    return 0


if __name__ == "__main__":
    sys.exit(main())
