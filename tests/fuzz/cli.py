#!/usr/bin/env python3
"""Fuzzes the command line: tests/fuzz/cli.py PROGRAM SECONDS [SEED [CASE]]

Files of every type, one or two of them mutated, go through every verb of PROGRAM, which wants AddressSanitizer and UBSan. What must
hold of each command, within 20 seconds and 2 GB:

  - it ends by itself with status 0, 1 or 2: no signal, no report of a sanitizer
  - status 0: what it was told to write is there, weights are finite numbers, a cfg is one that `check` accepts
  - -json: what stands on stdout is one JSON value, whatever the status, where there is anything

A mutant may ask for so large a network that 20 seconds are too short for it: that is no finding.

Each case is a function of (SEED, CASE) alone: a finding prints the command that repeats it, and leaves its files behind."""
import json, os, random, shutil, signal, struct, subprocess, sys, tempfile, time, zlib

LIMIT, RSS_MB, REPORT = 20, 2000, 99
MOST_WORK = 4e8          # multiply-adds of a network times its batch, above which time is no finding


def chunk(kind, body):
    return struct.pack('>I', len(body)) + kind + body + struct.pack('>I', zlib.crc32(kind + body))


def png(w, h, rng):
    rows = b''.join(b'\0' + rng.randbytes(3 * w) for _ in range(h))
    head = struct.pack('>IIBBBBB', w, h, 8, 2, 0, 0, 0)
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', head) + chunk(b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b'')


NET = '[net]\nbatch=4\nsubdivisions=1\nheight=8\nwidth=8\nchannels=3\nlearning_rate=.01\nmomentum=.9\ndecay=.0005\n' \
      'policy=constant\nmax_batches=4\n\n'
def conv(filters, size=3, stride=1, bn=1, activation='relu'):
    return f'[convolutional]\nbatch_normalize={bn}\nfilters={filters}\nsize={size}\nstride={stride}\npad=1\n' \
           f'activation={activation}\n\n'
END = '[avgpool]\n\n' + conv(3, 1, 1, 0, 'linear') + '[softmax]\n'
TEACHER = '[teacher]\ncfg=teacher.cfg\nweights=teacher.weights\n\n'
AUGMENT = '[augment]\npad=1\nflip=1\n\n'
YOLO = '[yolo]\nmask=0,1\nanchors=2,2, 5,5\nclasses=3\nnum=2\nignore_thresh=.7\n'
LOG = '{"kind":"start","batch":4,"images":8,"seed":0,"epochs":2,"teachers":[{"name":"t","top1":50}]}\n' \
      '{"kind":"step","step":1,"epoch":1,"loss":2.5,"parts":{"feature_l2":2,"kd":0.5}}\n' \
      '{"kind":"epoch","step":2,"epoch":1,"loss":2,"parts":{"feature_l2":1.5,"kd":0.5},"top1":40,"top5":100}\n'
CFGS = {
    'teacher.cfg': NET + conv(8) + conv(12, 3, 2) + END,
    'plain.cfg': NET + AUGMENT + conv(4) + conv(4, 3, 1, 1, 'linear') + '[shortcut]\nfrom=-2\nactivation=leaky\n\n' + END,
    'alone.cfg': NET + conv(4, 3, 2) + END,
    'student.cfg': NET + TEACHER + AUGMENT + conv(4, 3, 2) + '[projector]\nreduction=2\n\n[feature_l2]\nscale=auto\n\n'
                   '[reused_classifier]\nlabels=1\n\n[kd]\n',
    'metric.cfg': NET + TEACHER + conv(4, 3, 2) + '[attention_transfer]\nteacher_layer=1\n\n[projector]\nstack=linear\n\n'
                  '[feature_l2]\nnormalise=channel\nmetric=head\n\n[reused_classifier]\n',
    'detector.cfg': NET + conv(8, 3, 2) + conv(16, 1, 1, 0, 'linear') + YOLO,
}


