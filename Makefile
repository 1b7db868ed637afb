# Every job of this project; bare `make` lists them.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
PY := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
SEED ?= 0
SEEDS ?= $(SEED)
JOBS ?= $(if $(LAUNCHER),,$(if $(QUICK),2,1))
# Idle threads leave the cores to the decoders.
export OMP_WAIT_POLICY ?= passive
MINI := data/mini

TABLES := $(notdir $(patsubst %/,%,$(sort $(wildcard experiments/tables/table-*/)) $(sort $(wildcard experiments/tables/ablation-*/))))
RUNS := $(if $(QUICK),runs/quick,runs)

# Names may hold any characters: make takes these as they are written, and the shell is given them in quotes, one whole or
# each word of a list. ARGS alone are words of the shell.
$(foreach name,DATA EXP CKPT OUT A B TABLE RUNS SLURM ARGS row seed,$(eval export override $(name) := $$(value $(name))))
define newline


endef
export newline
quoted = '$(subst $(newline),'"$$newline"',$(subst ','\'',$(1)))'
each = $(foreach one,$(1),$(call quoted,$(one)))

# What rows are run with: make table-1 DATA=/data/FF++ DEVICES=8 SEEDS='0 1 2' JOBS=2 ARGS='--trainer.max_epochs 3', and
# where: LAUNCHER=slurm NODES=4 SLURM='--partition=gpu --time=24:00:00'
OPTIONS = $(if $(DATA),--data.init_args.root $(call quoted,$(DATA))) $(if $(DEVICES),--trainer.devices $(DEVICES)) $(if $(NODES),--trainer.num_nodes $(NODES)) $(ARGS)
WHICH = --seeds $(SEEDS) $(if $(QUICK),--quick) $(if $(LAUNCHER),--launcher $(LAUNCHER)) $(if $(SLURM),--slurm=$(call quoted,$(SLURM)))
run = $(PY) -m experiments run $(1) $(WHICH) $(if $(JOBS),--jobs $(JOBS)) -- $(OPTIONS)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install demo test soak test-reuse test-slurm bench matrix lint docs plan tables train collect compare cost export doctor mini sweep sweep-row wandb-sync $(TABLES)

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(INSTALLED) ## make .venv and install everything into it
$(INSTALLED): pyproject.toml
	$(PY) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check -e '.[experiments,dev,docs]'
	touch $@

demo: install mini ## train and test three small models on a made-up data set and print the table (10 minutes on 2 cores)
	@$(PY) -m experiments run demo -- --data.init_args.root $(MINI) $(ARGS)
	@$(PY) -m experiments collect --table demo

mini: $(INSTALLED) ## write a mini FaceForensics++ of drawn people to data/mini
	$(PY) -m datamodules.synthetic --out $(MINI)

train: $(INSTALLED) ## train and test one row, and what it needs: EXP=table-1/resnet50-unet DATA=<root> [DEVICES=8] [SEED=0] [ARGS='--any.option value']
	@test -n "$$EXP" || { echo "EXP is not given, wanted a row such as EXP=table-1/resnet50-unet"; exit 2; }
	@$(call run,$(call each,$(EXP)))

plan: $(INSTALLED) ## say what is done, missing, shared, and how long it takes: [TABLE='table-3 ablation-loss'] DATA=<root> [QUICK=1] [SEEDS='0 1 2']
	@$(PY) -m experiments plan $(call each,$(TABLE)) $(WHICH) -- $(OPTIONS)

tables: $(INSTALLED) ## every table, or one: make table-3, make ablation-loss, DATA=<root> [SEEDS='0 1 2'] [JOBS=2] [QUICK=1: small, on DATA=data/mini] [LAUNCHER=slurm]
	@$(call run,); status=$$?; $(PY) -m experiments collect $(if $(RUNS),$(call quoted,$(RUNS))) && exit $$status

$(TABLES): $(INSTALLED)
	@$(call run,$@); status=$$?; $(PY) -m experiments collect $(if $(RUNS),$(call quoted,$(RUNS))) --table $@ && exit $$status

collect: $(INSTALLED) ## print the tables of runs/ and write runs/results.csv [QUICK=1: of runs/quick/]
	@$(PY) -m experiments collect $(if $(RUNS),$(call quoted,$(RUNS)))

