# `make` lists the targets. Everything runs from .venv, which `make install` builds from the lock.
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help install figures sweep test table site docs lab train bench lint lock clean

# smoke (a minute a notebook), mini (embedded models), small (published ones on real data, without a
# GPU) or full (the sources' own models and data).
PROFILE ?= mini
# A sweep of workflow/sweeps.yaml, and where its points run: local, slurm or kubernetes.
SWEEP ?= language
SWEEP_PROFILE ?= local
# More arguments for the tool behind a target: `make test ARGS=-x`; `make figures ARGS=--dry-run`,
# where Snakemake then talks as it always does.
ARGS ?=
# The Python that .venv is made with: if not given, that of the .venv that is there, or the first on
# the path that serves. 3.14 does not: the lock's TensorFlow has no wheels for it.
PYTHON ?= $(shell for name in $$($(PY) $(NAME) 2>/dev/null) \
	python3.11 python3.12 python3.13 python3 python; do \
	$(call SERVES,$$name) && { echo $$name; break; }; done)
SERVES = $(1) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
NAME = -c 'import sys; print("python%d.%d" % sys.version_info[:2])'

# Relative, so that it also works in a folder whose name has spaces; modules instead of the commands
# in .venv/bin, for those name their interpreter in a line that cannot hold spaces.
PY := .venv/bin/python
INSTALLED := .venv/.installed

# A missing GPU is no error here, but TensorFlow logs it as one.
export TF_CPP_MIN_LOG_LEVEL ?= 3

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' Makefile

install: $(INSTALLED) ## create .venv with the locked packages (4.5 GB, with CUDA 8.1)

# While it runs, the stamp is called .installing. Where one is left by an interrupted install, .venv
# is emptied first, for pip may have left half a package behind. To a person pip shows its bars.
$(INSTALLED): requirements.lock pyproject.toml
	@$(call SERVES,"$(PYTHON)") || { echo "qlab needs Python 3.11, 3.12 or 3.13$(if $(PYTHON),; \
	$(PYTHON) is another): install one (pyenv install 3.12; conda create -n py312 python=3.12; \
	apt install python3.12-venv) or name it, make PYTHON=/path/to/python3.12." \
	| tr -s '\t ' ' ' >&2; exit 1; }
	@"$(PYTHON)" workflow/exclusive.py build/.install.lock \
		"Another make is installing into .venv here; wait until it has ended." \
		$(MAKE) --no-print-directory environment

# auto-gptq has wheels for Python 3.11 alone; elsewhere pip builds it, which without this wants CUDA.
.PHONY: environment
environment lock: export BUILD_CUDA_EXT = 0
environment:
	@echo "Installing the locked packages into .venv; this takes some minutes."
	@test -e .venv/.installing || ! test -e $(PY) \
		|| test "$$("$(PYTHON)" $(NAME))" = "$$($(PY) $(NAME))" || { echo ".venv is of another \
	Python than $(PYTHON): remove it, or name its own, make PYTHON=$$($(PY) $(NAME))." \
	| tr -s '\t ' ' ' >&2; exit 1; }
	@"$(PYTHON)" -m venv $$(test -e .venv/.installing && echo --clear) .venv
	@rm -f $(INSTALLED) && touch .venv/.installing
	@$(PY) -m pip install $$(test -t 1 || echo --quiet) --requirement requirements.lock
	@$(PY) -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch .venv/.installing && mv .venv/.installing $(INSTALLED)

figures: $(INSTALLED) ## run every stale notebook: records, figures (PROFILE=smoke, mini, small or full)
	@$(PY) workflow/exclusive.py build/.figures.lock \
		"Another make figures or sweep (or a notebook left over from one) is running here; wait until it has ended." \
		$(PY) -m snakemake --snakefile workflow/Snakefile --config profile=$(PROFILE) \
		--cores all --nolock --rerun-incomplete --keep-going $(or $(ARGS),--quiet host progress reason rules)
	@$(if $(ARGS),,echo "Up to date: figures/$(PROFILE), data/results/$(PROFILE).")

sweep: $(INSTALLED) ## measure a grid, a job a point (SWEEP=name, SWEEP_PROFILE=local, slurm or kubernetes)
	@$(PY) workflow/exclusive.py build/.figures.lock \
		"A make figures or another make sweep is running here; wait until it has ended." \
		$(PY) -m snakemake --snakefile workflow/sweep.smk --config sweep=$(SWEEP) \
		--profile workflow/profiles/$(SWEEP_PROFILE) --nolock --rerun-incomplete --keep-going \
		$(or $(ARGS),--quiet host progress reason rules)

# Two processes, each with whole test files: what a file's tests share is made once. OpenMP's threads
# wait in a loop unless told otherwise, and would take the other process's core (ARGS=-n0: one).
test: export OMP_WAIT_POLICY ?= PASSIVE
test: $(INSTALLED) ## run the tests
	@$(PY) -m pytest -n 2 --dist loadscope $(ARGS)

table: $(INSTALLED) ## write README's results table from the records
	@$(PY) workflow/results_table.py

site: $(INSTALLED) ## build the site from what `make figures` ran, build/site/index.html
	@CUDA_VISIBLE_DEVICES= $(PY) workflow/site/make.py --profile $(PROFILE) $(ARGS)

# Importing the modules imports TensorFlow and PyTorch, which need no GPU for that.
docs: $(INSTALLED) ## write the package's API pages, build/docs/index.html
	@CUDA_VISIBLE_DEVICES= $(PY) workflow/api_pages.py build/docs

# Its root is the project, for the notebooks show figures that lie beside their folder.
lab: $(INSTALLED) ## open JupyterLab on START.md, which says which notebook answers what
	@$(PY) -m jupyterlab --LabApp.app_settings_dir="$(CURDIR)/workflow/jupyterlab" \
		--LabApp.default_url=/lab/tree/START.md $(ARGS)

train: $(INSTALLED) ## retrain the embedded models: notebooks/training
	@for notebook in notebooks/training/*.ipynb; do \
		$(PY) -m qlab run "$$notebook" $(ARGS) || exit 1; done

bench: $(INSTALLED) ## run the benchmarks
	@for script in benchmarks/*.py; do $(PY) "$$script" $(ARGS) || exit 1; done

lint: $(INSTALLED) ## check style and format of code and notebooks, and who imports whom
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -c 'from importlinter.cli import lint_imports_command as check; check()'

# The old lock constrains the new one, unless UPGRADE is given.
lock: $(INSTALLED) ## write requirements.lock anew (UPGRADE=1: the newest versions allowed)
	@rm -rf build/lock && mkdir -p build/lock
	@$(PY) -m venv build/lock/venv
	@grep -v '^#' requirements.lock > build/lock/old.txt
	@build/lock/venv/bin/python -m pip install --quiet $(if $(UPGRADE),,--constraint build/lock/old.txt) --editable '.[all]'
	@build/lock/venv/bin/python -m pip check
	@grep '^#' requirements.lock > build/lock/new.txt
	@build/lock/venv/bin/python -m pip freeze --all --exclude-editable --exclude pip \
		| sed 's/^\(torch==[0-9.]*\)+.*/\1/' \
		| grep -v -E '^(cuda-|nvidia-(cu|nccl|nv)|triton==)' >> build/lock/new.txt
	@mv build/lock/new.txt requirements.lock && rm -rf build/lock

clean: ## remove build/ and caches; .venv, records and figures stay
	@rm -rf build .snakemake .pytest_cache .ruff_cache
