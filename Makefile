# The doors of the project. `make test` and `make demo` do all their own set-up.
SWIFT_FLAGS = -c release --explicit-target-dependency-import-check error

.PHONY: setup build demo test check format lint conformance fixtures

setup:
	@Scripts/setup.sh

build: setup
	swift build $(SWIFT_FLAGS)

# The main job, on the model and the data that come with it; about three minutes on two cores.
demo: build
	@Scripts/demo.sh

test: setup
	LORA_DEMO_MODEL="$$(Scripts/demo-model.sh)" swift test $(SWIFT_FLAGS)

# The inner loop.
check: lint test

# The proof that adapters pass between this and Python's PEFT; installs Python packages.
conformance: build
	@LORA_DEMO_MODEL="$$(Scripts/demo-model.sh)" Scripts/conformance/run.sh

# Makes Fixtures/ anew with the Python of an environment that has Scripts/requirements.txt.
fixtures:
	Scripts/fixtures/make_all.sh $(PYTHON)

lint:
	swift format lint --strict --recursive --parallel Package.swift Sources Tests

format:
	swift format --in-place --recursive --parallel Package.swift Sources Tests
