#!/usr/bin/python3
"""Writes the binary files the fuzz targets begin with, tests/fuzz/corpus/*/: one small, right file of each kind.
Texts in there are written by hand. Needs nothing but Python."""
import gzip, io, json, os, pickle, struct, sys, types, zipfile, zlib

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "corpus")


def put(target, name, data):
    os.makedirs(os.path.join(ROOT, target), exist_ok=True)
    with open(os.path.join(ROOT, target, name), "wb") as f:
        f.write(data)


# ---- IDX: the label file's length, the label file, the images ----

def idx(images, labels):
    return struct.pack("<H", len(labels)) + labels + images


idx_images = struct.pack(">4I", 0x803, 2, 3, 2) + bytes(range(12))
idx_labels = struct.pack(">2I", 0x801, 2) + bytes([3, 9])
put("idx", "plain", idx(idx_images, idx_labels))
put("idx", "gzip", idx(gzip.compress(idx_images, mtime=0), gzip.compress(idx_labels, mtime=0)))
put("idx", "unlabelled", idx(idx_images, b""))

# ---- CIFAR: a byte of flags, records ----

put("cifar", "ten", bytes([0]) + (bytes([7]) + bytes(3072)) * 2)
put("cifar", "hundred", bytes([5]) + (bytes([3, 99]) + bytes(range(256)) * 12))

# ---- weights: 3 filters 3x3 with batch norm, 12 -> 2 ----

floats = struct.pack("<65f", *[0.1 * i for i in range(65)])
put("weights", "whole", struct.pack("<3iQ", 0, 2, 0, 1000) + floats)
put("weights", "narrow", struct.pack("<3iI", 0, 1, 0, 1000) + floats)
put("weights", "first_layer", struct.pack("<3iQ", 0, 2, 5, 0) + floats[: 39 * 4])

# ---- the state of a run: a byte of flags (1: the checksum is put right), then the same network's momentum ----

def array(n):
    return struct.pack("<Q", n) + struct.pack("<%df" % n, *[0.5 * i for i in range(n)])


state = b"distill state 3\n" + struct.pack("<Q", 77) + struct.pack("<2Q2d2Qd1Qd2Q", 64, 8, 0.5, 0.25, 2, 0, 0.1, 0, -1.0, 0, 0)
state += struct.pack("<Q", 14) + b"cfg=1\nseed=2\n\n"[:14]
state += struct.pack("<Q", 2) + struct.pack("<3Q2q", 99, 12, 144, 5, 6) * 2 + struct.pack("<Q", 0)   # what images held
state += struct.pack("<Q", 2)
state += struct.pack("<3Q", 0, 8, 4) + array(3) + array(3) + array(3) + array(27)
state += struct.pack("<3Q", 1, 0, 2) + array(2) + array(8) + struct.pack("<Q", 0)   # no losses
put("state", "whole", bytes([1]) + state + bytes(8))
put("state", "no_layers", bytes([1]) + state[: state.index(b"seed=2") + 7] + struct.pack("<4Q", 0, 0, 0, 0) + bytes(8))

# ---- PyTorch ----

def storage(name):
    return type(name, (), {"__module__": "torch"})


FloatStorage, HalfStorage, LongStorage = storage("FloatStorage"), storage("HalfStorage"), storage("LongStorage")
torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
sys.modules["torch"], sys.modules["torch._utils"] = torch, utils
torch.FloatStorage, torch.HalfStorage, torch.LongStorage, torch._utils = FloatStorage, HalfStorage, LongStorage, utils


def _rebuild_tensor_v2(*args):
    pass


_rebuild_tensor_v2.__module__ = "torch._utils"
utils._rebuild_tensor_v2 = _rebuild_tensor_v2
from collections import OrderedDict


class Storage:
    def __init__(self, kind, key, n):
        self.id = ("storage", kind, key, "cpu", n)


class Tensor:
    def __init__(self, kind, key, size, stride, offset=0):
        n = 1 + offset + sum((s - 1) * t for s, t in zip(size, stride))
        self.args = (Storage(kind, key, n), offset, size, stride, False, OrderedDict())

    def __reduce__(self):
        return _rebuild_tensor_v2, self.args


class Pickler(pickle.Pickler):
    def persistent_id(self, x):
        return x.id if isinstance(x, Storage) else None


