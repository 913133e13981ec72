#!/usr/bin/python3
"""Writes the cfg of a published network, built from its structure as the papers give it.

    tests/zoo/make_cfg.py NAME [KEY=VALUE...]        to stdout; without NAME: the names

    size=416 or width= height=   of the input
    classes=80                   (1000 for classifiers)
    wide=1 deep=1                every channel number, every number of repetitions times this
    step=8                       channel numbers are rounded to multiples of it
    batch=1                      of [net]
    ends=loss                    [yolo] and [softmax]; map: [activation] linear, so that a network ends on plain maps;
                                 student: with teacher=FILE.cfg weights=FILE, each head is learnt from the teacher's
    small=1                      as in tests/fixtures/zoo

Each network is one function, its table of stages above it; NETWORKS lists them. Anchors are multiples of a head's
stride: they belong to data, not to a structure.
"""
import math
import sys


def divisible(channels, step):
    """The nearest multiple of `step`, never more than a tenth below, as MobileNets round."""
    rounded = max(step, int(channels + step / 2) // step * step)
    return rounded + step if rounded < .9 * channels else rounded


class Cfg:
    """A cfg that grows section by section. What adds a layer returns its number."""

    def __init__(self, keys):
        self.keys, self.text, self.layers, self.activation, self.heads = keys, [], -1, 'linear', 0
        self.section('net', batch=keys['batch'], subdivisions=1, width=keys['width'], height=keys['height'], channels=3,
                     learning_rate=0.01, momentum=0.9, decay=0.0005, policy='constant', max_batches=1000)
        if keys['ends'] == 'student':
            self.section('teacher', cfg=keys['teacher'], weights=keys['weights'])
            self.section('augment', flip=1)
            self.layers = 0

    def section(self, name, **values):
        self.text.append('[%s]\n%s' % (name, ''.join('%s=%s\n' % pair for pair in values.items())))
        self.layers += 1
        return self.layers - 1

    def wide(self, channels):
        return divisible(channels * self.keys['wide'], self.keys['step'])

    def deep(self, repetitions):
        return max(1, math.ceil(repetitions * self.keys['deep']))

    def conv(self, filters, size=1, stride=1, activation=None, norm=1, groups=1):
        values = {'batch_normalize': 1} if norm else {}
        if groups > 1:
            values['groups'] = groups
        return self.section('convolutional', **values, filters=filters, size=size, stride=stride, pad=1,
                            activation=activation or self.activation)

    def route(self, *layers, **part):
        return self.section('route', layers=','.join(map(str, layers)), **part)

    def add(self, layer, activation='linear'):
        return self.section('shortcut', **{'from': layer}, activation=activation)

    def maxpool(self, size=2, stride=2):
        return self.section('maxpool', size=size, stride=stride)

    def up(self):
        return self.section('upsample', stride=2)

    def detect(self, stride, activation='linear', **keys):
        """A head: the 1x1 convolution that classifies, and [yolo]."""
        self.heads += 1
        ends, classes = self.keys['ends'], self.keys['classes']
        if ends == 'student':
            self.section('projector', stack='1x1')
            self.section('feature_l2')
            return self.section('reused_classifier')
        self.conv(3 * (classes + 5), activation=activation, norm=0)
        if ends == 'map':
            return self.section('activation', activation='linear')
        boxes = ((1.5, 2), (3, 2.5), (3.5, 5))
        anchors = ',  '.join('%d,%d' % (width * stride, height * stride) for width, height in boxes)
        return self.section('yolo', mask='0,1,2', anchors=anchors, classes=classes, num=3, ignore_thresh=.7, **keys)

    def classify(self, hidden=None):
        """Average, an optional hidden layer (with its activation), the classes."""
        self.section('avgpool')
        if hidden:
            self.conv(hidden, norm=0)
        if self.keys['ends'] == 'loss':
            self.section('dropout', probability=.2)
        self.conv(self.keys['classes'], activation='linear', norm=0)
        if self.keys['ends'] == 'loss':
            return self.section('softmax')
        return self.section('activation', activation='linear')


# ---- YOLOv4: CSPDarknet53, spatial pyramid, path aggregation (Bochkovskiy, Wang, Liao: "YOLOv4", 2020) ----

#                channels, residual blocks
CSP_DARKNET53 = [(64, 1), (128, 2), (256, 8), (512, 8), (1024, 4)]


def csp_stage(cfg, channels, blocks, first):
    """Cross-stage partial: residual blocks on one of two 1x1 branches. The first stage halves only inside its block."""
    branch = cfg.wide(channels if first else channels // 2)
    down = cfg.conv(cfg.wide(channels), 3, 2)
    bypass = cfg.conv(branch)
    cfg.route(down)
    last = cfg.conv(branch)
    for _ in range(cfg.deep(blocks)):
        cfg.conv(cfg.wide(channels // 2))
        cfg.conv(branch, 3)
        last = cfg.add(last)
    cfg.route(cfg.conv(branch), bypass)
    return cfg.conv(cfg.wide(channels))


def five_convs(cfg, channels):
    """1x1 and 3x3 in turn, ending on the 1x1 of the fewer channels."""
    for i in range(5):
        last = cfg.conv(cfg.wide(channels * (1 + i % 2)), 3 if i % 2 else 1)
    return last


def pyramid_pool(cfg, layer):
    """Maximum pools of 5, 9 and 13 beside the map itself."""
    pools = []
    for size in (5, 9, 13):
        pools.append(cfg.maxpool(size, 1))
        if size < 13:
            cfg.route(layer)
    return cfg.route(*reversed(pools), layer)


def top_down(cfg, channels, lateral):
    """Half as many channels, twice as large, beside the backbone's map of that size, which comes first."""
    cfg.conv(cfg.wide(channels))
    upper = cfg.up()
    cfg.route(lateral)
    return cfg.route(cfg.conv(cfg.wide(channels)), upper)


def yolov4(cfg):
    cfg.activation = 'mish'
    cfg.conv(cfg.wide(32), 3)
    stages = [csp_stage(cfg, channels, blocks, i == 0) for i, (channels, blocks) in enumerate(CSP_DARKNET53)]
    cfg.activation = 'leaky'
    cfg.conv(cfg.wide(512))
    cfg.conv(cfg.wide(1024), 3)
    pyramid_pool(cfg, cfg.conv(cfg.wide(512)))
    cfg.conv(cfg.wide(512))
    cfg.conv(cfg.wide(1024), 3)
    maps = [cfg.conv(cfg.wide(512))]
    for channels, stage in ((256, 3), (128, 2)):
        top_down(cfg, channels, stages[stage])
        maps.append(five_convs(cfg, channels))
    for i, channels in enumerate((128, 256, 512)):
        if i:
            cfg.route(cfg.conv(cfg.wide(channels), 3, 2), maps[2 - i])
            maps[2 - i] = five_convs(cfg, channels)
        cfg.conv(cfg.wide(2 * channels), 3)
        cfg.detect(8 << i, scale_x_y=(1.2, 1.1, 1.05)[i])
        if i < 2:
            cfg.route(maps[2 - i])


# ---- YOLOv4-tiny (Wang, Bochkovskiy, Liao: "Scaled-YOLOv4", 2020): half the channels go through a block ----

def csp_tiny_stage(cfg, channels):
    """Returns the 1x1 convolution's map; the stage's output is twice as wide and half as large."""
    first = cfg.conv(cfg.wide(channels), 3)
    cfg.route(first, groups=2, group_id=1)
    half = cfg.conv(cfg.wide(channels) // 2, 3)
    cfg.route(cfg.conv(cfg.wide(channels) // 2, 3), half)
    mixed = cfg.conv(cfg.wide(channels))
    cfg.route(first, mixed)
    cfg.maxpool()
    return mixed


def yolov4_tiny(cfg):
    cfg.activation = 'leaky'
    cfg.conv(cfg.wide(32), 3, 2)
    cfg.conv(cfg.wide(64), 3, 2)
    lateral = [csp_tiny_stage(cfg, channels) for channels in (64, 128, 256)][-1]
    cfg.conv(cfg.wide(512), 3)
    top = cfg.conv(cfg.wide(256))
    cfg.conv(cfg.wide(512), 3)
    cfg.detect(32, scale_x_y=1.05)
    cfg.route(top)
    cfg.conv(cfg.wide(128))
    cfg.route(cfg.up(), lateral)
    cfg.conv(cfg.wide(256), 3)
    cfg.detect(16, scale_x_y=1.05)


# ---- YOLOv7-tiny (Wang, Bochkovskiy, Liao: "YOLOv7", 2022): efficient layer aggregation ----

def elan(cfg, inside, out):
    """Two 1x1 branches, two 3x3 behind the second, all four side by side."""
    before = cfg.layers - 1
    parts = [cfg.conv(cfg.wide(inside))]
    cfg.route(before)
    parts += [cfg.conv(cfg.wide(inside), size) for size in (1, 3, 3)]
    cfg.route(*reversed(parts))
    return cfg.conv(cfg.wide(out))


def csp_pyramid_pool(cfg, channels):
    before = cfg.layers - 1
    bypass = cfg.conv(cfg.wide(channels))
    cfg.route(before)
    pyramid_pool(cfg, cfg.conv(cfg.wide(channels)))
    cfg.route(cfg.conv(cfg.wide(channels)), bypass)
    return cfg.conv(cfg.wide(channels))


def yolov7_tiny(cfg):
    cfg.activation = 'leaky'
    cfg.conv(cfg.wide(32), 3, 2)
    cfg.conv(cfg.wide(64), 3, 2)
    stages = []
    for i, inside in enumerate((32, 64, 128, 256)):
        if i:
            cfg.maxpool()
        stages.append(elan(cfg, inside, 2 * inside))
    maps = [csp_pyramid_pool(cfg, 256)]
    for channels, stage in ((128, 2), (64, 1)):
        top_down(cfg, channels, stages[stage])
        maps.append(elan(cfg, channels // 2, channels))
    for channels, beside in ((128, 1), (256, 0)):
        cfg.route(cfg.conv(cfg.wide(channels), 3, 2), maps[beside])
        maps[beside] = elan(cfg, channels // 2, channels)
    for i, channels in enumerate((128, 256, 512)):
        cfg.route(maps[2 - i])
        cfg.conv(cfg.wide(channels), 3)
        cfg.detect(8 << i, 'logistic', new_coords=1, scale_x_y=2)


# ---- EfficientNet-B0 (Tan, Le: "EfficientNet", 2019) ----

#                  expansion, size, stride, channels, blocks
EFFICIENTNET_B0 = [(1, 3, 1, 16, 1), (6, 3, 2, 24, 2), (6, 5, 2, 40, 2), (6, 3, 2, 80, 3), (6, 5, 1, 112, 3),
                   (6, 5, 2, 192, 4), (6, 3, 1, 320, 1)]


def squeeze_and_excite(cfg, layer, channels, squeezed, activation, gate):
    """The average of `layer` through two 1x1 convolutions is a factor for each of its channels."""
    cfg.section('avgpool')
    cfg.conv(squeezed, activation=activation, norm=0)
    cfg.conv(channels, activation=gate, norm=0)
    return cfg.section('scale_channels', **{'from': layer}, activation='linear')


def inverted_residual(cfg, channels, out, expanded, size, stride, squeezed=0, gate=None, squeeze=None):
    """1x1 to `expanded`, depthwise, an optional gate, 1x1 to `out` without activation, added where the shape stays."""
    before = cfg.layers - 1
    if expanded != channels:
        cfg.conv(expanded)
    layer = cfg.conv(expanded, size, stride, groups=expanded)
    if squeezed:
        squeeze_and_excite(cfg, layer, expanded, squeezed, squeeze or cfg.activation, gate)
    cfg.conv(out, activation='linear')
    if stride == 1 and out == channels:
        cfg.add(before)
    return out


def efficientnet_b0(cfg):
    cfg.activation = 'swish'
    channels = cfg.wide(32)
    cfg.conv(channels, 3, 2)
    for expansion, size, stride, out, blocks in EFFICIENTNET_B0:
        for block in range(cfg.deep(blocks)):
            channels = inverted_residual(cfg, channels, cfg.wide(out), channels * expansion, size,
                                         1 if block else stride, max(1, channels // 4), 'logistic')
    cfg.conv(cfg.wide(1280))
    cfg.classify()


# ---- MobileNetV2 (Sandler et al., 2018) ----

#              expansion, channels, blocks, stride
MOBILENETV2 = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
               (6, 320, 1, 1)]


def mobilenetv2(cfg):
    cfg.activation = 'relu6'
    channels = cfg.wide(32)
    cfg.conv(channels, 3, 2)
    for expansion, out, blocks, stride in MOBILENETV2:
        for block in range(cfg.deep(blocks)):
            channels = inverted_residual(cfg, channels, cfg.wide(out), channels * expansion, 3, 1 if block else stride)
    cfg.conv(cfg.wide(1280))
    cfg.classify()


# ---- MobileNetV3-large (Howard et al., 2019) ----

#              size, expanded, channels, squeeze and excitation, activation, stride
MOBILENETV3 = [(3, 16, 16, 0, 'relu', 1), (3, 64, 24, 0, 'relu', 2), (3, 72, 24, 0, 'relu', 1),
               (5, 72, 40, 1, 'relu', 2), (5, 120, 40, 1, 'relu', 1), (5, 120, 40, 1, 'relu', 1),
               (3, 240, 80, 0, 'hard_swish', 2), (3, 200, 80, 0, 'hard_swish', 1), (3, 184, 80, 0, 'hard_swish', 1),
               (3, 184, 80, 0, 'hard_swish', 1), (3, 480, 112, 1, 'hard_swish', 1), (3, 672, 112, 1, 'hard_swish', 1),
               (5, 672, 160, 1, 'hard_swish', 2), (5, 960, 160, 1, 'hard_swish', 1), (5, 960, 160, 1, 'hard_swish', 1)]


def mobilenetv3_large(cfg):
    """The published gate is relu6(x + 3) / 6. No activation of a cfg is that, but relu6 is one: the 3 stands in the
    convolution's biases, and the sixth in the weights of the 1x1 convolution behind the gate. Weights convert exactly.
    """
    cfg.activation = 'hard_swish'
    channels = cfg.wide(16)
    cfg.conv(channels, 3, 2)
    for size, expanded, out, gated, activation, stride in MOBILENETV3:
        cfg.activation = activation
        expanded = cfg.wide(expanded)
        squeezed = divisible(expanded // 4, cfg.keys['step']) if gated else 0
        channels = inverted_residual(cfg, channels, cfg.wide(out), expanded, size, stride, squeezed, 'relu6', 'relu')
    cfg.activation = 'hard_swish'
    cfg.conv(cfg.wide(960))
    cfg.classify(cfg.wide(1280))


# ---- what Darknet's users have besides ----

def pieces(cfg):
    """No published network: every layer and activation that the six lack, each read by what follows."""
    half, most = cfg.wide(64) // 2, cfg.wide(64)
    first = cfg.conv(most, 3, activation='hard_mish')
    cfg.section('convolutional', batch_normalize=1, filters=most, size=3, stride=1, dilation=2, pad=1,
                activation='gelu')
    second = cfg.section('convolutional', batch_normalize=1, filters=most, size=3, stride_x=1, stride_y=1, dilation=3,
                         groups=2, pad=1, activation='swish')
    gate = cfg.conv(most, activation='logistic')
    masked = cfg.section('sam', **{'from': second})
    cfg.conv(1, activation='logistic', norm=0)
    cfg.section('scale_channels', **{'from': gate}, scale_wh=1)
    third = cfg.section('shortcut', **{'from': '%d,%d' % (masked, first)}, activation='mish')
    cfg.section('shortcut', **{'from': '%d,%d' % (second, gate)}, weights_type='per_feature',
                weights_normalization='softmax', activation='linear')
    cfg.section('shortcut', **{'from': first}, weights_type='per_channel', weights_normalization='relu',
                activation='swish')
    cfg.section('route_lhalf', layers='%d,%d' % (cfg.layers - 1, third))
    cfg.conv(half)
    cfg.section('reorg3d', stride=2)
    small = cfg.section('convolutional', batch_normalize=1, filters=half, size=3, stride_x=2, stride_y=1, pad=1,
                        activation='hard_swish')
    cfg.section('maxpool', size=2, stride_x=1, stride_y=2)
    cfg.conv(most, 3, activation='relu6')
    cfg.route(small, groups=2, group_id=0)
    cfg.section('maxpool', size=3, stride_x=1, stride_y=2)
    cfg.route(cfg.layers - 1, cfg.layers - 3, groups=4, group_id=3)
    cfg.section('activation', activation='mish')
    cfg.classify()


NETWORKS = {
    'yolov4': (yolov4, 608, 80), 'yolov4-tiny': (yolov4_tiny, 416, 80), 'yolov7-tiny': (yolov7_tiny, 416, 80),
    'efficientnet-b0': (efficientnet_b0, 224, 1000), 'mobilenetv2': (mobilenetv2, 224, 1000),
    'mobilenetv3-large': (mobilenetv3_large, 224, 1000), 'pieces': (pieces, 64, 10),
}

# What fixtures are of: enough images and places for a batch norm, few numbers.
SMALL = {
    'yolov4': dict(wide=.125, deep=.25, classes=3, width=96, height=64),
    'yolov4-tiny': dict(wide=.125, classes=3, width=96, height=64),
    'yolov7-tiny': dict(wide=.125, classes=3, width=96, height=64),
    'efficientnet-b0': dict(wide=.25, deep=.5, classes=10, width=96, height=64),
    'mobilenetv2': dict(wide=.25, deep=.5, classes=10, width=96, height=64),
    'mobilenetv3-large': dict(wide=.25, classes=10, width=96, height=64),
    'pieces': dict(wide=.25, classes=10, width=24, height=16),
}


def make(name, **keys):
    """The cfg's text."""
    build, size, classes = NETWORKS[name]
    if keys.pop('small', 0):
        keys = {**SMALL[name], 'batch': 2, 'ends': 'map', **keys}
    size = keys.pop('size', size)
    unknown = set(keys) - {'width', 'height', 'classes', 'wide', 'deep', 'step', 'batch', 'ends', 'teacher', 'weights'}
    if unknown:
        raise ValueError('no such key: ' + ', '.join(sorted(unknown)))
    cfg = Cfg({'width': size, 'height': size, 'classes': classes, 'wide': 1, 'deep': 1, 'step': 8, 'batch': 1,
               'ends': 'loss', **keys})
    build(cfg)
    return '# %s, made by tests/zoo/make_cfg.py\n' % name + '\n'.join(cfg.text)


def value(text):
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def main(arguments):
    if not arguments:
        print('\n'.join(NETWORKS))
        return 0
    if arguments[0] not in NETWORKS or any('=' not in pair for pair in arguments[1:]):
        print(__doc__, file=sys.stderr)
        return 2
    keys = dict(pair.split('=', 1) for pair in arguments[1:])
    sys.stdout.write(make(arguments[0], **{key: value(text) for key, text in keys.items()}))
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
