# make demo | make console | make test | make lint | make bench | make faults | make soak | make fleet | make docs | make setup | make clean | make help
#   make demo SEED=7          other scenes            make demo PERSON=me     you type instruction and answers
#   make console CAMERA=0     a real camera: its number, a device, rtsp://…, a video or a folder of pictures
#   make demo ANIMATE=1       also an animation an episode
#   make test ARGS="-k tap"   arguments for pytest    make setup PYTHON=python3.12
#   make test ROS=jazzy       with the wheels of ROS 2 Jazzy instead of Kilted, in an environment of its own (.venv-jazzy)
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup setup-with-docs setup-with-lint setup-for-tests demo console test lint bench faults soak fleet docs clean

SEED ?=
PERSON ?=
CAMERA ?=
ANIMATE ?=
ARGS ?=
TESTS ?=
export PYTHON
ROS ?=
ifneq ($(ROS),)
export CLUE_ROS := $(ROS)
endif

help:  ## this text
	@echo "make demo    the whole way from a camera to a question and a box (SEED=7: other scenes; PERSON=me: you are the person)"
	@echo "make console the page to see it and talk to it, with a simulated camera (SEED=7; ARGS=\"--port 8080\") or a real one (CAMERA=0)"
	@echo "make test    all tests (ARGS=\"-k tap\": arguments for pytest)"
	@echo "make lint    rules, format and types: ruff check, ruff format --check, basedpyright"
	@echo "make bench   speed and memory beside plain transformers and the machine's limits (ARGS=\"--models embedded\")"
	@echo "make faults  what a robot's bad day does to the node, as a table (ARGS=\"--only camera_stops\", \"--quick\")"
	@echo "make soak    a thousand goals with a live camera: none lost, memory, latency (ARGS=\"--goals 200\")"
	@echo "make fleet   16 simulated robots on one server: throughput, fairness, lost dialogues (ARGS=\"--without-ray\")"
	@echo "make docs    the documentation as a site in out/site, to be opened without a server or a network"
	@echo "make setup   environment, ROS 2 and build; demo and test do this first (PYTHON=python3.12: another interpreter)"
	@echo "make clean   removes what setup and the programs made: .venv build install log out"

setup:  ## environment, ROS 2, build: skips what is done
	@scripts/setup.sh

setup-with-docs:  ## the same with what builds the documentation
	@scripts/setup.sh --docs

setup-with-lint:  ## the environment with formatter and type checker; nothing is built
	@scripts/setup.sh --lint --no-build

setup-for-tests:  ## the same with both: tests build the documentation and run the lint
	@scripts/setup.sh --docs --lint

demo: setup  ## pictures and summary.json land in out/demo, the further parts' in out/demo/parts
	@scripts/run.sh python -m clue_ros.ros.demo $(if $(SEED),--seed $(SEED)) $(if $(PERSON),--person $(PERSON)) $(if $(ANIMATE),--animate) $(if $(PERSON),,--parts)

console: setup  ## says what to open in a browser; logs land in out/console
	@scripts/run.sh python -m clue_ros.ros.console_demo $(if $(SEED),--seed $(SEED)) $(if $(CAMERA),--camera "$(CAMERA)") $(ARGS)

test: setup-for-tests
	@scripts/test.sh $(if $(TESTS)$(ARGS),$(or $(TESTS),test/core test/ros test/package) $(ARGS))

lint: setup-with-lint  ## the same as test/package/test_lint.py
	@scripts/run.sh ruff check .
	@scripts/run.sh ruff format --check .
	@scripts/run.sh bash -c 'basedpyright --pythonpath "$$(command -v python)"'

bench: setup  ## tables on the terminal, out/ros_overhead.json, out/bench.json and out/bench.csv
	@scripts/run.sh python -m clue_ros.ros.lab.overhead
	@scripts/run.sh clue bench --json out/bench.json $(ARGS)

faults: setup  ## table on the terminal, out/faults.json and out/faults.csv
	@scripts/run.sh clue faults $(ARGS)

soak: setup  ## out/soak.json and out/soak.csv
	@scripts/run.sh clue soak $(ARGS)

fleet: setup  ## needs Ray (setup.cfg, extra fleet) or ARGS=--without-ray; out/fleet/fleet.json, .csv and .png
	@scripts/run.sh clue fleet $(ARGS)

docs: setup-with-docs  ## warnings are errors
	@NO_MKDOCS_2_WARNING=1 scripts/run.sh mkdocs build --quiet --strict && echo "open out/site/index.html"

clean:
	rm -rf .venv .venv-jazzy build install log out .setup*.lock .pytest_cache .hypothesis .ruff_cache