def dump(x, protocol=2):
    out = io.BytesIO()
    Pickler(out, protocol).dump(x)
    return out.getvalue()


model = OrderedDict([
    ("conv1.weight", Tensor(FloatStorage, "0", (2, 1, 3, 3), (9, 9, 3, 1))),
    ("bn1.weight", Tensor(FloatStorage, "1", (2,), (1,))), ("bn1.bias", Tensor(FloatStorage, "2", (2,), (1,))),
    ("bn1.running_mean", Tensor(HalfStorage, "3", (2,), (1,))), ("bn1.running_var", Tensor(HalfStorage, "4", (2,), (1,))),
    ("bn1.num_batches_tracked", Tensor(LongStorage, "5", (), ())),
    ("fc.weight", Tensor(FloatStorage, "6", (3, 2), (1, 3))), ("fc.bias", Tensor(FloatStorage, "7", (3,), (1,))),
])
sizes = [(18, 4), (2, 4), (2, 4), (2, 2), (2, 2), (1, 8), (6, 4), (3, 4)]
nested = {"epoch": 3, "state_dict": model, "optimizer": {"lr": 0.1, "x": [1, 2.5, None, True, (1 << 40, -1)]}}


def archive(data):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as z:
        def add(name, body):
            z.writestr(zipfile.ZipInfo("m/" + name), body)
        add("data.pkl", data)
        add("byteorder", b"little")
        for i, (n, b) in enumerate(sizes):
            add("data/%d" % i, bytes(n * b))
    return out.getvalue()


def legacy(data):
    keys = [str(i) for i in range(len(sizes))]
    head = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + pickle.dumps({"little_endian": True, "protocol_version": 1001}, 2)
    body = b"".join(struct.pack("<q", n) + bytes(n * b) for n, b in sizes)
    return head + data + pickle.dumps(keys, 2) + body


put("pt", "zip", archive(dump(nested)))
put("pt", "legacy", legacy(dump(model)))
put("pickle", "model", dump(model))
put("pickle", "nested", dump(nested))
put("pickle", "protocol4", dump(nested, 4))


# What training loops save beside the weights.
class Odd:
    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call[0], self.call[1:]


def scalar(kind, data):
    pass


scalar.__module__ = "numpy.core.multiarray"
numpy, core, multiarray = types.ModuleType("numpy"), types.ModuleType("numpy.core"), types.ModuleType("numpy.core.multiarray")
sys.modules.update({"numpy": numpy, "numpy.core": core, "numpy.core.multiarray": multiarray})
multiarray.scalar = scalar
import argparse, collections
device, Size = type("device", (), {"__module__": "torch"}), type("Size", (), {"__module__": "torch"})
torch.device, torch.Size = device, Size
beside = {"args": argparse.Namespace(lr=0.1, names=["a"]), "milestones": collections.Counter([30, 60]), "seen": {1, 2}, "frozen": frozenset("a"),
          "best": Odd(scalar, 8, b"12345678"), "place": Odd(device, "cpu"), "shape": Odd(Size, (2, 3)), "log": collections.defaultdict(list, a=[1.5])}
put("pickle", "training2", dump({**beside, "state_dict": model}))
put("pickle", "training4", dump({**beside, "state_dict": model, "model_ema": dict(model)}, 4))
put("pt", "training", archive(dump({**beside, "state_dict": model, "optimizer": {"state": {0: model["fc.weight"]}}})))
put("pt", "expanded", archive(dump({"bn.weight": Tensor(FloatStorage, "0", (6,), (0,)), "fc.weight": model["fc.weight"]})))
me = []
me.append(me)
put("pickle", "itself", dump({"a": me}))

# ---- safetensors ----

def safe(header, body):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


put("safetensors", "model", safe({
    "__metadata__": {"format": "pt"},
    "bn1.running_mean": {"dtype": "F16", "shape": [2], "data_offsets": [0, 4]},
    "bn1.running_var": {"dtype": "BF16", "shape": [2], "data_offsets": [4, 8]},
    "conv1.weight": {"dtype": "F32", "shape": [2, 1, 1, 1], "data_offsets": [8, 16]},
    "n": {"dtype": "I64", "shape": [], "data_offsets": [16, 24]}}, bytes(24)))

# ---- ONNX, written field by field (onnx.proto): number << 3 | wire type ----