def make_seeds(program, folder):
    """The unmutated files, all in one folder; weights, caches and models are the program's own."""
    rng = random.Random(1)
    os.makedirs(folder + '/images'), os.makedirs(folder + '/labels')
    def write(name, data):
        with open(f'{folder}/{name}', 'wb') as f: f.write(data.encode() if isinstance(data, str) else data)
    for name, text in CFGS.items(): write(name, text)
    write('c.names', 'cat\ndog\nowl\n')
    paths = []
    for i in range(8):
        write(f'images/{i}_{("cat", "dog", "owl")[i % 3]}.png', png(8 + i, 9, rng))
        write(f'labels/{i}_{("cat", "dog", "owl")[i % 3]}.txt', f'{i % 3} .5 .5 .4 .3\n')
        paths.append(f'images/{i}_{("cat", "dog", "owl")[i % 3]}.png')
    write('list.data', 'classes=3\nnames=c.names\ntrain=train.list\nvalid=train.list\nbackup=backup\n')
    write('train.list', '\n'.join(paths) + '\n')
    write('images-idx3-ubyte', struct.pack('>IIII', 0x803, 8, 8, 8) + rng.randbytes(512))
    write('labels-idx1-ubyte', struct.pack('>II', 0x801, 8) + bytes(i % 3 for i in range(8)))
    write('idx.data', 'classes=3\nnames=c.names\ntrain=images-idx3-ubyte\nvalid=images-idx3-ubyte\nbackup=backup\n')
    write('c.bin', b''.join(bytes([i % 3]) + rng.randbytes(3072) for i in range(8)))
    write('cifar.data', 'classes=3\nnames=c.names\nformat=cifar10\ntrain=c.bin\nvalid=c.bin\nbackup=backup\n')
    write('tensors.map', '0 = conv0\n')
    def run(*words):
        done = subprocess.run([program, 'distill', *words], cwd=folder, capture_output=True, text=True, timeout=300)
        if done.returncode: sys.exit(f'cannot make seeds: {" ".join(words)}\n{done.stderr[-2000:]}')
    quick = ['-quiet', '-force', '-threads', '1']
    run('train', 'list.data', 'teacher.cfg', *quick)
    shutil.copy(f'{folder}/backup/teacher_final.weights', f'{folder}/teacher.weights')
    for name in CFGS:
        cache = ['-cache', 'seed.feat', '-views', '1'] if name == 'student.cfg' else []
        if name != 'teacher.cfg': run('train', 'list.data', name, *quick, *cache)
    for name in CFGS: shutil.copy(f'{folder}/backup/{name[:-4]}_final.weights', f'{folder}/{name[:-4]}.weights')
    for name in CFGS: write(f'backup/{name[:-4]}.jsonl', LOG)
    run('synthesize', 'teacher.cfg', 'teacher.weights', 'set', '-n', '4', '-batch', '4', '-steps', '2', '-threads', '1')
    run('export', 'plain.cfg', 'plain.weights', 'made', '-onnx', 'made.onnx', '-verify', '0', '-threads', '1')


