"""The library in Python, without anything to install: python3 example.py student.cfg photo.png"""
import ctypes
import os
import sys

lib = ctypes.CDLL(os.environ.get('DARKNET_DISTILL', 'libdarknet_distill.so.0'))
floats, ints = ctypes.POINTER(ctypes.c_float), ctypes.POINTER(ctypes.c_int)
lib.darknet_distill_new.restype = ctypes.c_void_p
lib.darknet_distill_message.restype = ctypes.c_char_p
lib.darknet_distill_step.argtypes = ctypes.c_void_p, floats, ints, ctypes.POINTER(ctypes.c_double)


class Net:
    def __init__(self, cfg, deployed=0, threads=0, seed=1):
        self.net = ctypes.c_void_p(lib.darknet_distill_new())
        self('open', cfg.encode(), deployed, threads, seed)

    def __call__(self, what, *given):
        if getattr(lib, 'darknet_distill_' + what)(self.net, *given):
            raise RuntimeError(lib.darknet_distill_message(self.net).decode())

    def size(self, what):
        return lib.darknet_distill_size(self.net, what.encode())


if __name__ == '__main__':
    net = Net(sys.argv[1])
    one = net.size('channels') * net.size('height') * net.size('width')
    image = (ctypes.c_float * one)()
    student, teacher = (ctypes.c_float * net.size('answers'))(), (ctypes.c_float * net.size('teacher_answers'))()
    net('read_image', sys.argv[2].encode(), image)
    net('run', image, 1, student, teacher)
    print('student', max(student), 'teacher', max(teacher, default=None))
    batch, loss = (ctypes.c_float * (one * net.size('step')))(*list(image) * net.size('step')), ctypes.c_double()
    for step in range(10):
        net('step', batch, None, loss)
        print('loss', loss.value)
