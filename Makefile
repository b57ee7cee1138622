# Goals only: digests inside the programs decide what is done again.
.PHONY: demo test setup lint reference-lm clean
export PYTHONHASHSEED = 0
export OMP_NUM_THREADS ?= 2

demo: setup     ## the main job, into build/demo/report.html
	.venv/bin/characterize run rtl/systolic_pe --out build/demo/systolic_pe.nc
	.venv/bin/halo run examples/demo/demo.toml
	.venv/bin/characterize prove build/demo/results/halo-bal --array 4x4 --tiles 1
	.venv/bin/halo report build/demo

test: setup     ## all tests
	.venv/bin/python -m pytest

setup:          ## Debian packages and .venv, where missing
	@.ci/setup

lint: setup     ## the style half of the tests
	.venv/bin/ruff check . && .venv/bin/mypy && .venv/bin/lint-imports

reference-lm: setup  ## train the reference model again (hours; resumable)
	cd examples/reference_lm && ../../.venv/bin/python corpus.py fetch --out ../../build/corpus
	cd examples/reference_lm && ../../.venv/bin/python train.py --corpus ../../build/corpus --work ../../build/reference_lm --out ../../build/reference_lm/model

clean:          ## everything that can be made again, but .venv
	rm -rf build
