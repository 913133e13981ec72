"""What tests/test_library.sh asks of the library from Python: ok / not ok lines. check.py LIBRARY FOLDER"""
import ctypes
import os
import signal
import subprocess
import sys

sys.dont_write_bytecode = True
os.environ['DARKNET_DISTILL'] = sys.argv[1]
signal.signal(signal.SIGTERM, signal.SIG_IGN)
before = {number: signal.getsignal(number) for number in signal.valid_signals()}


def caught():
    """What this process does with signals, as the kernel has it; those from 32 on are glibc's own."""
    with open('/proc/self/status', encoding='ascii') as file:
        return [int(line.split()[1], 16) & 0x7fffffff for line in file if line.startswith(('SigCgt', 'SigIgn'))]


kernel = caught()
import example  # noqa: E402  (it loads the library)
folder = sys.argv[2]
failed = 0


def check(name, true_here, told=''):
    global failed
    failed += not true_here
    print('%sok %s%s' % ('' if true_here else 'not ', name, '' if true_here else '\n  ' + str(told)))


def path(name):
    return os.path.join(folder, name)


def refused(name, said, work):
    """It fails, says so, and we are still here."""
    try:
        work()
    except RuntimeError as error:
        check(name, all(text in str(error) for text in said), error)
    else:
        check(name, False, 'it worked')


def write(name, text):
    with open(path(name), 'w', encoding='utf-8') as file:
        file.write(text)
    return path(name)


ENCODER = '''[convolutional]
batch_normalize=1
filters=%d
size=3
stride=2
pad=1
activation=relu

'''
NET = '[net]\nbatch=4\nsubdivisions=2\nwidth=8\nheight=8\nchannels=3\nlearning_rate=.1\nmax_batches=100\n\n'
TAIL = '''[avgpool]

[convolutional]
filters=5
size=1
stride=1
pad=0
activation=linear

[softmax]
'''
teacher_cfg = write('teacher.cfg', NET + ENCODER % 16 + TAIL)
teacher = example.Net(teacher_cfg)
teacher('save', path('teacher.weights').encode())
student_cfg = write('student.cfg', NET + '[teacher]\ncfg=teacher.cfg\nweights=teacher.weights\n\n' + ENCODER % 8 +
                    '[projector]\n\n[feature_l2]\n\n[reused_classifier]\n\n[kd]\n')
write('image.ppm', 'P3 9 9 255\n' + ' '.join(str(i * 37 % 256) for i in range(243)) + '\n')

net = example.Net(student_cfg)
one = 8 * 8 * 3
check('sizes', [net.size(what) for what in ('channels', 'height', 'width', 'step', 'answers', 'teachers',
                                            'teacher_answers', 'losses')] == [3, 8, 8, 4, 5, 1, 5, 2],
      [net.size(what) for what in ('step', 'answers', 'teachers', 'teacher_answers', 'losses')])
check('an unknown size', net.size('colour') == -1)
image = (ctypes.c_float * one)()
net('read_image', path('image.ppm').encode(), image)
check('an image is read, 0 to 1', 0 <= min(image) < max(image) <= 1, list(image)[:9])
seven = (ctypes.c_float * (7 * one))(*list(image) * 7)
student, answers = (ctypes.c_float * 35)(), (ctypes.c_float * 35)()
net('run', seven, 7, student, answers)
check('student and teacher answer more images than a batch has',
      all(abs(sum(part[5 * i:5 * i + 5]) - 1) < 1e-5 and list(part[5 * i:5 * i + 5]) == list(part[:5])
          for part in (student, answers) for i in range(7)), list(student) + list(answers))
alone = (ctypes.c_float * 5)()
teacher('run', image, 1, alone, None)
check("the teacher's answer is that network's own", max(abs(a - b) for a, b in zip(alone, answers)) < 1e-6,
      list(alone) + list(answers))


def steps(net, count):
    losses = []
    for _ in range(count):
        loss = ctypes.c_double()
        net('step', batch, None, ctypes.byref(loss))
        losses.append(loss.value)
    return losses


batch = (ctypes.c_float * (4 * one))(*[(i * 31 % 101) / 101 for i in range(4 * one)])
run = steps(net, 30)
check('steps lower the loss', 0 < run[-1] < run[0] / 2, run)
parts = {}
for i in range(net.size('losses')):
    name, value = ctypes.c_char_p(), ctypes.c_double()
    net('loss', i, ctypes.byref(name), ctypes.byref(value))
    parts[name.value.decode()] = value.value
