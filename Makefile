# SPDX-License-Identifier: MIT
#
# The few words a person types; meson and ninja do the work.

BUILD ?= build
PREFIX ?= /usr/local
FUZZ_SECONDS ?= 10

.PHONY: all deps build quickstart check check-v2 bench fuzz install clean distclean format

all: build

deps:
	@tools/deps build

# build/ holds build/deps too, so its presence says nothing: build.ninja does.
build: deps
	@[ -e $(BUILD)/build.ninja ] || meson setup $(BUILD) \
		-Dpkg_config_path=$(CURDIR)/build/deps/prefix/lib/pkgconfig --prefix=$(PREFIX) $(QUIET)
	@ninja -C $(BUILD) $(QUIET)

# A real model answers through the Lambda API. WAV=file.wav takes your own sound, KEEP=1 leaves it running.
quickstart:
	@tools/deps build inference
	@echo "building Lamina into $(BUILD)/ (the first time takes a minute; $(BUILD)/build.log tells more)" >&2
	@$(MAKE) --no-print-directory build QUIET='>>$(BUILD)/build.log' || { tail -n 30 $(BUILD)/build.log >&2; exit 1; }
	@tools/quickstart

# Everything that CI does, on this checkout.
check:
	@tools/deps build inference check
	@tools/run_tests.py

# The tests under cgroup v2, on Debian's kernel in a virtual machine, file by file: hours; `tools/check_v2 --list` tells what passed.
check-v2: build
	@tools/check_v2 --build $(BUILD)

bench:
	@tools/deps build inference check
	@$(MAKE) --no-print-directory build
	@/usr/bin/python3 tests/bench/run.py

fuzz:
	@tools/deps build check
	@tools/run_tests.py --only fuzz --fuzz-seconds $(FUZZ_SECONDS)

# DESTDIR=dir installs for a package.
install: build
	@meson configure $(BUILD) -Dprefix=$(PREFIX)
	@ninja -C $(BUILD) --quiet
	@meson install -C $(BUILD) --no-rebuild

# What was built, but not what was downloaded.
clean:
	@find $(BUILD) -mindepth 1 -maxdepth 1 ! -name deps -exec rm -rf {} + 2>/dev/null || true

distclean:
	@rm -rf build build-*

format:
	@git ls-files '*.c' '*.h' | xargs clang-format -i
