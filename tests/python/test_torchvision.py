# SPDX-License-Identifier: Apache-2.0
"""CNN embeddings against torchvision: real weights on photos, random weights of every architecture, TorchScript."""

import json
import os
import struct
import tempfile
import unittest
import warnings

import imgsim
import numpy as np
import support

DTYPES = {"float64": "F64", "float32": "F32", "float16": "F16", "int64": "I64"}


def write_safetensors(state, path):
    """The weights of a state dict, in its order."""
    header, blocks, offset = {}, [], 0
    for name, tensor in state.items():
        array = tensor.numpy()
        header[name] = {"dtype": DTYPES[str(array.dtype)], "shape": list(array.shape),
                        "data_offsets": [offset, offset + array.nbytes]}
        offset += array.nbytes
        blocks.append(array.tobytes())
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(blocks))


def read_safetensors(path):
    """Name -> array of fp32."""
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        header.pop("__metadata__", None)
        data = file.read()
    return {name: np.frombuffer(data[slice(*entry["data_offsets"])], "<f4").reshape(entry["shape"])
            for name, entry in header.items()}


def cosines(ours, theirs):
    """Cosine of each pair of rows; ours must be of length 1."""
    np.testing.assert_allclose(np.linalg.norm(ours, axis=1), 1, atol=1e-5)
    return (ours * theirs).sum(1) / np.linalg.norm(theirs, axis=1)