compare: $(INSTALLED) ## difference of two tested runs, with intervals and p: A=runs/table-2/resnet50-joint/seed0 B=... [ARGS=--all]
	@test -n "$$A" && test -n "$$B" || { echo "A and B are wanted, two folders of runs such as A=runs/table-2/resnet50-joint/seed0"; exit 2; }
	@$(PY) -m experiments compare $(call quoted,$(A)) $(call quoted,$(B)) $(ARGS)

cost: $(INSTALLED) ## parameters, FLOPs and time a frame, without data: EXP=table-1/resnet50-unet or TABLE='table-1 table-2' [ARGS='--batch_size 8']
	@test -n "$$EXP$$TABLE" || { echo "neither EXP nor TABLE is given, wanted EXP=table-1/resnet50-unet or TABLE=table-1"; exit 2; }
	@$(PY) -m experiments cost $(call each,$(EXP) $(TABLE)) $(ARGS)

export: $(INSTALLED) ## write a checkpoint as ONNX or torch.export file: CKPT=runs/.../best.ckpt OUT='model.onnx model.pt2' [ARGS='--video face.mp4']
	@test -n "$$CKPT" && test -n "$$OUT" || { echo "CKPT and OUT are wanted, such as CKPT=runs/demo/joint/seed0/checkpoints/best.ckpt OUT=model.onnx"; exit 2; }
	@$(PY) -m experiments export --checkpoint $(call quoted,$(CKPT)) --out $(call each,$(OUT)) $(ARGS)

sweep: $(INSTALLED) ## write a table as a W&B sweep, for agents on any machines: TABLE=table-1 [SEEDS='0 1']
	@test -n "$$TABLE" || { echo "TABLE is not given, wanted one such as TABLE=table-1"; exit 2; }
	@$(PY) -m experiments sweep $(call quoted,$(TABLE)) $(if $(SEEDS),--seeds $(SEEDS))

sweep-row: $(INSTALLED)
	@SWEEP_ROW=$(call quoted,$(row)) $(MAKE) --no-print-directory train EXP=$(call quoted,$(row)) SEED=$(call quoted,$(seed))

wandb-sync: $(INSTALLED) ## send what was logged offline to W&B: [RUNS=runs]
	@$(PY) -m experiments sync $(if $(RUNS),$(call quoted,$(RUNS)))

doctor: $(INSTALLED) ## say what is in a data folder, what is wrong and what each table lacks: DATA=<root> [ARGS='--frames 8 --out runs/doctor']
	@test -n "$$DATA" || { echo "DATA is not given, wanted the folder of FaceForensics++"; exit 2; }
	@$(PY) -m experiments doctor $(call quoted,$(DATA)) $(ARGS)

bench: $(INSTALLED) ## measure decoding against the bare decoder, decord and PNG files, training and measuring (half an hour), ARGS='--repeats 1 --only loader'
	OMP_NUM_THREADS=1 $(PY) -m tests.benchmarks $(ARGS)

matrix: $(INSTALLED) ## try every encoder with every decoder at every output stride (half an hour), ARGS='--encoders resnet50'
	OMP_NUM_THREADS=1 $(PY) -W ignore -m tests.matrix $(ARGS)

test: $(INSTALLED) ## run the tests
	OMP_NUM_THREADS=1 $(PY) -m pytest -n auto --dist loadfile --no-loadscope-reorder

soak: $(INSTALLED) ## run further and longer cases of what the tests hold (half an hour on 2 cores)
	OMP_NUM_THREADS=1 $(PY) -m pytest -n auto --dist loadfile -m soak
	OMP_NUM_THREADS=1 ANY_CLIP_CASES=3000 $(PY) -m pytest tests/datamodules/test_any_clip.py

test-reuse: $(INSTALLED) ## install the wheel into an empty environment and train there (minutes, a network, 10 GB for a while)
	$(PY) -m pytest tests/test_reuse.py -m slow

test-slurm: $(INSTALLED) ## run rows on a SLURM cluster of this machine alone, installed from Debian's packages, started and stopped (ten minutes, root to install)
	@for program in slurmctld slurmd munged srun; do command -v $$program >/dev/null || missing=1; done; test -z "$$missing" || { apt-get update -qq && apt-get install -y -qq --no-install-recommends slurm-wlm munge; }
	OMP_NUM_THREADS=1 $(PY) -m pytest tests/experiments/test_slurm.py -m slurm

lint: $(INSTALLED) ## ruff and mypy
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

docs: $(INSTALLED) ## write the documentation to site/; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict
