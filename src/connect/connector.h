/*
 * connector.h
 *	  Data connectors: named places outside the database, with their credentials, where files and objects are read and
 *	  written. What is common to all kinds; a kind is a vtable (StrmConnectorKind).
 *
 *	  Whoever opens a connector has checked that the user may use it: strm_connector_find() does.
 */
#ifndef STRM_CONNECT_CONNECTOR_H
#define STRM_CONNECT_CONNECTOR_H

#include "utils/jsonb.h"
#include "utils/uuid.h"

#include "common/bytes.h"
#include "common/errors.h"

typedef struct StrmConnector
{
	pg_uuid_t	id;
	char	   *name;
	const struct StrmConnectorKind *kind;
	Jsonb	   *location;
	/* Unwrapped; in memory that is wiped with its context. NULL when the connector has none. */
	Jsonb	   *credentials;
	/* Made by strm_admin or a superuser: may then reach servers on this machine itself. Link-local addresses: never. */
	bool		trusted;
} StrmConnector;

/* How a sink is to be opened. */
typedef struct StrmSinkOptions
{
	bool		overwrite;		/* else an object in its place is an error (42710), when opened or published */
	pg_uuid_t	intent;			/* makes temporary names unique; see note */
	/*
	 * Called with what clean_up will need when this process dies: before it comes to exist outside
	 * (detail NULL) or at once afterwards. It may commit. NULL: the sink must tell all when it is opened.
	 */
	void		(*note) (void *arg, const char *detail);
	void	   *note_arg;
} StrmSinkOptions;

/* One open connector: a session with a store, of any number of sources and sinks, one after or beside the other. */
typedef struct StrmStore
{
	const StrmConnector *connector;
} StrmStore;

typedef struct StrmConnectorKind
{
	const char *name;			/* "s3" */
	/* Adds a fault for everything that is wrong with a definition. Reaches nothing outside. */
	void		(*check_definition) (const StrmConnector *connector, StrmFaults *faults);
	/* In the current memory context; see common/bytes.h for how long it lives. */
	StrmStore  *(*open) (const StrmConnector *connector);
	void		(*close) (StrmStore *store);
	/* path: made of A-Za-z0-9-._~/ and not of . or .. parts, as strm_connector_check_path() says. */
	bool		(*exists) (StrmStore *store, const char *path);
	StrmByteSource *(*read) (StrmStore *store, const char *path);
	StrmByteSink *(*write) (StrmStore *store, const char *path, const StrmSinkOptions *options);
	/* Writes the dot-file below prefix ("" or "a/b") that shows that objects can be written there; raises when not. */
	void		(*check) (StrmStore *store, const char *prefix);
	/* Removes what a sink with this intent and note left behind; idempotent; false when it should be tried again. */
	bool		(*clean_up) (StrmStore *store, const char *path, const pg_uuid_t *intent, const char *detail);
	/* Likewise, but the run has ended well: removes only what its sink kept. NULL: sinks of this kind keep nothing. */
	bool		(*settle) (StrmStore *store, const char *path, const pg_uuid_t *intent);
} StrmConnectorKind;

/* The kind of that name, or NULL. "database" is one without open: connect/database.h has what it can do. */
extern const StrmConnectorKind *strm_connector_kind(const char *name);

/* "azure, database, directory, gcs, s3": for messages. */
extern const char *strm_connector_kinds(void);

/*
 * The connector of that name, unwrapped, in the current memory context, if the current user may use it: its owner,
 * those it was granted to, and strm_admin. Raises 42704 or 42501.
 */
extern StrmConnector *strm_connector_find(const char *name);

/* The connector of that id, for cleaning up; whoever calls this has no user to serve. NULL when it is gone. */
extern StrmConnector *strm_connector_by_id(const pg_uuid_t *id);

/*
 * Why a role may not use the connector of that id (any more), or NULL; in the current context, with names of roles and
 * connectors only.
 */
extern const char *strm_connector_refusal(const pg_uuid_t *id, Oid role);

/*
 * The connector of that name, its row locked, if the current user may change it: its owner and strm_admin. Raises 42704
 * or 42501. Without credentials nothing is unwrapped: that works without the master key, too.
 */
extern StrmConnector *strm_connector_manage(const char *name, bool credentials);

/*
 * Adds a fault for everything that is wrong with a definition: what its kind says, and secrets in the location, which
 * everybody sees. strm_connector_raise() raises them, as one error.
 */
extern void strm_connector_check(const StrmConnector *connector, StrmFaults *faults);
extern void strm_connector_raise(StrmFaults *faults, const char *name);

/* Credentials as they are stored: wrapped by the master key. */
extern bytea *strm_connector_wrap(const pg_uuid_t *id, Jsonb *credentials);

/* Has the current user the rights of strm_admin? Superusers have. */
extern bool strm_connector_is_admin(void);

/*
 * A fault when path cannot be the name of an object in any store, and then false. what: "encrypted_data.file_name".
 * It must be 1 to 1024 bytes of A-Za-z0-9-._~/ in parts that are neither empty nor . nor .. and not longer than 255.
 */
extern bool strm_connector_check_path(const char *path, const char *what, StrmFaults *faults);

#endif							/* STRM_CONNECT_CONNECTOR_H */
