# strm_privacy: build with PGXS. `make`, `make install`; `make help` lists the rest.

EXTENSION := strm_privacy
EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" strm_privacy.control)
EXTENSION_SCRIPT := strm_privacy--$(EXTVERSION).sql

MODULE_big := strm_privacy
OBJS := $(patsubst %.c,%.o,$(sort $(wildcard src/*.c src/*/*.c)))

# One file per concern; the order is that of their dependencies.
SQL_PARTS := $(addprefix sql/extension/,schema.sql purpose.sql policy.sql contract.sql key.sql stream.sql \
	derived_stream.sql data_subject.sql simulator.sql guard.sql security.sql)
DATA_built := $(EXTENSION_SCRIPT)
EXTRA_CLEAN := $(EXTENSION_SCRIPT) $(OBJS:.o=.d)

REGRESS ?= $(sort $(basename $(notdir $(wildcard sql/*.sql))))
REGRESS_OPTS = --inputdir=.

PG_CPPFLAGS := -I$(CURDIR)/src -MMD -MP
PG_CFLAGS := -fvisibility=hidden -Wextra -Wno-unused-parameter -Wno-missing-field-initializers -Wno-sign-compare $(STRM_CFLAGS)
SHLIB_LINK := -lsodium -lcrypto

PG_CONFIG ?= pg_config
# PGXS tracks no headers; naming `all` first keeps it the default goal.
all:
-include $(OBJS:.o=.d)
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

$(EXTENSION_SCRIPT): $(SQL_PARTS)
	cat $^ > $@
