# `sam build` runs this for the layer of what comes from PyPI, in a copy of its folder; see functions/Makefile. It takes
# wheels for MACHINE, whatever this machine is, and each is held to its hash. Lambda's system has glibc 2.34. The scripts
# in bin/, which RECORD has the hashes of, are no use in a layer and name this machine's Python.
HERE := $(shell dirname "$(strip $(MAKEFILE_LIST))")
COMPILE := cd "$(HERE)" && python3.13 -I -m compileall -q --invalidation-mode unchecked-hash
INSTALL := cd "$(HERE)" && python3.13 -m pip --disable-pip-version-check install --quiet --no-compile --no-warn-conflicts
PLATFORMS := $(patsubst %,--platform %_$(MACHINE),manylinux_2_34 manylinux_2_28 manylinux2014)
# What no function imports, a third of it all: extras of Powertools, pydantic's first version, asyncio's way for httpx.
UNUSED := anyio aws_lambda_powertools/event_handler pydantic/v1
USED_UTILITIES := __init__.py jmespath_utils typing
LAMBDA := --only-binary=:all: --implementation cp --python-version 3.13 $(PLATFORMS)

build-DependenciesLayer:
	@$(INSTALL) $(LAMBDA) --require-hashes -r "$(CURDIR)/requirements.txt" --target "$(ARTIFACTS_DIR)/python"
	@rm -rf "$(ARTIFACTS_DIR)"/python/bin "$(ARTIFACTS_DIR)"/python/*.dist-info/RECORD $(addprefix "$(ARTIFACTS_DIR)"/python/,$(UNUSED))
	@cd "$(ARTIFACTS_DIR)/python/aws_lambda_powertools/utilities" && \
	find . -mindepth 1 -maxdepth 1 $(patsubst %,! -name %,$(USED_UTILITIES)) -exec rm -r {} +
	@$(COMPILE) -s "$(ARTIFACTS_DIR)" -p /opt "$(ARTIFACTS_DIR)"