TAIL = ['-threads', '1']
def commands(rng):
    """A command: words, the inputs that may be mutated, outputs that status 0 promises (kind, path)."""
    name = rng.choice(list(CFGS))
    cfg, weights = name, name[:-4] + '.weights'
    data = rng.choice(['list.data', 'list.data', 'cifar.data']) if name != 'detector.cfg' else 'list.data'
    files = {'list.data': ['train.list', 'images/0_cat.png', 'images/4_dog.png', 'labels/0_cat.txt', 'c.names'],
             'cifar.data': ['c.bin', 'c.names']}[data] + [data]
    teacher = ['teacher.cfg', 'teacher.weights'] if name in ('student.cfg', 'metric.cfg') else []
    common = [cfg, *teacher]
    js = rng.choice([[], ['-json']])
    base = f'backup/{name[:-4]}'
    final = [('weights', f'{base}_final.weights')]
    choices = [
        (['check', cfg, *js], common, []),
        (['summary', cfg, *js], common, []),
        (['data', data, *js], files, []),
        (['data', data, cfg, '-sheet', 'out.png', *js], common + files, [('file', 'out.png')]),
        (['train', data, cfg, '-quiet', '-force', *TAIL], common + files, final),
        (['train', data, cfg, '-quiet', '-force', '-resume', '-epochs', '3', *TAIL],
         [f'{base}_last.state', f'{base}_last.weights', *common], final),
        (['train', data, cfg, weights, '-clear', '-quiet', '-force', *TAIL], [weights, *common], final),
        (['report', data, f'{cfg}={base}', '-seconds', '.01', '-out', 'out.html', *TAIL],
         common + files + [f'{base}_final.weights', f'{base}.jsonl'], [('file', 'out.html')]),
        (['valid', data, cfg, weights, *js, *TAIL], common + files + [weights], []),
        (['predict', data, cfg, weights, 'images/0_cat.png', *js], common + ['images/0_cat.png', weights, 'c.names'], []),
        (['export', cfg, weights, 'out', '-verify', '2', *js, *TAIL], common + [weights],
         [('cfg', 'out.cfg'), ('weights', 'out.weights')]),
        (['export', cfg, weights, 'out', '-onnx', 'out.onnx', '-merge', '-verify', '0', *js, *TAIL], common + [weights],
         [('cfg', 'out.cfg'), ('weights', 'out.weights'), ('file', 'out.onnx')]),
        (['weights', 'show', cfg, weights, *js], common + [weights], []),
        (['weights', 'compare', cfg, weights, f'{base}_best.weights', *js], common + [weights], []),
        (['weights', 'fold', cfg, weights, 'out'], common + [weights], [('cfg', 'out.cfg'), ('weights', 'out.weights')]),
        (['weights', 'extract', cfg, weights, 'out', '-to', '1'], common + [weights],
         [('cfg', 'out.cfg'), ('weights', 'out.weights')]),
        (['weights', 'strip', cfg, weights, 'out'], common + [weights], [('cfg', 'out.cfg'), ('weights', 'out.weights')]),
        (['weights', 'classes', cfg, weights, 'out', data, 'c.names', *js], common + [weights, data, 'c.names'],
         [('cfg', 'out.cfg'), ('weights', 'out.weights')]),
        (['weights', 'import', 'made.cfg', 'made.onnx', 'out.weights', *js], ['made.cfg', 'made.onnx'], [('weights', 'out.weights')]),
        (['weights', 'import', 'plain.cfg', 'made.onnx', 'out.weights', '-map', 'tensors.map'], ['plain.cfg', 'made.onnx', 'tensors.map'],
         [('weights', 'out.weights')]),
    ]
    plain = 'plain.cfg' if name != 'detector.cfg' else name
    choices += [
        (['init', plain, 'teacher.cfg', 'teacher.weights', '-out', 'out.cfg'], [plain, 'teacher.cfg', 'teacher.weights'],
         [('cfg', 'out.cfg')]),
        (['init', '-from', cfg, '-width', '.5', '-depth', '.5', '-out', 'out.cfg'], [cfg], [('cfg', 'out.cfg')]),
    ]
    set_of = ['-batch', '4', '-steps', '2', *TAIL]
    choices += [
        (['synthesize', 'teacher.cfg', 'teacher.weights', 'out', '-n', '4', *set_of], ['teacher.cfg', 'teacher.weights'],
         [('file', 'out/synthetic.list'), ('file', 'out/sheet.png')]),
        (['synthesize', 'teacher.cfg', 'teacher.weights', 'set', '-n', '8', *set_of],
         ['set/synthesis.txt', 'set/synthetic.list', 'set/generator-1.weights'], [('file', 'set/sheet.png')]),
    ]
    if name == 'student.cfg':
        cached = ['-cache', 'seed.feat', '-views', '1', '-quiet', '-force', *TAIL]
        choices += [(['train', data, cfg, 'alone.weights', '-weights-of', 'alone.cfg', '-quiet', '-force', *TAIL],
                     ['alone.weights', 'alone.cfg', *common], final),
                    (['train', 'list.data', cfg, *cached], ['seed.feat', 'train.list', 'images/4_dog.png', *common], final),
                    (['features', data, cfg, '-out', 'new.feat', '-views', '1', *TAIL], common + files, [('file', 'new.feat')])]
    return rng.choice(choices)


