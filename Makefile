# maskd: `make help` lists what can be made.
#
# VARIANT chooses a build: release (default), asan (Address and UndefinedBehavior sanitizers), tsan (ThreadSanitizer), fuzz
# (clang's libFuzzer, for `make fuzz`). All variants use the same sources, the same kernels and the same OpenBLAS.

VARIANT ?= release
PREFIX  ?= /usr/local
PORT    ?= 8080
IMAGE   ?=

CC      := gcc
PYTHON  ?= /usr/bin/python3 # Debian's, which has Debian's modules
VERSION := 0.1.0
BUILD   := build
ifneq ($(VARIANT),release)
BUILD   := build/$(VARIANT)
endif

PACKAGES      := libmicrohttpd libcjson openblas libjpeg libpng libwebp libwebpdemux libexif inih nettle gnutls expat libcurl
TEST_PACKAGES := check

CPPFLAGS := -I. -D_GNU_SOURCE -DMASKD_VERSION='"$(VERSION)"' $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null)
CFLAGS   := -std=gnu17 -O2 -g -pthread -fno-omit-frame-pointer -fstack-protector-strong \
            -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
            -Wvla -Wformat=2 -Wundef -Werror=implicit-function-declaration $(EXTRA_CFLAGS)
LDLIBS   := $(shell pkg-config --libs $(PACKAGES) 2>/dev/null) -lunistring -lm
LDFLAGS  := -pthread -Wl,-z,relro,-z,now

ifeq ($(VARIANT),asan)
CFLAGS  += -fsanitize=address,undefined -fno-sanitize-recover=all
LDFLAGS += -fsanitize=address,undefined
endif
ifeq ($(VARIANT),tsan)
CFLAGS  += -fsanitize=thread
LDFLAGS += -fsanitize=thread
endif
ifeq ($(VARIANT),fuzz)
CC      := clang
CFLAGS  := $(CFLAGS:-O2=-O1) -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
LDFLAGS += -fsanitize=fuzzer,address,undefined
endif
ifeq ($(VARIANT),release)
CPPFLAGS += -D_FORTIFY_SOURCE=2
endif

# ---- sources -----------------------------------------------------------------------------------------

