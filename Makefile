# The doors of the project. `make test` and `make demo` do all their own set-up.
SWIFT_FLAGS = -c release --explicit-target-dependency-import-check error

.PHONY: setup build demo test test-avx2 test-amx check format lint conformance conformance-readers fixtures bench bench-gate bench-peft

setup:
	@Scripts/setup.sh

build: setup
	swift build $(SWIFT_FLAGS)

# The main job, on the model and the data that come with it; about three minutes on two cores.
demo: build
	@Scripts/demo.sh

# Tests run side by side: threads that spin while they wait would starve each other, so they spin as
# long as those of the command (ThreadWaiting.swift).
test test-avx2 test-amx: export GOMP_SPINCOUNT = 5000

test: setup
	LORA_DEMO_MODEL="$$(Scripts/demo-model.sh)" swift test $(SWIFT_FLAGS)

# The engine as a processor with AVX2 alone would run it: oneDNN's switch and ours.
test-avx2: setup
	LORA_DEMO_MODEL="$$(Scripts/demo-model.sh)" LORA_CPU_ISA=v3 DNNL_MAX_CPU_ISA=AVX2 \
	  ONEDNN_MAX_CPU_ISA=AVX2 swift test $(SWIFT_FLAGS) \
	  --filter 'LoRATensorTests|LoRANNTests|LoRAModelsTests|LoRAFormatsTests|ParityTests'

# Products, mixed batches and threads on oneDNN's AMX kernels, emulated where the processor has none
# (needs AVX512-BF16). Not in CI: decisions 1 and 3 say what does not hold there yet.
test-amx: setup
	swift build $(SWIFT_FLAGS) --build-tests
	LORA_DEMO_MODEL="$$(Scripts/demo-model.sh)" Scripts/amx/run.sh swift test --skip-build \
	  $(SWIFT_FLAGS) --filter 'ProductTests|MixedBatchTests|otherThreadsGiveTheSameBytes'

# The inner loop.
check: lint test

# The proof that adapters pass between this and Python's PEFT, and that TensorBoard reads a run;
# installs Python packages.
conformance: build
	@LORA_DEMO_MODEL="$$(Scripts/demo-model.sh)" Scripts/conformance/run.sh
	@Scripts/conformance/tensorboard.sh

# The proof that llama.cpp and mlx-lm read converted adapters and merged models, and that llama.cpp
# makes the same tokens; installs Python packages.
conformance-readers: build
	@LORA_DEMO_MODEL="$$(Scripts/demo-model.sh)" Scripts/conformance/readers.sh

# Speed against this machine's own limits; run it on an idle machine. Each case has its own process.
bench: setup
	swift build $(SWIFT_FLAGS) --product lora-bench
	@Benchmarks/run.sh

# Instructions of our own kernels against the committed counts; deterministic, so no idle machine is needed.
bench-gate: setup
	swift build $(SWIFT_FLAGS) --product lora-bench
	@Benchmarks/gate.sh $(if $(UPDATE),--update)

# swift-lora and PEFT + PyTorch in turn on the same weights, rows and threads: medians, ratios, a plot;
# about 20 minutes on an idle machine; installs Python packages. ROUNDS=5, CASES=4x512,chat, RESUME=1.
bench-peft: build
	@Benchmarks/peft/run.sh $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(CASES),--cases $(CASES)) \
	  $(if $(RESUME),--resume)

# Makes Fixtures/ anew with the Python of an environment that has Scripts/requirements.txt.
fixtures:
	Scripts/fixtures/make_all.sh $(PYTHON)

lint:
	swift format lint --strict --recursive --parallel Package.swift Sources Tests Benchmarks Snippets

format:
	swift format --in-place --recursive --parallel Package.swift Sources Tests Benchmarks Snippets
