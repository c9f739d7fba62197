# strm_privacy: build with PGXS. `make`, `make install`; `make help` lists the rest.

EXTENSION := strm_privacy
EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" strm_privacy.control)
EXTENSION_SCRIPT := strm_privacy--$(EXTVERSION).sql

PG_CONFIG ?= pg_config

MODULE_big := strm_privacy
OBJS := $(patsubst %.c,%.o,$(filter-out src/kafka/%,$(sort $(wildcard src/*.c src/*/*.c))))

# A second library, the only one that links librdkafka. Only background workers load it.
KAFKA_OBJS := $(patsubst %.c,%.o,$(sort $(wildcard src/kafka/*.c)))
KAFKA_LIBRARY := strm_privacy_kafka.so

# One file per concern; the order is that of their dependencies.
SQL_PARTS := $(addprefix sql/extension/,schema.sql purpose.sql policy.sql contract.sql key.sql stream.sql inbox.sql ingest.sql \
	derived_stream.sql event.sql data_subject.sql simulator.sql timestamp.sql connector.sql batch_job.sql kafka.sql batch_exporter.sql \
	entity_log.sql worker.sql key_export.sql guard.sql security.sql)
DATA_built := $(EXTENSION_SCRIPT)
EXTRA_CLEAN := $(EXTENSION_SCRIPT) $(OBJS:.o=.d) $(KAFKA_LIBRARY) $(KAFKA_OBJS) $(KAFKA_OBJS:.o=.d)

REGRESS ?= $(sort $(basename $(notdir $(wildcard sql/*.sql))))
REGRESS_OPTS = --inputdir=.

PG_CPPFLAGS := -I$(CURDIR)/src -I$(shell $(PG_CONFIG) --includedir)
PG_CFLAGS := -MMD -MP -fvisibility=hidden -Wextra -Wno-unused-parameter -Wno-missing-field-initializers -Wno-sign-compare $(STRM_CFLAGS)
SHLIB_LINK := -lsodium -lcrypto -lcurl -lz -lpq

# Goals that are scripts need no PGXS, which moreover has a `check` of its own that only says no.
SCRIPT_GOALS := check demo bench help
ifneq (,$(filter-out $(SCRIPT_GOALS),$(or $(MAKECMDGOALS),all)))

# PGXS tracks no headers; naming `all` first keeps it the default goal.
all:
-include $(OBJS:.o=.d) $(KAFKA_OBJS:.o=.d)
# Bitcode is compiled without PG_CFLAGS, or it would overwrite these.
$(OBJS:.o=.bc): %.bc: %.o
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

$(EXTENSION_SCRIPT): $(SQL_PARTS)
	cat $^ > $@

all: $(KAFKA_LIBRARY)
$(KAFKA_LIBRARY): $(KAFKA_OBJS)
	$(CC) $(CFLAGS) -shared -o $@ $^ $(LDFLAGS) $(LDFLAGS_SL) -lrdkafka -lcurl

install: install-kafka
install-kafka: $(KAFKA_LIBRARY) installdirs
	$(INSTALL_SHLIB) $< '$(DESTDIR)$(pkglibdir)/'
uninstall: uninstall-kafka
uninstall-kafka:
	rm -f '$(DESTDIR)$(pkglibdir)/$(KAFKA_LIBRARY)'
.PHONY: install-kafka uninstall-kafka

else

.PHONY: $(SCRIPT_GOALS)

check:
	scripts/check
demo:
	scripts/quickstart
bench:
	test/bench/run
	test/bench/batch_job
	test/bench/ingest
	test/bench/kafka
	test/bench/batch_exporter
help:
	@echo 'make, make install    build, install (PG_CONFIG=... for a certain server; with_llvm=no without clang)'
	@echo 'make installcheck     SQL regression tests on a running server that preloads strm_privacy'
	@echo 'make check            all tests, in servers of their own: scripts/check'
	@echo 'make demo             a private server with streams, derived streams and Kafka to play with: scripts/quickstart'
	@echo 'make bench            speed: streams against plain tables, batch jobs and batch exporters against COPY, Kafka exporters'

endif
