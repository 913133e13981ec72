# darknet-distill: SimKD knowledge distillation as a plugin for Darknet.
#
#   make            build ./darknet                     make demo      distil, deploy and prove it (about three minutes)
#   make test       build and run every test            make teacher   train the demo's teacher from nothing
#   make seeds      the demo's three networks, for three seeds
#   make shapes     detectors: distil one on drawn shapes, beside the same from labels (about ten minutes)
#   make report-browser   a report in headless Chromium, as on a phone and on a desk, light and dark, with screenshots
#   make fuzz       every reader of files against hostile ones, SECONDS=60 each (clang)
#   make fuzz-cli   every verb on mutated files, for SECONDS=60
#   make bench      images/s beside PyTorch (where python3-torch is installed) and stock Darknet
#   make init-all   init between every two networks at hand, a training step of each made smaller (half an hour, 16 GB)
#   make stock-all  a training step of every network of Debian's with up to 65 million weights; tests stop at 20 million
#   make published  the public ResNet-56 on all 10,000 test images; tests measure it on 1,000
#   make memcheck   all tests under valgrind (about an hour)
#   make gpu-emulated   what tests/gpu.sh wants, with GPU=1, on a CUDA device emulated by the processor: build-emulated
#   make gpu-check  where nvcc is: builds Debian's Darknet with GPU=1, all kernels, and links it (no device needed)
#   make test-gpu DARKNET=DIR  on a CUDA device: layers against the CPU, gradients, ten steps against PyTorch, the demo
#   make house      where files lie and whom they know, names, comments, lines: counted, and what breaks a rule
#   make install    as darknet-distill, with manual page, completions and library: PREFIX=/usr/local DESTDIR=; uninstall
#   make deb        Debian packages in build-deb, checked by lintian
#   make setup      install missing Debian packages (demo and test do it themselves)
#
#   DARKNET=/usr/lib/darknet   folder with libdarknet.so and include/darknet.h
#   DNNL=1                     0: without oneDNN, slower    MARCH=native   processor to build for
#   ONNX=1                     0: without ONNX, import and export say so
#   WINOGRAD=1                 0: every convolution the direct way, slower
#   MPI=0                      1: training on several machines by MPI (Open MPI or MPICH; MPI_PC=mpich, its name to
#                              pkg-config, where both are there)
#   GPU=0  CUDNN=0             1: on CUDA, for a Darknet built with the same GPU= and CUDNN=, named by DARKNET=
#   SAN=                       1: AddressSanitizer and UBSan, thread: ThreadSanitizer (with DNNL=0)
#   BUILD=build                where objects go; what changed flags touch is built anew there
DARKNET ?= /usr/lib/darknet
DNNL ?= 1
ONNX ?= 1
WINOGRAD ?= 1
MARCH ?= native
SAN ?=
PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
DESTDIR ?=
GPU ?= 0
CUDNN ?= 0
MPI ?= 0
MPI_PC ?= mpi
BUILD ?= build$(if $(filter 1,$(GPU)),-gpu)$(if $(filter 1,$(MPI)),-mpi)
ifeq ($(origin CC),default)
CC := gcc
endif
ifeq ($(origin CXX),default)
CXX := g++
endif

comma := ,
WARN := -Wall -Wextra -Werror -Wno-psabi
OPT := -O3 -march=$(MARCH) -fno-math-errno -fno-trapping-math
# One set of objects for the program and for the shared library; calls within are as direct as without.
PIC := -fPIC -fno-semantic-interposition
DEFS := -D_GNU_SOURCE -DDARKNET_HOST='"$(DARKNET)"'
INC := -I. -isystem $(DARKNET)/include
LIBS := -L$(DARKNET) -l:libdarknet.so -Wl,-rpath,$(DARKNET) \
        -lopencv_dnn -lopencv_videoio -lopencv_imgcodecs -lopencv_imgproc -lopencv_core \
        -lcjson -lexpat -ljpeg -lz -lzip -lzstd -lpthread -lm