check('parts of the loss by name, which sum up to it', set(parts) == {'feature_l2', 'kd'} and
      abs(sum(parts.values()) - run[-1]) < 1e-6 * run[-1], (parts, run[-1]))
check('the same seed gives the same steps', steps(example.Net(student_cfg), 30) == run)
check('another seed gives others', steps(example.Net(student_cfg, seed=2), 1) != run[:1])
net('save', path('student.weights').encode())
deployed = example.Net(student_cfg, deployed=1)
deployed('load', path('student.weights').encode())
net('run', image, 1, student, None)
deployed('run', image, 1, alone, None)
check('weights that are saved are the deployed network', max(abs(a - b) for a, b in zip(alone, student)) < 1e-5,
      list(alone) + list(student[:5]))

refused('a missing cfg', ['nowhere.cfg'], lambda: example.Net(path('nowhere.cfg')))
bad = write('bad.cfg', NET + ENCODER.replace('filters=%d', 'filters=many') + '[softmaxx]\n')
refused('a bad cfg: every mistake with its line', ['bad.cfg:12: [convolutional]', 'bad.cfg:18'], lambda: example.Net(bad))
lost = write('lost.cfg', open(student_cfg, encoding='utf-8').read().replace('teacher.weights', 'lost.weights'))
refused("a teacher's weights that are not there", ['lost.weights'], lambda: example.Net(lost))
whole = open(path('student.weights'), 'rb').read()
open(path('short.weights'), 'wb').write(whole[:-10])
refused('short weights', ['short.weights'], lambda: net('load', path('short.weights').encode()))
refused('missing weights', ['missing.weights'], lambda: net('load', path('missing.weights').encode()))
refused('an image that is none', ['student.cfg', 'cannot read this image'],
        lambda: net('read_image', student_cfg.encode(), image))
refused('weights in a folder that is not there', ['nowhere'], lambda: net('save', path('nowhere/x.weights').encode()))
refused('a label that is no class', ['label 5 of image 0', '0 to 4'],
        lambda: net('step', batch, (ctypes.c_int * 4)(5, 0, 0, 0), ctypes.byref(ctypes.c_double())))
refused('training what is deployed', ['is not trained'],
        lambda: deployed('step', batch, None, ctypes.byref(ctypes.c_double())))
refused('a teacher where there is none', ['no teacher'], lambda: deployed('run', image, 1, None, alone))
seen = steps(example.Net(student_cfg), 2)[1]
broken = example.Net(student_cfg)
steps(broken, 1)
nan = (ctypes.c_float * (4 * one))(*[float('nan')] * 4 * one)
refused('an input that is no number', ['not finite'],
        lambda: broken('step', nan, None, ctypes.byref(ctypes.c_double())))
check('and that step is undone', steps(broken, 1)[0] == seen)
auto = write('auto.cfg', open(student_cfg, encoding='utf-8').read().replace('[feature_l2]', '[feature_l2]\nscale=auto'))
refused('a scale that would have to be measured', ['auto.cfg:', '[feature_l2]', 'hint:'],
        lambda: example.Net(auto)('step', batch, None, ctypes.byref(ctypes.c_double())))

tree = write('tree.cfg', NET + ENCODER % 8 + TAIL + 'tree=nowhere.tree\n')
refused('a file that the host would crash on', ['tree.cfg:', '[softmax] cannot open nowhere.tree'], lambda: example.Net(tree))
check('and the next call works', example.Net(student_cfg).size('answers') == 5)

text = subprocess.run(['nm', '-D', '--defined-only', sys.argv[1]], capture_output=True, text=True, check=True).stdout
names = [line.split()[-1].split('@')[0] for line in text.splitlines()]
check('nothing else is seen from outside', all(name.startswith(('darknet_distill_', 'DARKNET_DISTILL_'))
                                               for name in names) and len(names) > 10, names)
check('denormal numbers are as before', 5e-324 * 1 == 5e-324 and 2.3e-308 / 4 != 0)
check('signal handlers are as before', caught() == kernel and
      before == {number: signal.getsignal(number) for number in signal.valid_signals()}, (kernel, caught()))
sys.exit(failed != 0)