def varint(n):
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def number(field, n):
    return varint(field << 3) + varint(n)


def block(field, data):
    data = data.encode() if isinstance(data, str) else data
    return varint(field << 3 | 2) + varint(len(data)) + data


def initial(name, dims, raw=True):
    n = 1
    for k in dims:
        n *= k
    values = struct.pack("<%df" % n, *[0.5] * n)
    return block(5, b"".join(number(1, k) for k in dims) + number(2, 1) + block(8, name) + block(9 if raw else 4, values))


def node(kind, inputs, output, *attributes):
    return block(1, b"".join(block(1, i) for i in inputs) + block(2, output) + block(4, kind) + b"".join(block(5, a) for a in attributes))


def whole(name, n):
    return block(1, name) + number(3, n) + number(20, 2)


graph = (node("Conv", ["x", "w", "b"], "c") + node("BatchNormalization", ["c", "s", "t", "m", "v"], "n", block(1, "epsilon") + varint(2 << 3 | 5) + struct.pack("<f", 1e-3) + number(20, 1))
         + node("Relu", ["n"], "r") + node("Gemm", ["r", "fw", "fb"], "y", whole("transB", 1)) + node("MatMul", ["y", "mw"], "z") + node("Add", ["z", "mb"], "a")
         + node("Constant", [], "k", block(1, "value") + block(5, number(2, 1) + number(1, 1) + block(9, struct.pack("<f", 6))) + number(20, 4)) + node("Clip", ["a", "k"], "o")
         + node("Identity", ["mw"], "mv") + node("MatMul", ["o", "mv"], "q")
         + block(2, "g") + initial("w", [2, 1, 3, 3]) + initial("b", [2]) + b"".join(initial(i, [2], False) for i in "stmv")
         + initial("fw", [3, 2]) + initial("fb", [3]) + initial("mw", [3, 3]) + initial("mb", [1, 3]))


def graph_of(nodes, *constants, inputs="input", outputs="out"):
    sizes = block(2, b"".join(block(1, number(1, k)) for k in (1, 3, 8, 8)))
    value = lambda field, name: block(field, block(1, name) + block(2, block(1, number(1, 1) + sizes)))
    return number(1, 8) + block(7, nodes + block(2, "g") + b"".join(constants) + value(11, inputs) + value(12, outputs)) + block(8, number(2, 13))


def many(name, *n):
    return block(1, name) + block(8, b"".join(varint(k) for k in n)) + number(20, 7)


def wholes(name, *n):
    return block(5, number(1, len(n)) + number(2, 7) + block(8, name) + block(9, struct.pack("<%dq" % len(n), *n)))


# The network of fuzz_onnx.c, with a shape that is computed, a slice, a transpose and zeros besides.
put("onnx", "whole", graph_of(
    node("Conv", ["input", "w", "b"], "c", many("pads", 1, 1, 1, 1)) + node("Relu", ["c"], "r")
    + node("MaxPool", ["r"], "p", many("kernel_shape", 2, 2), many("strides", 2, 2)) + node("Conv", ["p", "w1"], "d") + node("Add", ["d", "b1"], "e")
    + node("Shape", ["r"], "s") + node("Slice", ["s", "two", "four", "zero"], "hw") + node("Concat", ["nc", "hw"], "size", whole("axis", 0))
    + node("Resize", ["e", "", "", "size"], "u", block(1, "nearest_mode") + block(4, "floor") + number(20, 3))
    + node("Concat", ["u", "r"], "j", whole("axis", 1)) + node("Conv", ["j", "w2", "b"], "f")
    + node("LeakyRelu", ["f"], "l", block(1, "alpha") + varint(2 << 3 | 5) + struct.pack("<f", .1) + number(20, 1))
    + node("Add", ["l", "r"], "a") + node("Relu", ["a"], "z") + node("GlobalAveragePool", ["z"], "v") + node("Transpose", ["v"], "t", many("perm", 0, 2, 3, 1))
    + node("Reshape", ["t", "flat"], "x") + node("MatMul", ["x", "fw"], "y") + node("Add", ["y", "fb"], "o") + node("Softmax", ["o"], "out", whole("axis", 1)),
    initial("w", [4, 3, 3, 3]), initial("b", [4]), initial("w1", [4, 4, 1, 1]), initial("b1", [4, 1, 1]), initial("w2", [4, 8, 1, 1]),
    initial("fw", [4, 5]), initial("fb", [5]), wholes("two", 2), wholes("four", 4), wholes("zero", 0), wholes("nc", 1, 4), wholes("flat", -1, 4)))
