# Each target sets up only what it needs; see README.md.
PYTHON ?= python3

.PHONY: demo stop test lint bench setup help

help:
	@echo "make demo   set up and run the main job on real parts; leaves Odoo running"
	@echo "make stop   end what make demo started"
	@echo "make test   set up and run every test"
	@echo "make lint   ruff, pylint-odoo, oca-checks"
	@echo "make bench  measure; make bench ONLY=NAME runs one"

demo:
	@$(PYTHON) -m tools demo

stop:
	@$(PYTHON) -m tools stop

test:
	@$(PYTHON) -m tools test

lint:
	@$(PYTHON) -m tools lint

bench:
	@$(PYTHON) -m tools bench $(ONLY)

setup:
	@$(PYTHON) -m tools setup
