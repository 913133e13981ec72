# darknet-distill: SimKD knowledge distillation as a plugin for Darknet.
#
#   make            build ./darknet                     make demo      distil, deploy and prove it (about two minutes)
#   make test       build and run every test            make teacher   train the demo's teacher from nothing
#   make seeds      the demo's two students for three seeds
#   make shapes     detectors: distil one on drawn shapes, beside the same from labels (about ten minutes)
#   make bench      images/s beside PyTorch (where python3-torch is installed) and stock Darknet
#   make memcheck   some tests under valgrind
#   make setup      install missing Debian packages (demo and test do it themselves)
#
#   DARKNET=/usr/lib/darknet   folder with libdarknet.so and include/darknet.h
#   DNNL=1                     0: without oneDNN, slower    MARCH=native   processor to build for
#   ONNX=1                     0: without ONNX, import and export say so
#   WINOGRAD=1                 0: every convolution the direct way, slower
#   SAN=                       1: AddressSanitizer and UBSan, thread: ThreadSanitizer (with DNNL=0)   BUILD=build   where objects go
DARKNET ?= /usr/lib/darknet
DNNL ?= 1
ONNX ?= 1
WINOGRAD ?= 1
MARCH ?= native
SAN ?=
BUILD ?= build
ifeq ($(origin CC),default)
CC := gcc
endif
ifeq ($(origin CXX),default)
CXX := g++
endif

WARN := -Wall -Wextra -Werror -Wno-psabi
OPT := -O3 -march=$(MARCH) -fno-math-errno -fno-trapping-math
DEFS := -D_GNU_SOURCE -DDARKNET_HOST='"$(DARKNET)"'
INC := -isystem $(DARKNET)/include
LIBS := -L$(DARKNET) -l:libdarknet.so -Wl,-rpath,$(DARKNET) \
        -lopencv_dnn -lopencv_videoio -lopencv_imgcodecs -lopencv_imgproc -lopencv_core -lcjson -lz -lzip -lzstd -lpthread -lm
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
# The kernels keep -O3 under sanitizers: they are six times as fast there.
KERNEL_OPT :=
ifeq ($(SAN),1)
KERNEL_OPT := -O3
OPT := -O1 -g -march=$(MARCH) -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined
endif
# Ours are the only threads then: gcc's OpenMP is not built for ThreadSanitizer, which would report it. Wants DNNL=0.
ifeq ($(SAN),thread)
KERNEL_OPT := -O3
OPT := -O1 -g -march=$(MARCH) -fno-omit-frame-pointer -fsanitize=thread
OMP := -fopenmp-simd
endif

CFLAGS_ALL := -std=c11 -g $(WARN) $(OPT) $(OMP) $(DEFS) $(INC) $(CFLAGS)
CXXFLAGS_ALL := -std=c++17 -g $(WARN) $(OPT) $(DEFS) -isystem /usr/include/opencv4 $(CXXFLAGS)

SRC := $(filter-out darknet_plugin/main.c,$(wildcard darknet_plugin/*.c layers/*.c layers/cpu/*.c weights_tools/*.c))
CPP := $(wildcard darknet_plugin/*.cpp weights_tools/*.cpp)
OBJ := $(SRC:%.c=$(BUILD)/%.o) $(CPP:%.cpp=$(BUILD)/%.o)
TESTS := $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/test_*.c))
HELP := $(patsubst %.c,$(BUILD)/%.o,$(filter-out $(wildcard tests/test_*.c),$(wildcard tests/*.c)))

.PHONY: all setup demo shapes test memcheck teacher seeds bench clean tests
all: darknet

darknet: $(BUILD)/darknet
	cp --remove-destination $< $@
$(BUILD)/darknet: $(BUILD)/darknet_plugin/main.o $(BUILD)/libdistill.a
	$(CXX) $(OPT) $(OMP) -o $@ $^ $(LIBS)
$(BUILD)/libdistill.a: $(OBJ)
	rm -f $@ && ar rcs $@ $^
$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<
# -std=c11 keeps a * b + c apart; kernels want it in one instruction.
$(BUILD)/layers/cpu/%.o: CFLAGS_ALL += -ffp-contract=fast $(KERNEL_OPT)
$(BUILD)/%.o: %.cpp
	@mkdir -p $(@D)
	$(CXX) $(CXXFLAGS_ALL) -MMD -MP -c -o $@ $<
$(BUILD)/bench: $(BUILD)/tests/bench/bench.o $(BUILD)/libdistill.a
	$(CXX) $(OPT) $(OMP) -o $@ $^ $(LIBS)
$(BUILD)/make_shapes: $(BUILD)/cfg/shapes/make_shapes.o $(BUILD)/libdistill.a
	$(CXX) $(OPT) $(OMP) -o $@ $^ $(LIBS)
$(BUILD)/tests/%: $(BUILD)/tests/%.o $(HELP) $(BUILD)/libdistill.a
	$(CXX) $(OPT) $(OMP) -o $@ $^ $(LIBS) -lcmocka
.SECONDARY:

tests: $(TESTS) $(BUILD)/darknet $(BUILD)/make_shapes

setup:
	@.ci/setup

memcheck:
	@tests/memcheck.sh

test: setup
	@$(MAKE) --no-print-directory darknet tests
	@tests/run.sh $(BUILD)

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

bench: setup
	@$(MAKE) --no-print-directory $(BUILD)/bench
	@$(MAKE) --no-print-directory BUILD=$(BUILD)-direct WINOGRAD=0 $(BUILD)-direct/bench
	@BENCH=$(BUILD)/bench DIRECT=$(BUILD)-direct/bench tests/bench/bench.sh

clean:
	rm -rf $(BUILD) darknet

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