put("onnx", "parts", graph_of(
    node("Pad", ["input", "around"], "i") + node("Conv", ["i", "w", "b"], "c", block(1, "auto_pad") + block(4, "VALID") + number(20, 3)) + node("Relu", ["c"], "r")
    + node("Slice", ["r", "zero", "four", "two"], "h") + node("Unsqueeze", ["h", "two"], "q") + node("Squeeze", ["q", "two"], "k")
    + node("Mul", ["k", "half"], "m") + node("Constant", [], "half", block(1, "value_float") + varint(2 << 3 | 5) + struct.pack("<f", .5) + number(20, 1))
    + node("Clip", ["m", "half"], "out"),
    initial("w", [4, 3, 3, 3]), initial("b", [4]), wholes("two", 2), wholes("four", 4), wholes("zero", 0), wholes("around", 0, 0, 1, 1, 0, 0, 1, 1)))
outside = lambda name, place: block(5, number(1, 4) + number(1, 3) + number(1, 3) + number(1, 3) + number(2, 1) + block(8, name)
                                    + block(13, block(1, "location") + block(2, place)) + block(13, block(1, "length") + block(2, "432")) + number(14, 1))
put("onnx", "outside", graph_of(node("Conv", ["input", "w"], "out", many("pads", 1, 1, 1, 1)), outside("w", "net.cfg")))
put("onnx", "model", number(1, 8) + block(2, "hand") + block(7, graph) + block(8, number(2, 13)))

# ---- images: 3x2 in each format ----

def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


rgb = bytes(range(10, 28))
rows = b"".join(b"\0" + rgb[9 * y:9 * y + 9] for y in range(2))
png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">2I5B", 3, 2, 8, 2, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
put("image", "png", png)
put("image", "ppm", b"P6\n# a comment\n3 2\n255\n" + rgb)
put("image", "pgm", b"P2 3 2 255 1 2 3 4 5 6\n")
put("image", "bmp", b"BM" + struct.pack("<I2HI", 54 + 24, 0, 0, 54) + struct.pack("<I2i2H6I", 40, 3, 2, 1, 24, 0, 24, 2835, 2835, 0, 0) + bytes(24))
entries = [(256, 4, 1, 3), (257, 4, 1, 2), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 134), (277, 3, 1, 1), (278, 4, 1, 2), (279, 4, 1, 6)]
put("image", "tiff", b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(entries)) + b"".join(struct.pack("<2HII", *e) for e in entries) + struct.pack("<I", 0)
    + bytes(134 - 8 - 2 - 12 * len(entries) - 4) + bytes(range(6)))
put("image", "jpeg", bytes.fromhex(
    "ffd8ffe000104a46494600010100000100010000ffdb004300" + "01" * 64 + "ffc0000b080002000301011100"
    "ffc4001400010000000000000000000000000000000000ffc40014100100000000000000000000000000000000" "ffda0008010100003f003fffd9"))

# ---- feature cache: flags, index of 2 views x 2 images, records (the target writes header and checksums) ----

maps = 64 + 64     # two taps as 16-bit floats: 8 and 9 values, each rounded up to 64 bytes
index, records, at = b"", b"", 4096 + 64
for view in range(2):
    for image in range(2):
        index += struct.pack("<2Q", at, maps)
        records += struct.pack("<2I3Q", 0x54414546, 0, image, view, maps) + bytes(32) + bytes(maps)
        at += 64 + maps
put("cache", "half", bytes([3]) + index + records)
held = struct.pack("<3Q2q", 99, 12, 144, 5, 6) + bytes(16)
held += struct.pack("<I", zlib.crc32(held)) + b"PRNT"
put("cache", "prints", bytes([19]) + index + held + bytes(64) + records)
put("cache", "unpacked_from_nothing", bytes([7]) + struct.pack("<2Q", 4096 + 64, 20) + bytes(48) + struct.pack("<2I3Q", 0x54414546, 0, 0, 0, 20) + bytes(32) + bytes(20))
put("cache", "header", bytes([0]) + b"darknet-distill features 2\nteacher=2\nimages=2\n")