class Torchvision(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not imgsim.has_feature("torch"):
            raise unittest.SkipTest("libimgsim was built without the torch module")
        cls.torch = support.module("torch")
        cls.torchvision = support.module("torchvision")
        cls.torch.set_num_threads(2)
        warnings.filterwarnings("ignore", module="torchvision")
        holder = tempfile.TemporaryDirectory(prefix="imgsim-torchvision-")
        cls.addClassCleanup(holder.cleanup)
        cls.folder = holder.name

    def network(self, name):
        """torchvision's network with seeded weights; batch normalisation fits our pictures, so that they stay apart."""
        torch = self.torch
        torch.manual_seed(1)
        extra = {"init_weights": False} if name == "inception_v3" else {}
        network = getattr(self.torchvision.models, name)(weights=None, **extra)
        norms = [layer for layer in network.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
        with torch.no_grad():
            for norm in norms:
                norm.weight.copy_(torch.rand(norm.weight.shape) + 0.5)
                norm.bias.copy_(torch.randn(norm.bias.shape) * 0.2)
                norm.momentum = 1.0
            if norms:
                network(self.tensor(self.pixels(299 if name == "inception_v3" else 224)))
        return network.eval()

    def embed(self, network, batch):
        """What is left without the last layer, averaged over space."""
        torch = self.torch
        if hasattr(network, "features"):
            def without_last(images):
                return network.features(images).mean((2, 3))
        else:
            network.fc = torch.nn.Identity()
            without_last = network
        with torch.no_grad():
            return torch.cat([without_last(part) for part in batch.split(8)]).numpy()

    def tensor(self, pixels):
        """N x S x S x 3 bytes to torchvision's normalised input."""
        normalise = self.torchvision.transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
        return normalise(self.torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255)

    def pixels(self, side, count=4):
        """Soft random pictures: noise of several scales."""
        rng = np.random.default_rng(side)
        total = np.zeros((count, side, side, 3))
        for cells in (4, 16, 64):
            step = -(-side // cells)
            coarse = rng.normal(size=(count, cells, cells, 3))
            total += coarse.repeat(step, 1).repeat(step, 2)[:, :side, :side] * 30
        return (total + 128).clip(0, 255).astype(np.uint8)

    def real_network(self, name):
        path = support.data("models", name + ".safetensors")
        network = getattr(self.torchvision.models, name)(weights=None)
        state = {key: self.torch.from_numpy(value.copy()) for key, value in read_safetensors(path).items()}
        missing, unexpected = network.load_state_dict(state, strict=False)
        self.assertEqual([key for key in missing if not key.endswith("num_batches_tracked")], [])
        self.assertEqual(unexpected, [])
        return path, network.eval()

    def check_photos(self, name):
        Image = support.module("PIL.Image").Image
        path, network = self.real_network(name)
        photos = support.images(support.data("images", "photos-100"))
        transforms = self.torchvision.transforms
        transform = transforms.Compose([
            transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor(),
            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))])
        opened = [Image.open(photo).convert("RGB") for photo in photos]
        theirs = self.embed(network, self.torch.stack([transform(image) for image in opened]))
        extractor = imgsim.Extractor("cnn", model=path)
        reduced = cosines(extractor.extract_batch(photos), theirs)
        print("%s: cosine from files, reduced on loading: mean %.6f, least %.6f" % (
            name, reduced.mean(), reduced.min()))
        self.assertGreaterEqual(reduced.mean(), 0.995)
        # From PIL's own pixels only the resizing and the network are left to differ.
        same = cosines(extractor.extract_batch([np.asarray(image) for image in opened]), theirs)
        print("%s: cosine from the same decoded pixels: mean %.7f, least %.7f" % (name, same.mean(), same.min()))
        self.assertGreaterEqual(same.min(), 0.9999)

        crops = np.stack([np.asarray(transforms.CenterCrop(224)(transforms.Resize(256)(image))) for image in opened])
        squeeze = imgsim.Extractor("cnn", model=path, preprocess="squeeze")
        same = cosines(squeeze.extract_batch(list(crops)), theirs)
        print("%s: cosine from the same 224 x 224 pixels: least %.7f" % (name, same.min()))
        self.assertGreaterEqual(same.min(), 0.99999)

        self.check_classes(path, network, crops)

        half = imgsim.Extractor("cnn", model=path, preprocess="squeeze", precision="bf16")
        half = cosines(half.extract_batch(list(crops)), theirs)
        print("%s: cosine in bf16: mean %.5f, least %.5f" % (name, half.mean(), half.min()))
        self.assertGreaterEqual(half.min(), 0.99)

    def check_classes(self, path, network, pixels):
        """The five most probable classes and their probabilities, from the same pixels."""
        torch = self.torch
        with torch.no_grad():
            theirs = torch.cat([torch.softmax(network(part), 1) for part in self.tensor(pixels).split(8)])
        best = theirs.topk(5)
        extractor = imgsim.Extractor("cnn", model=path, preprocess="squeeze", classes=True)
        ours = extractor.classify(list(pixels))
        worst = max(abs(probability - float(theirs[i, number])) for i, row in enumerate(ours) for number, probability in row)
        print("%s: probabilities differ by at most %.1e" % (os.path.basename(path), worst))
        self.assertLess(worst, 1e-4)
        for i, row in enumerate(ours):
            self.assertEqual(len(row), 5)
            # Equal up to rounding, so that classes that are equally probable may come in another order.
            np.testing.assert_allclose([probability for _number, probability in row], best.values[i].numpy(), atol=1e-4)
            if float((best.values[i, :-1] - best.values[i, 1:]).min()) > 1e-5:
                self.assertEqual([number for number, _probability in row], best.indices[i].tolist())

    def test_mobilenet_v2_on_photos(self):
        self.check_photos("mobilenet_v2")

    def test_squeezenet1_1_on_photos(self):
        self.check_photos("squeezenet1_1")

    def check_random_weights(self, name, dimension, convert=lambda tensor: tensor):
        network = self.network(name)
        path = os.path.join(self.folder, name + ".safetensors")
        write_safetensors({key: convert(value) for key, value in network.state_dict().items()}, path)
        side = 299 if name == "inception_v3" else 224
        pixels = self.pixels(side)
        self.check_classes(path, network, pixels)
        theirs = self.embed(network, self.tensor(pixels))
        extractor = imgsim.Extractor("cnn", model=path, preprocess="squeeze", threads=2)
        self.assertEqual(extractor.dimension, dimension)
        self.assertIn("arch=%s,precision=fp32,preprocess=squeeze,size=%d," % (name, side), extractor.spec)
        ours = extractor.extract_batch(list(pixels))
        self.assertGreaterEqual(cosines(ours, theirs).min(), 0.99999)
        # Pictures must not all look the same to it, or the comparison says nothing.
        self.assertLess((ours[0] * ours[1]).sum(), 0.9999)
        return path, pixels, theirs

    def test_random_weights(self):
        for name, dimension in (("mobilenet_v2", 1280), ("squeezenet1_1", 512), ("resnet18", 512), ("resnet34", 512),
                                ("resnet50", 2048), ("resnet101", 2048), ("resnet152", 2048),
                                ("inception_v3", 2048)):
            with self.subTest(name):
                path, pixels, theirs = self.check_random_weights(name, dimension)
            if name == "resnet50":
                extractor = imgsim.Extractor("cnn", model=path, preprocess="squeeze", precision="bf16")
                self.assertGreaterEqual(cosines(extractor.extract_batch(list(pixels)), theirs).min(), 0.99)

    def test_weights_of_other_types(self):
        self.check_random_weights("resnet18", 512, lambda tensor: tensor.double() if tensor.ndim > 1 else tensor)
        network = self.network("resnet18")
        path = os.path.join(self.folder, "half.safetensors")
        state = {key: value.half() if value.is_floating_point() else value
                 for key, value in network.state_dict().items()}
        write_safetensors(state, path)
        network.load_state_dict({key: value.float() for key, value in state.items()})
        pixels = self.pixels(224)
        ours = imgsim.Extractor("cnn", model=path, preprocess="squeeze").extract_batch(list(pixels))
        self.assertGreaterEqual(cosines(ours, self.embed(network, self.tensor(pixels))).min(), 0.99999)

    def test_inception_with_transformed_input(self):
        network = self.network("inception_v3")
        network.transform_input = True
        path = os.path.join(self.folder, "inception.pth")
        converted = os.path.join(self.folder, "inception.safetensors")
        self.torch.save(network.state_dict(), path)
        from imgsim import convert
        convert.convert(path, converted, "inception_v3", transform_input=True)
        pixels = self.pixels(299)
        theirs = self.embed(network, self.tensor(pixels))
        ours = imgsim.Extractor("cnn", model=converted, preprocess="squeeze").extract_batch(list(pixels))
        self.assertGreaterEqual(cosines(ours, theirs).min(), 0.99999)

    def test_torchscript_needs_trust(self):
        torch = self.torch
        network = self.network("resnet18")
        network.fc = torch.nn.Identity()
        pixels = self.pixels(224)
        batch = self.tensor(pixels)
        with torch.no_grad():
            theirs = network(batch).numpy()
            maps = torch.nn.Sequential(*list(network.children())[:-2])
            for name, module in (("rows", network), ("maps", maps)):
                path = os.path.join(self.folder, name + ".pt")
                torch.jit.script(module).save(path)
                with self.assertRaisesRegex(imgsim.Error, "trust"):
                    imgsim.Extractor("cnn", model=path)
                extractor = imgsim.Extractor("cnn", model=path, trust_model=True, preprocess="squeeze", threads=2)
                self.assertEqual(extractor.dimension, 512)
                self.assertIn("arch=torchscript,", extractor.spec)
                self.assertGreaterEqual(cosines(extractor.extract_batch(list(pixels)), theirs).min(), 0.99999)

    def test_torchscript_that_gives_no_rows_is_refused(self):
        torch = self.torch

        class Odd(torch.nn.Module):
            def forward(self, x):
                return x.mean()

        path = os.path.join(self.folder, "odd.pt")
        torch.jit.script(Odd()).save(path)
        with self.assertRaisesRegex(imgsim.Error, "one row"):
            imgsim.Extractor("cnn", model=path, trust_model=True)


if __name__ == "__main__":
    support.main()
