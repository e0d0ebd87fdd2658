# The doors of the project. `make test` and `make demo` do all their own set-up.
SWIFT_FLAGS = -c release --explicit-target-dependency-import-check error

.PHONY: setup build test check format lint

setup:
	@Scripts/setup.sh

build: setup
	swift build $(SWIFT_FLAGS)

test: setup
	LORA_DEMO_MODEL="$$(Scripts/demo-model.sh)" swift test $(SWIFT_FLAGS)

# The inner loop.
check: lint test

lint:
	swift format lint --strict --recursive --parallel Package.swift Sources Tests

format:
	swift format --in-place --recursive --parallel Package.swift Sources Tests
