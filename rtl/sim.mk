# One design's RTL bench with cocotb's own makefiles: `make -C rtl/<design> sim`, options as cocotb has them (WAVES=1, ...),
# VECTORS=2000 or VECTORS=exhaustive for the operations. What it drives and expects is written by `characterize bench`.
ROOT := $(realpath $(dir $(lastword $(MAKEFILE_LIST)))/..)
BIN := $(ROOT)/.venv/bin
BUILD := $(ROOT)/build/sim/$(notdir $(CURDIR))
BENCH := $(BUILD)/functional-rtl
VECTORS ?= 1000
SIM ?= icarus
# Its own look-up of Python goes by the caller's PATH.
override PYTHON_BIN := $(BIN)/python

export PATH := $(BIN):$(PATH)
export PYTHONPATH := $(ROOT)
export HALO_BENCH_PLAN := $(BENCH)/plan.json
export HALO_BENCH_FAILURE := $(BENCH)/failure.txt
TOPLEVEL_LANG := verilog
COCOTB_TOPLEVEL := bench
COCOTB_TEST_MODULES := characterization.benches.functional_bench
COCOTB_HDL_TIMEUNIT := 1fs
COCOTB_HDL_TIMEPRECISION := 1fs
COCOTB_RESULTS_FILE := $(BENCH)/results.xml
SIM_BUILD := $(BUILD)/build
VERILOG_SOURCES := $(sort $(wildcard $(CURDIR)/*.v)) $(BENCH)/bench.v

include $(shell $(BIN)/cocotb-config --makefiles)/Makefile.sim

$(BENCH)/bench.v: $(wildcard $(CURDIR)/*.v) $(CURDIR)/design.toml $(CURDIR)/reference.py
	$(BIN)/characterize bench $(CURDIR) --prepare $(BUILD) --vectors $(VECTORS)