# gcc's OpenMP is oneDNN's too: one runtime in the process. clang's is another, so clang builds run single-threaded.
ifneq ($(findstring clang,$(CC)),)
OMP := -fopenmp-simd
else
OMP := -fopenmp
endif
ifeq ($(DNNL),1)
DEFS += -DDNNL
LIBS += -ldnnl
endif
ifeq ($(WINOGRAD),1)
DEFS += -DWINOGRAD
endif
ifeq ($(ONNX),1)
DEFS += -DONNX -DONNX_NAMESPACE=onnx -DONNX_ML=1
LIBS += -lonnx -lonnx_proto -lprotobuf
endif
# The structs of darknet.h depend on GPU and CUDNN: both sides must be built alike (host_check says where they are not).
ifeq ($(GPU),1)
NVCC ?= $(shell .ci/find-nvcc)
CUDA := $(patsubst %/bin/nvcc,%,$(NVCC))
NVCC_ARCH ?= $(shell .ci/find-nvcc --arch)
DEFS += -DGPU
ifneq ($(CUDA),/usr)
INC += -isystem $(CUDA)/include
LIBS += -L$(CUDA)/lib64 -Wl,-rpath,$(CUDA)/lib64
endif
LIBS += -lcudart
ifeq ($(CUDNN),1)
DEFS += -DCUDNN
LIBS += -lcudnn
endif
endif
# The kernels keep -O3 under sanitizers: they are six times as fast there.
KERNEL_OPT :=
ifeq ($(SAN),1)
KERNEL_OPT := -O3
OPT := -O1 -g -march=$(MARCH) -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined
endif
ifeq ($(FUZZ),1)
OPT := -O1 -g -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
endif
# Ours are the only threads then: gcc's OpenMP is not built for ThreadSanitizer, which would report it. Wants DNNL=0.
ifeq ($(SAN),thread)
KERNEL_OPT := -O3
OPT := -O1 -g -march=$(MARCH) -fno-omit-frame-pointer -fsanitize=thread
OMP := -fopenmp-simd
endif

# Test programs call what is optimised; their own lines are not worth the compiler's time.
TEST_OPT := $(if $(filter -O0,$(OPT)),,$(if $(SAN),-O0,-O1))

# -std=c11 keeps a * b + c apart; kernels want it in one instruction.
KERNEL_FLAGS := -ffp-contract=fast $(KERNEL_OPT)
CFLAGS_ALL := -std=c11 -g $(WARN) $(OPT) $(PIC) $(OMP) $(DEFS) $(INC) $(CFLAGS)
CXXFLAGS_ALL := -std=c++17 -g $(WARN) $(OPT) $(PIC) $(DEFS) -I. -isystem /usr/include/opencv4 $(CXXFLAGS)

NVCCFLAGS_ALL := -std=c++17 -O3 $(NVCC_ARCH) -Werror all-warnings -Xcompiler -Wall,-Wextra,-fPIC $(DEFS) -I. \
                 -Xcompiler -isystem,$(DARKNET)/include $(NVCCFLAGS)

# Tests are many and link in a tenth of the time by this one, where it is.
LINKER := $(if $(shell command -v ld.gold),-fuse-ld=gold)

ROOMS := $(patsubst %,darknet_plugin/%,base sections host data lowering model training deploying init synthesis \
           reporting library verbs) \
         $(patsubst %,weights_tools/%,file import onnx verbs) layers layers/cpu