# engine/kernels/simd/*.c are compiled once for each instruction set; the best is chosen at run time.
SIMD_SOURCES   := $(wildcard engine/kernels/simd/*.c)
ISAS           := portable
ifeq ($(shell uname -m),x86_64)
ISAS           += avx2 avx512 avx512_bf16
# The wide vectors of AVX-512, made of narrower ones, so that the unit tests run that code on any x86-64. Optimised further
# or checked for more, they compile for minutes.
TEST_ISAS      := wide
endif
ISA_portable   :=
ISA_avx2       := -mavx2 -mfma -mf16c
ISA_avx512     := -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mf16c -mprefer-vector-width=512
ISA_avx512_bf16 := $(ISA_avx512) -mavx512bf16
ISA_wide       := $(ISA_avx2) -DWIDTH=16 -Wno-psabi -O1 -fno-sanitize=undefined
# Sanitizers leave the kernels of programs alone, or an encode would take ten times as long: they have no threads and no
# state, only what a tile hands them. The unit tests check the bounds of what they read and write, AVX-512's by its stand-in.
SIMD_OBJECTS   := $(foreach isa,$(ISAS),$(SIMD_SOURCES:%.c=build/obj/%.$(isa).o))
CHECKED_ISAS   := $(if $(filter asan,$(VARIANT)),portable $(filter avx2,$(ISAS)) $(TEST_ISAS))
UNIT_SIMD_OBJECTS := $(foreach isa,$(filter-out $(CHECKED_ISAS),$(ISAS) $(TEST_ISAS)),$(SIMD_SOURCES:%.c=build/obj/%.$(isa).o)) \
                     $(foreach isa,$(CHECKED_ISAS),$(SIMD_SOURCES:%.c=$(BUILD)/obj/%.$(isa).o))

IMPORT_SOURCES := $(wildcard engine/weights/import/*.c)
ENGINE_SOURCES := $(wildcard engine/*.c engine/image/*.c engine/kernels/*.c engine/sam/*.c engine/weights/*.c)
API_SOURCES    := $(wildcard api/*.c)
SERVER_SOURCES := $(filter-out server/main.c,$(wildcard server/*.c))
UNIT_SOURCES   := $(sort $(shell find tests/unit -name '*.c'))

object = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
ENGINE_OBJECTS := $(call object,$(ENGINE_SOURCES)) $(SIMD_OBJECTS)
API_OBJECTS    := $(call object,$(API_SOURCES))
SERVER_OBJECTS := $(call object,$(SERVER_SOURCES))
IMPORT_OBJECTS := $(call object,$(IMPORT_SOURCES)) $(BUILD)/gen/onnx.pb-c.o
UNIT_OBJECTS   := $(call object,$(UNIT_SOURCES))

# V=1 shows the commands.
Q := $(if $(V),,@)
say = @printf '  %-6s %s\n' $(1) $@

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help deps build models demo run test bench load lint fmt fuzz install clean unit-tests test-programs

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# ---- building ----------------------------------------------------------------------------------------

deps: ## install what building and serving need (Debian packages; root or sudo)
	@tools/deps.sh build

build: $(BUILD)/maskd $(BUILD)/maskd-import ## compile build/maskd and build/maskd-import

unit-tests: $(BUILD)/unit-tests

$(BUILD)/maskd: $(call object,server/main.c) $(SERVER_OBJECTS) $(API_OBJECTS) $(ENGINE_OBJECTS)
	$(call say,LD)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LDLIBS) -o $@

$(BUILD)/maskd-import: $(call object,tools/maskd-import.c) $(IMPORT_OBJECTS) $(ENGINE_OBJECTS)
	$(call say,LD)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LDLIBS) -lprotobuf-c -o $@

$(BUILD)/engine-probe: $(call object,tests/parity/engine_probe.c tests/tool.c) $(API_OBJECTS) $(ENGINE_OBJECTS)
	$(call say,LD)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LDLIBS) -o $@

$(BUILD)/everything-probe: $(call object,tests/parity/everything_probe.c tests/tool.c) $(ENGINE_OBJECTS)
	$(call say,LD)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LDLIBS) -o $@

$(BUILD)/engine-bench: $(call object,tests/bench/engine_bench.c tests/tool.c) $(ENGINE_OBJECTS)
	$(call say,LD)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LDLIBS) -o $@

$(BUILD)/fma-peak: $(call object,tests/bench/fma_peak.c) $(ENGINE_OBJECTS)
	$(call say,LD)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LDLIBS) -o $@

$(BUILD)/unit-tests: $(UNIT_OBJECTS) $(UNIT_SIMD_OBJECTS) $(SERVER_OBJECTS) $(API_OBJECTS) $(IMPORT_OBJECTS) \
                     $(filter-out $(SIMD_OBJECTS),$(ENGINE_OBJECTS))
	$(call say,LD)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LDLIBS) -lprotobuf-c $(shell pkg-config --libs $(TEST_PACKAGES)) -o $@

$(BUILD)/obj/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c $< -o $@

$(call object,api/page.c): $(wildcard api/page/*) api/openapi.json # which it embeds

# The same in all variants, which share what is made with it.
PLAIN_CFLAGS = $(filter-out -fsanitize% -fno-sanitize%,$(CFLAGS)) -D_FORTIFY_SOURCE=2 -O3
CHECKED_CFLAGS = $(CFLAGS) -O3
define simd_rule
$(2)/obj/engine/kernels/simd/%.$(1).o: engine/kernels/simd/%.c Makefile
	@mkdir -p $$(@D)
	$$(call say,CC)
	$(Q)$(CC) $(CPPFLAGS) $$($(3)) $(ISA_$(1)) -DKERNEL_ISA=$(1) -MMD -MP -c $$< -o $$@
endef
$(foreach isa,$(ISAS) $(TEST_ISAS),$(eval $(call simd_rule,$(isa),build,PLAIN_CFLAGS)))
$(foreach isa,$(CHECKED_ISAS),$(eval $(call simd_rule,$(isa),$(BUILD),CHECKED_CFLAGS)))

# The unit tests' references are slow enough as they are.
NAIVE_OBJECTS := $(call object,$(wildcard tests/unit/engine/naive.c tests/unit/engine/sam/naive_*.c))
$(NAIVE_OBJECTS): CFLAGS := $(PLAIN_CFLAGS)

# The pixels of a mask must not depend on whether a product and its sum are rounded once or twice.
build/obj/engine/kernels/simd/mask_column.%.o $(BUILD)/obj/engine/kernels/simd/mask_column.%.o: CFLAGS += -ffp-contract=off

# ONNX's own schema, from Debian's libonnx-dev, becomes a parser by protobuf-c.
ONNX_PROTO_DIR := /usr/include/onnx
$(BUILD)/gen/onnx.pb-c.c: $(ONNX_PROTO_DIR)/onnx.proto
	@mkdir -p $(@D)
	$(call say,GEN)
	$(Q)protoc-c --proto_path=$(ONNX_PROTO_DIR) --c_out=$(@D) $<
$(BUILD)/gen/onnx.pb-c.o: $(BUILD)/gen/onnx.pb-c.c
	$(call say,CC)
	$(Q)$(CC) $(CFLAGS) -w -c $< -o $@
ONNX_READERS := $(IMPORT_SOURCES) $(wildcard tests/unit/engine/weights/import/*.c)
$(call object,$(ONNX_READERS)): CPPFLAGS += -I$(BUILD)/gen
$(call object,$(ONNX_READERS)): | $(BUILD)/gen/onnx.pb-c.c

# ---- weights -----------------------------------------------------------------------------------------

models: models/mobile_sam.safetensors ## fetch the default model's weights (MobileSAM) and convert them

models/%.safetensors: models/manifest.json tools/models.sh | $(BUILD)/maskd-import
	@tools/models.sh $(BUILD)/maskd-import $*

# ---- using -------------------------------------------------------------------------------------------

# What is installed decides how to compile, so packages come first, in a make of their own.
MAKE_ALL = $(MAKE) --no-print-directory -j$(shell nproc)

demo: ## the whole main job from nothing: build, weights, a daemon, masks (IMAGE=path for your own)
	@tools/deps.sh build demo
	@$(MAKE_ALL) build models
	@$(PYTHON) tools/demo.py $(BUILD)/maskd build/demo $(if $(IMAGE),"$(IMAGE)")

run: ## serve on port 8080 (PORT=n for another)
	@tools/deps.sh build
	@$(MAKE_ALL) build models
	@echo
	@echo "try:  curl -F file=@photo.jpg -F 'prompt={\"points\":[[500,375]]}' http://127.0.0.1:$(PORT)/v1/segment"
	@echo
	@exec $(BUILD)/maskd --port $(PORT)

install: build models ## install binaries, weights, configuration and systemd unit (PREFIX, DESTDIR)
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/maskd $(DESTDIR)/etc/maskd
	install -m 755 $(BUILD)/maskd $(BUILD)/maskd-import $(DESTDIR)$(PREFIX)/bin
	install -m 644 models/*.safetensors models/manifest.json $(DESTDIR)$(PREFIX)/share/maskd
	test -e $(DESTDIR)/etc/maskd/maskd.ini || sed 's|^model = models/|model = $(PREFIX)/share/maskd/|' \
	    config/maskd.ini >$(DESTDIR)/etc/maskd/maskd.ini
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	sed 's|/usr/local/bin/|$(PREFIX)/bin/|' config/maskd.service >$(DESTDIR)$(PREFIX)/lib/systemd/system/maskd.service

# ---- testing -----------------------------------------------------------------------------------------

# A process for each unit test takes long with a sanitizer, whose report ends the run anyway.
UNIT_FORK := $(if $(filter-out release,$(VARIANT)),CK_FORK=no)

test-programs: build unit-tests $(BUILD)/fuzz-replay $(BUILD)/engine-probe $(BUILD)/everything-probe

test: ## every test from nothing: unit, fuzz, HTTP, parity, page (VARIANT=asan or tsan, SUITES="unit http")
	@tools/deps.sh build test
	@$(MAKE_ALL) test-programs models
	@$(UNIT_FORK) tests/run $(BUILD) $(SUITES)

bench: ## maskd against ONNX Runtime and the machine's peak (BENCH_RUNS=7, BENCH_IMAGE=file, BENCH_JSON=file)
	@tools/deps.sh build test
	@$(MAKE_ALL) build $(BUILD)/engine-bench $(BUILD)/fma-peak models
	@$(PYTHON) tests/bench/bench.py $(BUILD)

load: ## throughput and latency of both lanes under load (LOAD_SECONDS=8, LOAD_JSON=file)
	@tools/deps.sh build load
	@$(MAKE_ALL) build models
	@$(PYTHON) tests/load/load.py $(BUILD)

# Everything that reads what comes from outside: tests/fuzz/NAME_fuzz.c is a target, linked with all but the model, which
# tests/fuzz/model_double.c stands in for. VARIANT=fuzz makes a program of each, the others one that replays what is kept.
FUZZ_SECONDS ?= 60
ALL_TARGETS  := $(patsubst tests/fuzz/%_fuzz.c,%,$(wildcard tests/fuzz/*_fuzz.c))
FUZZ_TARGETS ?= $(ALL_TARGETS)
FUZZ_OBJECTS := $(call object,tests/fuzz/model_double.c engine/sam/everything_options.c engine/sam/crops.c) \
                $(call object,$(wildcard engine/*.c engine/image/*.c engine/weights/*.c)) \
                $(SERVER_OBJECTS) $(API_OBJECTS) $(IMPORT_OBJECTS)

$(BUILD)/obj/tests/fuzz/%_fuzz.o: tests/fuzz/%_fuzz.c Makefile
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(if $(filter fuzz,$(VARIANT)),,-DLLVMFuzzerTestOneInput=$*_fuzz) -MMD -MP -c $< -o $@

$(ALL_TARGETS:%=build/fuzz/%): build/fuzz/%: build/fuzz/obj/tests/fuzz/%_fuzz.o $(FUZZ_OBJECTS)
	$(call say,LD)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LDLIBS) -lprotobuf-c -o $@

$(call object,tests/fuzz/replay.c): CPPFLAGS += '-DFUZZ_TARGETS(X)=$(patsubst %,X(%),$(ALL_TARGETS))'
$(call object,tests/fuzz/replay.c): $(ALL_TARGETS:%=tests/fuzz/%_fuzz.c)

$(BUILD)/fuzz-replay: $(call object,tests/fuzz/replay.c $(ALL_TARGETS:%=tests/fuzz/%_fuzz.c)) $(FUZZ_OBJECTS)
	$(call say,LD)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LDLIBS) -lprotobuf-c -o $@

fuzz: ## fuzz all that reads from outside (FUZZ_SECONDS=60 for each of FUZZ_TARGETS="image http")
	@tools/deps.sh build fuzz
	@$(MAKE_ALL) VARIANT=fuzz $(FUZZ_TARGETS:%=build/fuzz/%)
	@tests/fuzz/run $(FUZZ_SECONDS) $(FUZZ_TARGETS)

C_FILES := $(sort $(shell find api engine server tools tests -name '*.[ch]'))

lint: ## clang-format and cppcheck
	@tools/deps.sh build lint
	@echo "clang-format, cppcheck: $(words $(C_FILES)) files"
	@clang-format --dry-run -Werror $(C_FILES)
	@cppcheck --quiet --error-exitcode=1 --std=c11 --enable=warning,performance,portability \
	    --inline-suppr -I. -j$(shell nproc) $(filter-out tests/%,$(C_FILES))

fmt: ## format the C sources
	@tools/deps.sh lint
	clang-format -i $(C_FILES)

clean: ## remove build/ (weights in models/ stay)
	rm -rf build

-include $(sort $(shell find $(BUILD)/obj build/obj/engine/kernels/simd -name '*.d' 2>/dev/null))