NUMBERS = ['-1', '0', '1', '2', '3', '7', '2147483647', '-2147483648', '4294967296', '1e30', '-1e30', '1e-30', 'nan', 'inf', '',
           '.5', '99999999999999999999', '0x10', '1,2', 'x']
LINES = ['[net]', '[softmax]', '[route]', 'layers=-1', 'layers=0', '[kd]', '[feature_l2]', 'groups=3', 'stride=0', 'size=0', 'random=1',
         'batch_normalize=0', '[dropout]', '[maxpool]', '[upsample]', 'activation=linear', '[reused_classifier]', 'scale=auto', '=', '[',
         'noloss=1', 'tap=0', 'temperature=1e-3', 'mixup=.2', 'fit=stretch', 'classes=2', '[yolo]', 'truths=1']


def mutate_text(data, rng):
    lines = data.decode('latin-1').split('\n')
    for _ in range(rng.choice([1, 1, 2, 3])):
        i = rng.randrange(len(lines))
        how = rng.randrange(6)
        if how == 0 and '=' in lines[i]: lines[i] = lines[i].split('=')[0] + '=' + rng.choice(NUMBERS)
        elif how == 1: lines.insert(i, rng.choice(LINES))
        elif how == 2: del lines[i]
        elif how == 3: lines.insert(i, lines[rng.randrange(len(lines))] if lines else '')
        elif how == 4:
            j = rng.randrange(len(lines))
            lines[i], lines[j] = lines[j], lines[i]
        else: lines[i] = lines[i][:rng.randrange(len(lines[i]) + 1)] + chr(rng.choice([0, 9, 35, 61, 200, 255])) + lines[i][-2:]
        if not lines: lines = ['']
    return '\n'.join(lines).encode('latin-1')


def mutate_bytes(data, rng):
    data = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 4])):
        at, how = rng.randrange(len(data) + 1), rng.randrange(6)
        if how == 0: data = data[:at]
        elif how == 1: data[at:at + 4] = struct.pack('<I', rng.choice([0, 1, 0xffffffff, 0x7fffffff, 0x7fc00000, 0x7f800000, 1 << 16]))
        elif how == 2 and data: data[min(at, len(data) - 1)] ^= 1 << rng.randrange(8)
        elif how == 3: data[at:at] = rng.randbytes(rng.choice([1, 4, 64]))
        elif how == 4: del data[at:at + rng.choice([1, 4, 64])]
        else: data += data[at:at + 256]
    return bytes(data)


def is_text(name): return name.endswith(('.cfg', '.data', '.list', '.names', '.map', '.txt', '.jsonl'))


def finite_weights(data):
    """Darknet's: 12 bytes of version, images seen (8 bytes from version 0.2 on), floats."""
    if len(data) < 20 or len(data) % 4: return False
    body = data[20:]
    return all((word & 0x7f800000) != 0x7f800000 for word in struct.unpack(f'<{len(body) // 4}I', body))


def too_large(program, folder, words):
    """Is there a network among the inputs that 20 seconds are too short for?"""
    for word in words:
        word = word.split('=')[0]
        if not word.endswith('.cfg'): continue
        try:
            done = subprocess.run([program, 'distill', 'summary', word, '-json'], cwd=folder, capture_output=True, timeout=LIMIT)
            text = open(f'{folder}/{word}', encoding='latin-1').read()
        except (subprocess.TimeoutExpired, OSError): continue
        batch = max([1] + [int(line[6:]) for line in text.split('\n') if line.startswith('batch=') and line[6:].isdigit()])
        try:
            if json.loads(done.stdout)['multiply_adds'] * batch > MOST_WORK: return True
        except (ValueError, KeyError): continue
    return False


def refuse(name): raise ValueError(name)