SRC := $(filter-out darknet_plugin/verbs/main.c,$(wildcard $(ROOMS:%=%/*.c)))
# The one object that MPI's header is for.
RANKS := darknet_plugin/base/ranks
ifeq ($(MPI),1)
SRC := $(filter-out $(RANKS)_none.c,$(SRC))
$(BUILD)/$(RANKS)_mpi.o: INC += $(patsubst -I%,-isystem %,$(shell pkg-config --cflags $(MPI_PC)))
LIBS += $(shell pkg-config --libs $(MPI_PC))
else
SRC := $(filter-out $(RANKS)_mpi.c,$(SRC))
endif
ifeq ($(GPU),1)
SRC += $(filter-out layers/gpu/none.c,$(wildcard layers/gpu/*.c))
CU := $(wildcard layers/*.cu layers/gpu/*.cu)
else
SRC += layers/gpu/none.c
endif
CPP := $(wildcard $(ROOMS:%=%/*.cpp))
# Blocked layers, compiled four times (layers/cpu/variant.h).
BLOCKED := batchnorm_blocked blocked blocked_route conv conv_blocked conv_dnnl conv_shares depthwise dropout layout \
           parts products rows
VARIANTS := $(BLOCKED:%=$(BUILD)/layers/cpu/%.narrow.o) \
            $(patsubst %,$(BUILD)/layers/cpu/%.half.o,$(BLOCKED) winograd winograd_tiles) \
            $(BLOCKED:%=$(BUILD)/layers/cpu/%.last.o)
OBJ := $(SRC:%.c=$(BUILD)/%.o) $(VARIANTS) $(CPP:%.cpp=$(BUILD)/%.o) $(CU:%=$(BUILD)/%.o)
TESTS := $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/test_*.c))
HELP := $(patsubst %.c,$(BUILD)/%.o,$(filter-out $(wildcard tests/test_*.c),$(wildcard tests/*.c)))

# What no fuzz target needs is not built for them.
UNREAD := $(addprefix darknet_plugin/,verbs/% deploying/% init/% synthesis/% model/evaluate% model/detect% \
          model/model% model/precision% \
          model/features.c model/teacher.c training/trainer.c base/options.c data/loader% data/augment%) \
          layers/network.c layers/reused_classifier.c $(filter-out %/parallel.c,$(wildcard layers/cpu/*.c)) \
          $(filter-out %/report_log.c,$(wildcard darknet_plugin/reporting/*.c)) \
          $(addprefix weights_tools/,verbs/weights_cut.c verbs/weights_show.c onnx/onnx_write.cpp)
READERS := $(addsuffix .o,$(addprefix $(BUILD)/,$(basename $(filter-out $(UNREAD),$(SRC) $(CPP)))))
FUZZERS := $(patsubst tests/fuzz/%.c,$(BUILD)/%,$(wildcard tests/fuzz/fuzz_*.c))

.PHONY: gpu-check test-gpu build-gpu-tests run-gpu-tests all setup demo shapes test memcheck teacher seeds bench clean \
        tests fuzz \
        fuzzers FORCE
all: darknet

# What objects are built with, and which there are: two files, written anew only where they would say something else,
# so that changed flags reach every object and a removed source leaves the archives. ccache makes no other objects.
FLAGS := $(strip $(filter-out ccache,$(CC)) $(CFLAGS_ALL) + $(KERNEL_FLAGS) + $(filter-out ccache,$(CXX)) \
         $(CXXFLAGS_ALL) + $(if $(CU),$(NVCC) $(NVCCFLAGS_ALL)) + $(LIBS))
OBJECTS := $(strip $(OBJ) + $(HELP) + $(READERS))
ifneq ($(FLAGS),$(file <$(BUILD)/flags))
$(BUILD)/flags: FORCE
endif
ifneq ($(OBJECTS),$(file <$(BUILD)/objects))
$(BUILD)/objects: FORCE
endif
$(BUILD)/flags: export TEXT := $(FLAGS)
$(BUILD)/objects: export TEXT := $(OBJECTS)
$(BUILD)/flags $(BUILD)/objects:
	@mkdir -p $(@D) && printf '%s\n' "$$TEXT" >$@

# ./darknet may be another BUILD's, newer than this one's.
ifneq ($(shell cmp $(BUILD)/darknet darknet 2>&1),)
darknet: FORCE
endif
darknet: $(BUILD)/darknet
	cp --remove-destination $< $@
$(BUILD)/darknet: $(BUILD)/darknet_plugin/verbs/main.o $(BUILD)/libdistill.a
	$(CXX) $(OPT) $(OMP) $(LDFLAGS) -o $@ $^ $(LIBS)
$(BUILD)/libdistill.a: $(OBJ) $(BUILD)/objects
	rm -f $@ && ar rcs $@ $(OBJ)
$(BUILD)/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<
$(BUILD)/%.narrow.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) -DNARROW -MMD -MP -c -o $@ $<
$(BUILD)/%.half.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) -DHALF -MMD -MP -c -o $@ $<
$(BUILD)/%.last.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) -DHALF -DLAST -MMD -MP -c -o $@ $<
$(BUILD)/layers/cpu/%.o: CFLAGS_ALL += $(KERNEL_FLAGS)
$(BUILD)/tests/test_%.o: CFLAGS_ALL += $(TEST_OPT)
$(BUILD)/%.o: %.cpp $(BUILD)/flags
	@mkdir -p $(@D)
	$(CXX) $(CXXFLAGS_ALL) -MMD -MP -c -o $@ $<
$(BUILD)/%.cu.o: %.cu $(BUILD)/flags
	@mkdir -p $(@D)
	$(NVCC) $(NVCCFLAGS_ALL) -MMD -MP -c -o $@ $<
$(BUILD)/bench: $(BUILD)/tests/bench/bench.o $(BUILD)/libdistill.a
	$(CXX) $(OPT) $(OMP) -o $@ $^ $(LIBS)
$(BUILD)/make_shapes: $(BUILD)/cfg/shapes/make_shapes.o $(BUILD)/libdistill.a
	$(CXX) $(OPT) $(OMP) -o $@ $^ $(LIBS)
# What a second compiler warns of where no fuzz target is made of it, which is compiled for them: no objects.
SYNTAX := $(patsubst %.o,%.syntax,$(filter-out $(READERS),$(OBJ) $(HELP)) $(TESTS:%=%.o)) \
          $(BUILD)/darknet_plugin/verbs/main.syntax
.PHONY: syntax
syntax: $(SYNTAX)
$(BUILD)/%.syntax: %.c FORCE
	$(CC) $(CFLAGS_ALL) -fsyntax-only $<
$(BUILD)/%.narrow.syntax: %.c FORCE
	$(CC) $(CFLAGS_ALL) -DNARROW -fsyntax-only $<
$(BUILD)/%.half.syntax: %.c FORCE
	$(CC) $(CFLAGS_ALL) -DHALF -fsyntax-only $<
$(BUILD)/%.last.syntax: %.c FORCE
	$(CC) $(CFLAGS_ALL) -DHALF -DLAST -fsyntax-only $<
$(BUILD)/%.syntax: %.cpp FORCE
	$(CXX) $(CXXFLAGS_ALL) -fsyntax-only $<
$(TESTS): %: %.o $(HELP) $(BUILD)/libdistill.a
	$(CXX) $(OPT) $(OMP) $(LINKER) -o $@ $^ $(LIBS) -lcmocka
# Our own objects' allocations, not those of libraries, go through this test.
$(BUILD)/tests/test_no_memory: LIBS += $(addprefix -Wl$(comma)--wrap=,\
    malloc calloc realloc aligned_alloc strdup vasprintf getline open_memstream)
$(BUILD)/libreaders.a: $(READERS) $(BUILD)/objects
	rm -f $@ && ar rcs $@ $(READERS)
$(FUZZERS): $(BUILD)/fuzz_%: $(BUILD)/tests/fuzz/fuzz_%.o $(BUILD)/tests/fuzz/fuzz.o $(BUILD)/libreaders.a
	$(CXX) $(OPT) -fsanitize=fuzzer -o $@ $^ $(LIBS)

# The same as a library: only what its header declares is seen from outside.
LIBRARY := $(BUILD)/libdarknet_distill.so.0
$(LIBRARY): $(BUILD)/darknet_plugin/library/library.o $(BUILD)/libdistill.a darknet_plugin/library/library.map
	$(CXX) $(OPT) $(OMP) $(LDFLAGS) -shared -Wl,-soname,$(@F) -Wl,--version-script=$(lastword $^) \
	    -o $@ $(filter %.o %.a,$^) $(LIBS)
.PHONY: library
library: $(LIBRARY)

.PHONY: install uninstall deb
INSTALL = PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' LIBDIR='$(LIBDIR)' packaging/install.sh
install: $(BUILD)/darknet $(LIBRARY)
	@$(INSTALL) install $(BUILD)
uninstall:
	@$(INSTALL) uninstall $(BUILD)
deb: setup
	@DISTILL_EXTRA_PACKAGES="build-essential debhelper lintian git" .ci/setup
	@MARCH=$(if $(filter command line,$(origin MARCH)),$(MARCH),x86-64) CC="$(CC)" CXX="$(CXX)" \
	    packaging/deb.sh build-deb

tests: $(TESTS) $(BUILD)/darknet $(BUILD)/make_shapes $(LIBRARY) mpi-programs

# The program with each MPI that is there, for tests/test_mpi.sh: all objects but one are the same.
MPIS := $(if $(filter 0,$(MPI)),$(foreach mpi,ompi-c mpich,$(if $(shell pkg-config --exists $(mpi) && echo 1),$(mpi))))
.PHONY: mpi-programs
.PRECIOUS: $(BUILD)/%/ranks_mpi.o
mpi-programs: $(MPIS:%=$(BUILD)/%/darknet)
$(BUILD)/%/ranks_mpi.o: $(RANKS)_mpi.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) $(patsubst -I%,-isystem %,$(shell pkg-config --cflags $*)) -MMD -MP -c -o $@ $<
$(BUILD)/%/allreduce: $(BUILD)/%/ranks_mpi.o $(BUILD)/tests/bench/allreduce.o $(BUILD)/libdistill.a
	$(CXX) $(OPT) $(OMP) $(LINKER) -o $@ $^ $(LIBS) $(shell pkg-config --libs $*)
$(BUILD)/%/darknet: $(BUILD)/%/ranks_mpi.o $(BUILD)/darknet_plugin/verbs/main.o $(BUILD)/libdistill.a
	$(CXX) $(OPT) $(OMP) $(LINKER) -o $@ $^ $(LIBS) $(shell pkg-config --libs $*)

setup:
	@.ci/setup

# Without oneDNN and ONNX, without AVX-512, which valgrind does not know: make plain GOALS=...
.PHONY: plain
plain:
	@$(MAKE) --no-print-directory DNNL=0 ONNX=0 BUILD=build-plain OPT="-O1 -g -march=x86-64-v3" \
	    KERNEL_OPT=-O3 $(GOALS)

memcheck:
	@tests/memcheck.sh

test: setup
	@$(MAKE) --no-print-directory darknet tests
	@tests/run.sh $(BUILD)

.PHONY: init-all
init-all: $(BUILD)/tests/test_init
	@DISTILL_INIT_ALL=1 $(BUILD)/tests/test_init

.PHONY: stock-all published
stock-all: $(BUILD)/tests/test_stock_cfgs
	@DISTILL_STOCK_ALL=1 $(BUILD)/tests/test_stock_cfgs
published: $(BUILD)/darknet
	@DISTILL_PUBLISHED=1 tests/run.sh $(BUILD) 1 test_import.sh

# clang's sanitizers and libFuzzer; the objects are apart from all others.
fuzzers: $(FUZZERS)
SECONDS ?= 60
fuzz:
	@DISTILL_EXTRA_PACKAGES="clang libclang-rt-14-dev" .ci/setup
	@$(MAKE) --no-print-directory FUZZ=1 CC=clang CXX=clang++ BUILD=$(BUILD)-fuzz fuzzers
	@tests/fuzz/run.sh $(BUILD)-fuzz $(SECONDS)
.PHONY: fuzz-cli
fuzz-cli: setup
	@$(MAKE) --no-print-directory SAN=1 BUILD=$(BUILD)-asan $(BUILD)-asan/darknet
	@tests/fuzz/cli.py $(BUILD)-asan/darknet $(SECONDS)
test-gpu: setup
	@if [ -z "$(NVCC)" ] && ! .ci/find-nvcc >/dev/null; then tests/gpu.sh --skipped "no nvcc"; \
	elif ! nm -D $(DARKNET)/libdarknet.so | grep -q forward_network_gpu; then \
		tests/gpu.sh --skipped "$(DARKNET)/libdarknet.so was built without GPU=1; name another with DARKNET="; \
	else $(MAKE) --no-print-directory GPU=1 run-gpu-tests; fi
build-gpu-tests: $(BUILD)/darknet $(BUILD)/make_shapes \
    $(patsubst %,$(BUILD)/tests/%,test_gpu_ops test_gpu test_gpu_models test_fixture test_zoo_networks) mpi-programs
run-gpu-tests: darknet build-gpu-tests
	@tests/gpu.sh $(BUILD)

gpu-check: setup
	@.ci/gpu-check

demo: setup
	@$(MAKE) --no-print-directory darknet
	@cfg/fashion-demo.sh

teacher: setup
	@$(MAKE) --no-print-directory darknet
	./darknet distill train cfg/fashion.data cfg/fashion-teacher.cfg -seed 1
	cp backup/fashion-teacher_final.weights cfg/fashion-teacher.weights

shapes: setup
	@$(MAKE) --no-print-directory darknet $(BUILD)/make_shapes
	@MAKE_SHAPES=$(BUILD)/make_shapes cfg/shapes/demo.sh

seeds: setup
	@$(MAKE) --no-print-directory darknet
	@tests/bench/seeds.sh

.PHONY: report-browser
report-browser: setup
	@$(MAKE) --no-print-directory darknet $(BUILD)/make_shapes
	@tests/report_browser.sh $(BUILD)

bench: setup
	@$(MAKE) --no-print-directory $(BUILD)/bench
	@$(MAKE) --no-print-directory BUILD=$(BUILD)-direct WINOGRAD=0 $(BUILD)-direct/bench
	@BENCH=$(BUILD)/bench DIRECT=$(BUILD)-direct/bench tests/bench/bench.sh

# nvcc, CUDA's libraries and Debian's Darknet with GPU=1, all of tests/cuda_on_cpu: no GPU, no CUDA.
# SAN=1: kernels, too. All but kernels is compiled at -O1, in half the time.
EMULATED := $(CURDIR)/build-emulated$(if $(filter 1,$(SAN)),-asan)
DEVICE_FLAGS := $(if $(filter 1,$(SAN)),-fsanitize=address)
ON_EMULATED := GPU=1 CUDNN=0 ONNX=0 NVCC=$(EMULATED)/cuda/bin/nvcc NVCC_ARCH= NVCCFLAGS=$(DEVICE_FLAGS) \
    DARKNET=$(EMULATED)/host BUILD=$(notdir $(EMULATED)) \
    $(if $(SAN),,OPT="$(patsubst -O3,-O1,$(OPT))" KERNEL_OPT=-O3)
.PHONY: gpu-emulated
gpu-emulated: setup
	@got=0; DEVICE_FLAGS=$(DEVICE_FLAGS) tests/cuda_on_cpu/build.sh $(EMULATED) || got=$$?; \
	if [ $$got = 2 ]; then echo "gpu-emulated: skipped"; exit 0; fi; [ $$got = 0 ] && \
	$(MAKE) --no-print-directory $(ON_EMULATED) build-gpu-tests

.PHONY: house
house: $(BUILD)/darknet $(BUILD)/make_shapes
	@tests/house.py $(BUILD) build-emulated build/gpu-check/plugin

clean:
	rm -rf $(BUILD) darknet

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
