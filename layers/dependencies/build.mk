# `sam build` runs this for the layer of what comes from PyPI: wheels for MACHINE whatever this machine is, each held to its
# hash, and with bytecode (docs/decisions: bytecode is built in). bin/ is no use in a layer, and names this machine.
LIBC := manylinux_2_34 manylinux_2_28 manylinux2014  # Amazon Linux 2023 has glibc 2.34
PIP := python3.13 -m pip --disable-pip-version-check install --quiet --no-compile --no-warn-conflicts
FOR_LAMBDA := --only-binary=:all: --python-version 3.13 --implementation cp $(LIBC:%=--platform %_$(MACHINE))

build-DependenciesLayer:
	@$(PIP) $(FOR_LAMBDA) --require-hashes --requirement requirements.txt --target "$(ARTIFACTS_DIR)/python"
	@rm -rf "$(ARTIFACTS_DIR)/python/bin"
	@python3.13 -I -m compileall -q --invalidation-mode unchecked-hash -s "$(ARTIFACTS_DIR)" -p /opt "$(ARTIFACTS_DIR)"