def judge(program, folder, words, outputs, done):
    """What is wrong with how the command ended; None: nothing."""
    if done.returncode not in (0, 1, 2): return f'status {done.returncode}'
    if b'Sanitizer' in done.stderr or b'runtime error' in done.stderr: return 'a report of a sanitizer'
    if '-json' in words and done.stdout.strip():
        try: json.loads(done.stdout.decode('utf-8'), parse_constant=refuse)
        except ValueError as why: return f'stdout is not JSON: {why}'
    if done.returncode: return None
    if '-json' in words and not done.stdout.strip(): return 'status 0 and no JSON'
    for kind, path in outputs:
        try: data = open(f'{folder}/{path}', 'rb').read()
        except OSError: return f'status 0 without {path}'
        if not data: return f'{path} is empty'
        if kind == 'weights' and not finite_weights(data): return f'{path} has numbers that are not finite'
        if kind == 'cfg':
            again = subprocess.run([program, 'distill', 'check', path], cwd=folder, capture_output=True, timeout=LIMIT)
            if again.returncode: return f'{path} does not pass check: {again.stderr.decode("latin-1")[:300]}'
    return None


def run_case(program, seeds, seed, case, folder):
    rng = random.Random(f'{seed} {case}')
    words, inputs, outputs = commands(rng)
    shutil.copytree(seeds, folder)
    for name in rng.sample(inputs, min(len(inputs), rng.choice([1, 1, 2]))):
        path = f'{folder}/{name}'
        data = open(path, 'rb').read()
        with open(path, 'wb') as f: f.write((mutate_text if is_text(name) else mutate_bytes)(data, rng))
    if '-resume' not in words:
        for kind, path in outputs:
            if os.path.exists(f'{folder}/{path}'): os.unlink(f'{folder}/{path}')
    child = subprocess.Popen([program, 'distill', *words], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, start_new_session=True)
    try: out, err = child.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
        return words, None if too_large(program, folder, words + ['teacher.cfg']) else f'no end within {LIMIT} s', 0
    done = subprocess.CompletedProcess(words, child.returncode, out, err)
    wrong = judge(program, folder, words, outputs, done)
    if wrong and b'rss limit' in err and too_large(program, folder, words + ['teacher.cfg']): wrong = None
    return words, wrong and f'{wrong}\n{err.decode("latin-1")[-3000:]}', done.returncode == 0


def main():
    program, seconds = os.path.abspath(sys.argv[1]), float(sys.argv[2])
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    only = int(sys.argv[4]) if len(sys.argv) > 4 else None
    san = f'exitcode={REPORT}:hard_rss_limit_mb={RSS_MB}:allocator_may_return_null=1'
    leaks = os.path.abspath('tests/sanitize/lsan.supp')
    os.environ.update(ASAN_OPTIONS=san + ':detect_leaks=1', UBSAN_OPTIONS=f'halt_on_error=1:exitcode={REPORT}',
                      LSAN_OPTIONS=f'print_suppressions=0:suppressions={leaks}:exitcode={REPORT}', OMP_NUM_THREADS='1')
    work = tempfile.mkdtemp(prefix='fuzz-cli-')
    seeds, ends, case, accepted, verbs = f'{work}/seeds', 0, only or 0, 0, {}
    make_seeds(program, seeds)
    ends = time.time() + seconds
    while time.time() < ends:
        folder = f'{work}/case'
        words, wrong, good = run_case(program, seeds, seed, case, folder)
        if wrong:
            print(f'finding: {" ".join(words)}\n{wrong}\nits files: {folder}\nagain: {sys.argv[0]} {sys.argv[1]} 1 {seed} {case}')
            return 1
        shutil.rmtree(folder)
        verb = ' '.join(words[:2]) if words[0] == 'weights' else words[0]
        verbs[verb] = verbs.get(verb, 0) + 1
        accepted += good
        case += 1
        if only is not None: break
    shutil.rmtree(work)
    print(f'{case - (only or 0)} commands, {accepted} ended with status 0, seed {seed}: ' +
          ', '.join(f'{name} {n}' for name, n in sorted(verbs.items())))
    return 0


sys.exit(main())
